"""Storage: versions are append-only, and an edit behind the program's back is found on the next read."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import delete, event, select, update
from sqlalchemy.exc import IntegrityError

from verticals.contract import Conflict, NotFound, Unavailable
from verticals.medical.instance_tables import MedicalHeld, MedicalInstance, MedicalRefusal, MedicalSeries
from verticals.medical.report import edited
from verticals.medical.tables import (
    MedicalKey,
    MedicalReportVersion,
    MedicalStudy,
    add_report,
    get_report,
    tenant_key,
)

MUTATIONS: list[dict[str, Any]] = [
    {"sections": {"examination": "x", "technique": "x", "comparison": "x", "findings": "x", "impression": "x"}},
    {"sections": {"impression": "only"}},
    {"sections": []},
    {"signer": "Dr. Mallory"},
    {"addenda": [{"author": "M", "text": "x", "added_at": "2026-01-01T00:00:00Z"}]},
    {"addenda": [{"text": 1}]},
    {"findings_status": {"status": "applied", "reason": "x", "model": "m"}},
    {"findings_status": {}},
    {"evidence": {}},
    {"evidence": {"findings": [{"finding_id": "f1", "kind": "effusion", "presence": "present", "model": "m@1"}]}},
    {"content_sha256": "0" * 64},
    {"previous_sha256": "0" * 64},
    {"study_id": "st_other"},
]


@pytest.fixture
def signed(desk: Any, ct: bytes) -> Any:
    return desk.sign(desk.complete(desk.ingest(ct).report))


@pytest.mark.parametrize("change", MUTATIONS)
def test_tampering_with_a_signed_row_is_detected(desk: Any, signed: Any, change: dict[str, Any]) -> None:
    row = MedicalReportVersion
    with desk.resources.sessions() as session:
        session.execute(update(row).where(row.version == signed.version).values(**change))
        session.commit()

    with pytest.raises(Unavailable, match="altered outside this program"):
        desk.call("get_report", report_id=signed.report_id)
    with pytest.raises(Unavailable, match="altered outside this program"):
        desk.call("export_report", report_id=signed.report_id, format="text")


@pytest.mark.parametrize("version", [1, 2])
def test_removing_or_changing_an_earlier_version_is_detected(desk: Any, signed: Any, version: int) -> None:
    row = MedicalReportVersion
    with desk.resources.sessions() as session:
        session.execute(delete(row).where(row.version == version))
        session.commit()

    with pytest.raises(Unavailable, match="altered outside this program"):
        desk.call("get_report", report_id=signed.report_id)


def test_one_changed_letter_is_detected(desk: Any, signed: Any) -> None:
    row = MedicalReportVersion
    with desk.resources.sessions() as session:
        sections = dict(session.execute(select(row.sections).where(row.version == 3)).scalar_one())
        sections["impression"] = sections["impression"].replace("Normal", "normal")
        session.execute(update(row).where(row.version == 3).values(sections=sections))
        session.commit()

    with pytest.raises(Unavailable, match="altered outside this program"):
        desk.call("get_report", report_id=signed.report_id)


def test_the_mapped_class_cannot_be_changed_or_deleted(desk: Any, signed: Any) -> None:
    for change in (lambda s, row: setattr(row, "signer", "Dr. Mallory"), lambda s, row: s.delete(row)):
        with desk.resources.sessions() as session:
            row = session.execute(select(MedicalReportVersion).where(MedicalReportVersion.version == 3)).scalar_one()
            change(session, row)
            with pytest.raises(Conflict, match="immutable"):
                session.flush()


@pytest.mark.parametrize("change", [{"state": "DONE"}, {"state": "EDITED"}, {"signer": None}, {"version": 0}])
def test_the_database_refuses_states_that_cannot_be(desk: Any, signed: Any, change: dict[str, Any]) -> None:
    row = MedicalReportVersion
    with desk.resources.sessions() as session, pytest.raises(IntegrityError, match=r"(?i)check"):
        session.execute(update(row).where(row.version == 3).values(**change))


def test_of_two_writers_of_one_version_one_loses(desk: Any, ct: bytes) -> None:
    before = desk.ingest(ct).report
    with desk.resources.sessions() as session:
        stale = get_report(session, desk.tenant, report_id=before.report_id)
    desk.complete(before)

    late = edited(stale, stale.sections, expected_version=1, now=stale.created_at)
    with desk.resources.sessions() as session, pytest.raises(Conflict, match="at the same time"):
        add_report(session, desk.tenant, late)


def test_a_changed_image_is_detected(desk: Any, ct: bytes) -> None:
    study = desk.ingest(ct)
    with desk.resources.sessions() as session:
        stored = session.execute(select(MedicalInstance.dicom)).scalar_one()
        session.execute(update(MedicalInstance).values(dicom=stored[:-1] + b"\xff"))
        session.commit()

    with pytest.raises(Unavailable, match="does not match its hash"):
        desk.call("render", study_id=study.study_id)


def test_each_tenant_has_its_own_key_that_stays(desk: Any) -> None:
    sessions = desk.resources.sessions
    keys = [tenant_key(sessions, tenant) for tenant in ("a", "b", "a")]

    assert keys[0] == keys[2] != keys[1]
    with sessions() as session:
        assert len(session.execute(select(MedicalKey)).scalars().all()) == 2


def test_a_report_that_is_not_there_is_not_found(desk: Any) -> None:
    with desk.resources.sessions() as session, pytest.raises(NotFound, match="no such report"):
        get_report(session, desk.tenant, report_id="rp_0")


def test_every_table_has_a_tenant_and_the_prefix() -> None:
    ours = (MedicalKey, MedicalStudy, MedicalSeries, MedicalInstance, MedicalHeld, MedicalRefusal, MedicalReportVersion)
    for table in ours:
        assert "tenant" in table.__table__.columns
        assert table.__tablename__.startswith("medical_")


def test_a_version_that_is_added_between_two_statements_of_a_reading_is_no_tampering(desk: Any, signed: Any) -> None:
    added = []

    def add_one(*statement: Any) -> None:
        if not added and "medical_report_versions" in statement[2]:
            added.append(True)
            desk.call("add_addendum", report_id=signed.report_id, author="Dr. B", text="Seen again.")

    with desk.resources.sessions() as session:
        event.listen(desk.engine, "after_cursor_execute", add_one)
        assert get_report(session, "hospital", report_id=signed.report_id).version == signed.version
        event.remove(desk.engine, "after_cursor_execute", add_one)

    assert desk.call("get_report", report_id=signed.report_id).version == signed.version + 1
