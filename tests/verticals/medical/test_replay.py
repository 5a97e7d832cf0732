"""A draft is made again from what is kept, a signed version is held against its entry, and a change is named."""

from __future__ import annotations

from typing import Any

from sqlalchemy import update

from tests.verticals.medical.conftest import Desk
from verticals.medical.instance_tables import MedicalInstance
from verticals.medical.replay import replay_entry
from verticals.replaying import Kept, Replayed


def again(desk: Desk, kind: str) -> Replayed:
    """The newest entry of a kind, made again."""
    entry = next(vars(one) for one in reversed(desk.recorder.decisions) if one.kind == kind)
    kept: Any = Kept(desk.tenant, desk.resources.registry, desk.resources.sessions)
    return replay_entry(kept, entry, None)


def test_a_report_is_made_again_from_draft_to_file_and_a_changed_image_is_named(
    desk: Desk, ct: bytes, mr: bytes
) -> None:
    desk.ingest(mr)
    report = desk.ingest(ct).report
    assert again(desk, "medical.ingest").verdict == "exact"

    signed = desk.sign(desk.complete(report))
    assert again(desk, "medical.sign").verdict == "unchanged"
    desk.call("export_report", report_id=signed.report_id, format="fhir")
    desk.call("add_addendum", report_id=signed.report_id, author="Dr. B", text="Nothing to add.")

    found = again(desk, "medical.export")
    assert (found.verdict, found.versions) == ("exact", {"version": "3"})  # of then, not the newest
    assert again(desk, "medical.edit").verdict == "unchanged"
    desk.call("export_report", report_id=signed.report_id, format="pdf")
    assert again(desk, "medical.export").verdict == "unchanged"

    with desk.engine.begin() as connection:
        connection.execute(update(MedicalInstance).values(dicom=b"another image"))
    [(name, *_)] = again(desk, "medical.ingest").differences
    assert name == "dicom_sha256"
