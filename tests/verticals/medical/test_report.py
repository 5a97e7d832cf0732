"""Reports: drafts invent nothing, states follow their order, and every letter is under the hash."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from verticals.contract import Conflict, InvalidInput, Unavailable
from verticals.medical import findings, language, report
from verticals.medical.evidence import EvidenceGraph, Finding
from verticals.medical.probes import phantom, radiograph
from verticals.medical.quality import assess
from verticals.medical.report import BLANK, Report
from verticals.medical.schemas import Addendum, Sections

NOW = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
GOOD = assess(phantom(0, size=640), "CR")
EFFUSION = Finding(finding_id="f1", kind="effusion", presence="present", model="m@1")
STATUS, _ = findings.apply(findings.Image(phantom(0, size=64), radiograph(phantom(0, size=64))), [])


def header(**changes: object) -> Dataset:
    dataset = radiograph(phantom(0, size=64))
    for keyword, value in changes.items():
        setattr(dataset, keyword, value)
    return dataset


def first(**changes: object) -> Report:
    filled = Sections(
        examination="CR chest", technique="CR", comparison="None", findings="Clear.", impression="Normal."
    )
    made = Report("rp_1", "st_1", 1, "PRELIMINARY", filled, STATUS, NOW, "")
    return replace(made, **changes)  # type: ignore[arg-type]


def test_a_draft_says_only_what_the_header_says() -> None:
    sections = report.draft([report.Pictured(header(KVP="120"), GOOD)], STATUS)

    assert sections.examination == "Radiograph (CR), chest, PA view."
    assert sections.technique.startswith(
        "One CR image object was read; from its header: 120 kVp, 1 frame of 64 x 64 pixels. Automated findings: "
    )
    assert sections.comparison == "No prior study available."
    assert sections.impression == BLANK
    assert "no model available" in sections.technique
    lines = sections.findings.splitlines()
    assert all(line.endswith(BLANK) for line in lines if not line.startswith("Image quality"))
    assert any(line.startswith("Lungs: ") for line in lines)


def test_a_draft_of_an_unknown_body_part_offers_no_anatomy() -> None:
    sections = report.draft([report.Pictured(header(BodyPartExamined=""), GOOD)], STATUS)

    assert "body part not stated in the file" in sections.examination
    assert sections.findings.splitlines()[-1] == f"Findings: {BLANK}"


def test_a_stored_prior_is_named_but_not_compared_with() -> None:
    sections = report.draft([report.Pictured(header(), GOOD)], STATUS, priors=["st_9"])

    assert sections.comparison == f"Earlier studies in this archive: st_9. Comparison: {BLANK}"


def test_a_rejected_image_is_called_not_diagnostic() -> None:
    poor = assess(phantom(0, size=64), "CR")
    assert poor.verdict == "reject"

    sections = report.draft([report.Pictured(header(), poor)], STATUS)

    assert "should not be used for diagnosis" in sections.findings


def test_what_a_model_found_stands_under_its_structure_and_in_the_impression() -> None:
    nodule = Finding(finding_id="f2", kind="nodule", presence="absent", model="m@1")
    said = language.write(EvidenceGraph(findings=(EFFUSION, nodule)))

    sections = report.draft([report.Pictured(header(), GOOD)], STATUS, said)

    assert sections.impression == "Pleural effusion."
    lines = dict(line.split(": ", 1) for line in sections.findings.splitlines())
    assert (lines["Pleura"], lines["Lungs"], lines["Devices"]) == (
        "There is a pleural effusion.",
        "No nodule.",
        BLANK,
    )


def test_what_is_said_of_the_chest_as_a_whole_stands_in_the_impression_alone() -> None:
    said = language.write(
        EvidenceGraph(findings=(Finding(finding_id="f1", kind="acute", presence="absent", model="m@1"),))
    )

    sections = report.draft([report.Pictured(header(), GOOD)], STATUS, said)

    assert sections.impression == "No acute cardiopulmonary abnormality."
    assert sections.impression not in sections.findings


def test_what_a_person_writes_beyond_the_models_is_evidence_of_the_reader() -> None:
    drafted = EvidenceGraph(findings=(EFFUSION,))
    start = first(evidence=drafted, drafted=drafted)
    text = start.sections.model_copy(update={"findings": "Pleural effusion. Nodule in the left lung. Pacemaker."})

    edit = report.edited(start, text, expected_version=1, now=NOW)
    fewer = text.model_copy(update={"findings": "No pleural effusion."})
    denied = report.edited(edit, fewer, expected_version=2, now=NOW)
    restored = report.edited(denied, text, expected_version=3, now=NOW)

    assert [(f.finding_id, f.kind, f.model) for f in edit.evidence.findings] == [
        ("f1", "effusion", "m@1"),
        ("f2", "nodule", "reader"),
    ]
    assert [(f.finding_id, f.presence, f.model) for f in denied.evidence.findings] == [("f2", "absent", "reader")]
    assert restored.evidence == edit.evidence


def test_states_go_forward_only() -> None:
    start = first()
    edit = report.edited(start, start.sections, expected_version=1, now=NOW)
    final = report.signed(edit, signer="Dr. A", attest=True, expected_version=2, now=NOW)
    more = report.amended(final, author="Dr. B", text="Late news.", now=NOW)

    assert [r.state for r in (start, edit, final, more)] == ["PRELIMINARY", "EDITED", "FINAL", "AMENDED"]
    assert more.sections == final.sections
    for done in (final, more):
        with pytest.raises(Conflict, match="cannot be edited"):
            report.edited(done, done.sections, expected_version=done.version, now=NOW)
        with pytest.raises(Conflict, match="cannot be signed again"):
            report.signed(done, signer="Dr. C", attest=True, expected_version=done.version, now=NOW)
    with pytest.raises(Conflict, match="only a signed report"):
        report.amended(edit, author="Dr. B", text="x", now=NOW)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"impression": BLANK}, "must all be completed"),
        ({"findings": "Lungs: [To be completed]"}, "must all be completed"),
        ({"impression": ""}, r"sections.impression: must not be empty"),
        ({"findings": ""}, r"sections.findings: must not be empty"),
    ],
)
def test_an_unfinished_report_cannot_be_signed(changes: dict[str, str], rule: str) -> None:
    unfinished = first(sections=first().sections.model_copy(update=changes))

    with pytest.raises(InvalidInput, match=rule):
        report.signed(unfinished, signer="Dr. A", attest=True, expected_version=1, now=NOW)


def test_signing_needs_attestation_and_the_version_that_was_read() -> None:
    with pytest.raises(InvalidInput, match="attest: must be true"):
        report.signed(first(), signer="Dr. A", attest=False, expected_version=1, now=NOW)
    with pytest.raises(Conflict, match="somebody changed it"):
        report.signed(first(version=2), signer="Dr. A", attest=True, expected_version=1, now=NOW)


@pytest.mark.parametrize(
    "changes",
    [
        {"report_id": "rp_2"},
        {"study_id": "st_2"},
        {"state": "EDITED"},
        {"signer": "Dr. B"},
        {"signed_at": NOW + timedelta(microseconds=1)},
        {"created_at": NOW + timedelta(microseconds=1)},
        {"previous_sha256": "0"},
        {"addenda": (Addendum(author="A", text="x", added_at=NOW),)},
        {"findings_status": STATUS.model_copy(update={"model": "m"})},
        {"evidence": EvidenceGraph(findings=(EFFUSION,))},
    ],
)
def test_the_hash_covers_every_field(changes: dict[str, object]) -> None:
    signed = first(state="FINAL", signer="Dr. A", signed_at=NOW)

    assert replace(signed, **changes).content_sha256 != signed.content_sha256  # type: ignore[arg-type]


@given(st.sampled_from(list(Sections.model_fields)), st.integers(0, 5), st.text(min_size=1, max_size=3))
def test_the_hash_covers_every_letter(section: str, at: int, inserted: str) -> None:
    before = first()
    text = getattr(before.sections, section)
    after = first(sections=before.sections.model_copy(update={section: text[:at] + inserted + text[at:]}))

    assert after.content_sha256 != before.content_sha256


def test_a_chain_with_a_hole_or_a_changed_signed_text_is_refused() -> None:
    start = first()
    final = report.signed(start, signer="Dr. A", attest=True, expected_version=1, now=NOW)
    more = report.amended(final, author="Dr. B", text="x", now=NOW)
    forged = replace(more, sections=more.sections.model_copy(update={"impression": "Cancer."}))

    def chain(*versions: Report) -> Report:
        return report.verify([(r, r.content_sha256) for r in versions])

    assert chain(start, final, more) == more
    for broken in ((start, more), (final, more), (start, final, forged)):
        with pytest.raises(Unavailable, match="altered outside this program"):
            chain(*broken)
