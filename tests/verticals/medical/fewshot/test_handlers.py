"""Few-shot findings at the desk: trained, enabled only by the rule, read beside a study, rolled back; audited."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from tests.verticals.medical.conftest import Desk
from tests.verticals.medical.fewshot.conftest import ASKED, upload
from tests.verticals.medical.fewshot.spots import Pixels, archive, spot
from verticals.contract import Conflict, InvalidInput, NotFound, Unavailable
from verticals.medical.fewshot.ledger import MedicalFewShot
from verticals.medical.fewshot.schemas import FewShotFinding, FewShotReading, TrainedVersion
from verticals.medical.probes import pydicom_file

FINDING = ASKED["finding"]
WHO = {"finding": FINDING, "name": "Dr. A. Reader", "reason": "Looked at forty of its answers."}


def listed(desk: Desk) -> FewShotFinding:
    [finding] = desk.call("list_few_shot").findings
    assert isinstance(finding, FewShotFinding)
    return finding


def version(desk: Desk, method: str = "linear probe") -> TrainedVersion:
    return next(one for one in listed(desk).versions if one.method == method)


def enable(desk: Desk, wanted: str | None = None) -> FewShotFinding:
    answer = desk.call("enable_few_shot", **WHO, version=wanted or version(desk).version)
    assert isinstance(answer.finding, FewShotFinding)
    return answer.finding


def study(desk: Desk, pixels: Pixels, *, body_part: str = "BRAIN") -> str:
    dataset = dcmread(io.BytesIO(pydicom_file("MR_small.dcm")))
    dataset.BodyPartExamined, dataset.PixelData = body_part, pixels.astype("<u2").tobytes()
    del dataset.WindowCenter, dataset.WindowWidth
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    return desk.ingest(buffer.getvalue(), origin="synthetic").study_id


def reading(desk: Desk, pixels: Pixels, **changes: str) -> FewShotReading:
    [found] = desk.call("read_few_shot", study_id=study(desk, pixels, **changes)).readings
    assert isinstance(found, FewShotReading)
    return found


def test_every_method_is_listed_with_its_figures_and_none_is_in_use(studio: Desk) -> None:
    found = listed(studio)

    assert (found.finding, found.enabled, found.switches) == (FINDING, None, [])
    assert {one.method for one in found.versions} == {"linear probe", "prompt tuning", "adapter"}
    assert all(one.train.images == 24 and one.validation.images == 40 for one in found.versions)
    assert version(studio).figures.auc.low > 0.9
    assert version(studio).refusals == []
    assert version(studio).licence == "none: synthetic"
    assert version(studio).figures.gain is None
    assert version(studio, "prompt tuning").figures.gain is not None


def test_a_spot_is_said_beside_the_study_and_never_in_its_report(studio: Desk) -> None:
    enable(studio)
    study_id = study(studio, spot(900, present=True))
    answer = studio.call("read_few_shot", study_id=study_id)
    [found] = answer.readings

    assert (found.finding, found.version, found.refusal) == (FINDING, version(studio).version, "")
    assert found.prob > 0.7
    assert found.confidence_set == ["present"]
    assert "never enter a report" in answer.policy
    report = studio.call("get_study", study_id=study_id).report
    assert report.evidence.findings == ()
    assert FINDING not in report.model_dump_json()
    assert studio.recorder.decisions[-1].kind == "medical.few_shot_read"


def test_no_spot_is_absent(studio: Desk) -> None:
    enable(studio)
    found = reading(studio, spot(901, present=False))

    assert found.prob is not None
    assert found.prob < 0.3
    assert found.confidence_set == ["absent"]


def test_an_image_unlike_the_training_images_is_not_read(studio: Desk) -> None:
    enable(studio)
    stripes = np.tile(np.arange(64) // 8 % 2 * 200 + 20, (64, 1)).astype(np.uint8)
    found = reading(studio, stripes)

    assert "out of distribution" in found.refusal
    assert found.prob is None


def test_another_body_part_is_not_read(studio: Desk) -> None:
    enable(studio)

    assert reading(studio, spot(902, present=True), body_part="KNEE").refusal == (
        "BodyPartExamined (0018,0015) must be BRAIN."
    )


def test_nothing_is_said_before_it_is_enabled_and_after_it_is_disabled(studio: Desk) -> None:
    study_id = study(studio, spot(903, present=True))
    before = studio.call("read_few_shot", study_id=study_id).readings
    enable(studio)
    during = studio.call("read_few_shot", study_id=study_id).readings
    studio.call("disable_few_shot", **WHO)

    assert (before, len(during), studio.call("read_few_shot", study_id=study_id).readings) == ([], 1, [])


def test_a_method_not_shown_to_beat_the_probe_cannot_be_enabled(studio: Desk) -> None:
    with pytest.raises(Conflict, match="not shown to be better than the linear probe"):
        enable(studio, version(studio, "adapter").version)

    assert listed(studio).enabled is None


def test_a_switch_is_kept_with_who_and_why_and_audited(studio: Desk) -> None:
    found = enable(studio)

    assert found.enabled == version(studio).version
    assert [(one.step, one.name, one.reason) for one in found.switches] == [("enable", WHO["name"], WHO["reason"])]
    decision, session = studio.recorder.decisions[-1], studio.recorder.sessions[-1]
    assert decision.outcome == {"step": "enable", "name": WHO["name"], "reason": WHO["reason"]}
    assert decision.model_version.endswith(f"@{found.enabled}")
    assert session is not None


def test_a_failing_audit_trail_leaves_nothing_enabled(studio: Desk) -> None:
    studio.recorder.fails = True

    with pytest.raises(RuntimeError, match="the audit trail is full"):
        enable(studio)
    assert listed(studio).switches == []


def test_rolling_back_restores_what_was_in_use_once(studio: Desk) -> None:
    enable(studio)
    studio.call("disable_few_shot", **WHO)

    restored = studio.call("roll_back_few_shot", **WHO).finding
    with pytest.raises(Conflict, match="there is no switch to take back"):
        studio.call("roll_back_few_shot", **WHO)

    assert restored.enabled == version(studio).version
    assert [one.step for one in restored.switches] == ["roll back", "disable", "enable"]


def test_rolling_back_the_first_enabling_leaves_none_in_use(studio: Desk) -> None:
    enable(studio)

    assert studio.call("roll_back_few_shot", **WHO).finding.enabled is None


def test_what_the_state_forbids_is_refused(studio: Desk) -> None:
    with pytest.raises(Conflict, match="no version of it is in use"):
        studio.call("disable_few_shot", **WHO)
    with pytest.raises(Conflict, match="there is no switch to take back"):
        studio.call("roll_back_few_shot", **WHO)
    enable(studio)
    with pytest.raises(Conflict, match="is in use already"):
        enable(studio)
    with pytest.raises(NotFound, match="no such version of the finding"):
        enable(studio, "0" * 12)


def test_another_tenant_sees_reads_and_switches_none_of_it(studio: Desk) -> None:
    wanted = enable(studio).enabled
    other = studio.as_tenant("clinic")

    assert other.call("list_few_shot").findings == []
    assert other.call("read_few_shot", study_id=study(other, spot(904, present=True))).readings == []
    for operation, more in (("enable_few_shot", {"version": wanted}), ("disable_few_shot", {})):
        with pytest.raises(NotFound, match="no such few-shot finding"):
            other.call(operation, **WHO | more)


def test_refused_images_leave_nothing_behind(studio: Desk, home: Path) -> None:
    kept = sorted((home / "registry").rglob("*"))

    with pytest.raises(InvalidInput, match="at least 10 patients with label present for train"):
        studio.call("train_few_shot", file=upload(archive(present=20)), **ASKED | {"finding": "other"})

    assert [one.finding for one in studio.call("list_few_shot").findings] == [FINDING]
    assert sorted((home / "registry").rglob("*")) == kept


def test_an_altered_model_is_not_read(studio: Desk, home: Path) -> None:
    enable(studio)
    [file] = (home / "registry").rglob(f"{listed(studio).enabled}/few_shot.safetensors")
    file.write_bytes(file.read_bytes()[:-1] + b"\1")

    with pytest.raises(Unavailable, match=r"few_shot\.safetensors differs from its card: SHA-256"):
        studio.call("read_few_shot", study_id=study(studio, spot(905, present=True)))


def test_a_row_of_the_ledger_cannot_be_changed(studio: Desk) -> None:
    enable(studio)

    with studio.resources.sessions() as session:
        row = session.query(MedicalFewShot).filter_by(step="enable").one()
        row.reason = "Another one, thought of later."
        with pytest.raises(Conflict, match="immutable"):
            session.commit()


@pytest.mark.parametrize("finding", ["", "a", "a/b", "a\nb;", "x" * 65])
def test_a_name_that_a_path_would_trip_over_is_refused(studio: Desk, finding: str) -> None:
    with pytest.raises(ValueError, match="finding"):
        studio.call("disable_few_shot", **WHO | {"finding": finding})
