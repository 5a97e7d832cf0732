"""An edit is read: what it states becomes evidence in its reader's name, linked, and remarked on where it compares."""

from __future__ import annotations

from typing import Any

_TEXT = "Left pleural effusion, increased since last year. Rib fracture."


def test_an_edit_answers_with_its_links_and_remarks(desk: Any, ct: bytes) -> None:
    report = desk.ingest(ct).report

    edited = desk.complete(report, findings=_TEXT, impression="Left pleural effusion.")

    assert [(f.kind, f.side, f.model) for f in edited.evidence.findings] == [
        ("effusion", "left", "reader"),
        ("fracture", None, "reader"),
    ]
    assert [(s.section, s.finding_ids) for s in edited.sentences] == [
        ("findings", ("f1",)),
        ("findings", ("f2",)),
        ("impression", ("f1",)),
    ]
    assert [(r.kind, _TEXT[r.start : r.end]) for r in edited.remarks] == [
        ("prior that does not exist", "Left pleural effusion, increased since last year."),
    ]
    assert desk.call("get_report", report_id=report.report_id) == edited


def test_a_signed_report_keeps_its_readers_evidence(desk: Any, ct: bytes) -> None:
    edited = desk.complete(desk.ingest(ct).report, findings="No pneumothorax.")

    signed = desk.sign(edited)

    assert signed.evidence == edited.evidence
    assert [(f.kind, f.presence) for f in signed.evidence.findings] == [("pneumothorax", "absent")]
