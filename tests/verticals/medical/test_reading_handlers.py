"""What the viewer gets: every grey level, the prior that is one, and figures that count what they say."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from verticals.contract import InvalidInput, NotFound
from verticals.medical import geometry
from verticals.medical.drift import rate
from verticals.medical.evidence import EvidenceGraph, Finding
from verticals.medical.probes import phantom, radiograph, to_bytes
from verticals.medical.reading_handlers import pack, reduced
from verticals.medical.statement_tables import strongest


def _unpacked(answer: Any) -> np.ndarray:
    rgb = np.asarray(Image.open(io.BytesIO(base64.b64decode(answer.png)))).astype(np.int64)
    return answer.low + answer.step * (256 * rgb[..., 0] + rgb[..., 1])  # type: ignore[no-any-return]


def test_the_viewer_gets_every_hounsfield_unit(desk: Any, ct: bytes) -> None:
    study = desk.ingest(ct)
    answer = desk.call("pixels", study_id=study.study_id)
    dataset = dcmread(io.BytesIO(ct))

    assert (answer.rows, answer.columns, answer.reduced_by, answer.step) == (128, 128, 1, 1.0)
    np.testing.assert_array_equal(_unpacked(answer), geometry.modality_values(dataset.pixel_array, dataset))
    assert not answer.is_inverted


def test_a_frame_that_does_not_exist_is_refused(desk: Any, ct: bytes) -> None:
    study = desk.ingest(ct)

    with pytest.raises(InvalidInput, match="frame: must be at most 1"):
        desk.call("pixels", study_id=study.study_id, frame=2)
    with pytest.raises(NotFound, match="study_id"):
        desk.as_tenant("other").call("pixels", study_id=study.study_id)


def test_fractions_are_kept_to_a_part_of_the_range() -> None:
    values = np.linspace(0, 0.5, 100).reshape(10, 10)
    packed, low, step = pack(values)

    back = low + step * (256.0 * packed[..., 0] + packed[..., 1])
    assert np.abs(back - values).max() <= step / 2 + 1e-12


def test_a_uniform_image_can_be_packed() -> None:
    packed, low, step = pack(np.full((2, 2), 7.25))

    assert (packed.max(), low) == (0, 7.25)
    assert step == 1.0


def test_a_large_image_is_sent_as_means_of_blocks() -> None:
    small, n = reduced(np.arange(30.0).reshape(5, 6), most=3)

    assert (small.shape, n) == ((3, 3), 2)
    assert small[0, 0] == np.mean([0, 1, 6, 7])


def test_a_colour_image_is_reduced_colour_by_colour() -> None:
    small, n = reduced(np.stack([np.full((4, 6), c) for c in (1.0, 2.0, 3.0)], axis=-1), most=3)

    assert (small.shape, n) == ((2, 3, 3), 2)
    assert small[0, 0].tolist() == [1.0, 2.0, 3.0]


def _study(desk: Any, seed: int, *, part: str, patient: str, date: str = "") -> Any:
    film = radiograph(phantom(seed), uid=f"1.2.3.{seed}")
    film.StudyDate = date
    film.BodyPartExamined, film.PatientID = part, patient
    return desk.ingest(to_bytes(film))


def test_a_prior_is_of_the_same_patient_and_body_part_and_earlier(desk: Any) -> None:
    first = _study(desk, 1, part="CHEST", patient="A")
    _study(desk, 2, part="CHEST", patient="B")
    _study(desk, 3, part="ABDOMEN", patient="A")
    second = _study(desk, 4, part="CHEST", patient="A")

    assert desk.call("prior", study_id=second.study_id).study_id == first.study_id
    none = desk.call("prior", study_id=first.study_id)
    assert (none.study_id, none.reason) == (None, "No earlier study of this patient and body part is stored here.")


def test_an_older_film_that_is_sent_later_is_the_prior_and_not_the_newer_one(desk: Any) -> None:
    newer = _study(desk, 1, part="CHEST", patient="A", date="20260601")
    older = _study(desk, 2, part="CHEST", patient="A", date="20250601")

    assert desk.call("prior", study_id=newer.study_id).study_id == older.study_id
    assert desk.call("prior", study_id=older.study_id).study_id is None


def test_a_file_without_body_part_has_no_prior(desk: Any, ct: bytes) -> None:
    study = desk.ingest(ct)

    assert "does not state a body part" in desk.call("prior", study_id=study.study_id).reason


def test_quality_is_counted_by_week(desk: Any, ct: bytes, mr: bytes) -> None:
    for content in (ct, mr):
        desk.ingest(content)

    found = desk.call("watch", days=30)

    assert found.studies == 2
    assert sum(sum(week.verdicts.values()) for week in found.weeks) == 2
    assert all(week.start.weekday() == 0 for week in found.weeks)


def test_without_a_model_there_are_no_rates_and_it_says_so(desk: Any, ct: bytes) -> None:
    report = desk.ingest(ct).report
    desk.sign(desk.complete(report, findings="Right pneumothorax."))

    found = desk.call("watch", days=30)

    assert (found.read_by_model, found.signed, found.kinds) == (0, 0, [])
    assert found.added.share is None


def test_a_rate_has_its_interval_and_none_without_anything_to_count() -> None:
    half = rate(5, 10)

    assert half.share == 0.5
    assert half.low is not None
    assert half.high is not None
    assert half.low < 0.3 < 0.7 < half.high
    assert rate(0, 0).share is None


def test_of_a_kind_the_most_that_is_said_counts() -> None:
    said = ("absent", "uncertain", "present")
    findings = [
        Finding(finding_id=f"f{i + 1}", kind="nodule", presence=p, model="m@1")  # type: ignore[arg-type]
        for i, p in enumerate(said)
    ]

    assert strongest(EvidenceGraph(findings=tuple(findings)).findings) == {"nodule": "present"}
    assert strongest(findings[:2]) == {"nodule": "uncertain"}
