"""Overrides and drift, on reports whose evidence a made-up model gave: what the reader removes and adds is counted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy.orm import Session, sessionmaker

from tests.databases import migrated_engine
from verticals.medical import tables
from verticals.medical.drift import watch
from verticals.medical.evidence import EvidenceGraph, Finding
from verticals.medical.report import Report, edited, signed
from verticals.medical.schemas import FindingsStatus, Sections
from verticals.medical.watching import watch as service_watch
from verticals.watched import Period

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
EFFUSION = Finding(finding_id="f1", kind="effusion", presence="present", site="pleura", side="left", model="film@1")
NO_AIR = Finding(finding_id="f2", kind="pneumothorax", presence="absent", site="pleura", model="film@1")


def _sections(findings: str) -> Sections:
    return Sections(
        examination="Film.", technique="One.", comparison="None.", findings=findings, impression="See above."
    )


DRAFT = "Left pleural effusion. No pneumothorax."


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(migrated_engine(tmp_path))


def _store(session: Session, number: int, final_text: str | None, *, days_ago: int = 1, finds: bool = True) -> None:
    moment = NOW - timedelta(days=days_ago)
    study_id = f"st_{number}"
    session.add(
        tables.MedicalStudy(
            study_id=study_id, tenant="t", study_uid=study_id, patient="p", study_date="", origin="synthetic",
            modality="DX", body_part="CHEST", quality_verdict="accept", drafted_from="", received_at=moment,
        )
    )  # fmt: skip
    report = Report(
        report_id=f"rp_{number}",
        study_id=study_id,
        version=1,
        state="PRELIMINARY",
        sections=_sections(DRAFT if finds else "No pneumothorax."),
        findings_status=FindingsStatus(status="applied", reason="", model="film@1"),
        created_at=moment,
        previous_sha256="",
        evidence=EvidenceGraph(findings=(EFFUSION, NO_AIR) if finds else (NO_AIR,)),
    )
    tables.add_report(session, "t", report)
    if final_text is not None:
        draft = tables.get_report(session, "t", study_id=study_id)
        after = edited(draft, _sections(final_text), expected_version=1, now=moment)
        tables.add_report(session, "t", after)
        tables.add_report(session, "t", signed(after, signer="Dr. A", attest=True, expected_version=2, now=moment))
    session.commit()


def test_what_the_reader_removes_and_adds_is_counted_in_signed_reports(session: Session) -> None:
    _store(session, 1, DRAFT)
    _store(session, 2, "No pneumothorax.")  # the effusion is taken out
    _store(session, 3, "Left pleural effusion. Right pneumothorax.")  # air is put in against the model
    _store(session, 4, None)  # not signed: nobody has judged it

    found = watch(session, "t", days=30, now=NOW)
    kinds = {one.kind: one for one in found.kinds}

    assert (found.studies, found.read_by_model, found.signed) == (4, 4, 3)
    assert (kinds["effusion"].removed.count, kinds["effusion"].removed.total) == (1, 3)
    assert (kinds["pneumothorax"].added.count, kinds["pneumothorax"].added.total) == (1, 3)
    assert (found.removed.count, found.added.count) == (1, 1)
    assert kinds["effusion"].found.share == 1.0


def test_a_rate_that_leaves_its_old_interval_is_told(session: Session) -> None:
    for number in range(40):
        _store(session, number, None, days_ago=40, finds=number < 4)
    for number in range(40, 80):
        _store(session, number, None, days_ago=1, finds=number < 70)

    kinds = {one.kind: one for one in watch(session, "t", days=30, now=NOW).kinds}

    assert (kinds["effusion"].found_before.count, kinds["effusion"].found.count) == (4, 30)
    assert kinds["effusion"].has_moved
    assert not kinds["pneumothorax"].has_moved


def test_the_service_is_told_verdicts_findings_and_what_readers_took_out(session: Session) -> None:
    _store(session, 1, DRAFT)
    _store(session, 2, "No pneumothorax.")  # the effusion is taken out
    _store(session, 3, None, days_ago=20, finds=False)
    _store(session, 4, None, days_ago=60)  # before the time that is looked at
    resources: Any = SimpleNamespace(sessions=sessionmaker(session.get_bind()))
    period = Period(("t",), NOW - timedelta(days=35), NOW - timedelta(days=7), NOW)

    found = service_watch(resources, period)
    counts = {
        one.name: dict(zip(one.bins, zip(one.reference, one.now, strict=True), strict=True))
        for one in found.distributions
    }

    assert counts["image quality"] == {"accept": (1, 2), "warn": (0, 0), "reject": (0, 0)}
    assert counts["modality"] == {"DX": (1, 2)}
    assert counts["findings"] == {"effusion": (0, 2), "pneumothorax": (0, 0), "studies read": (1, 2)}
    (removed,) = found.feedback
    assert (removed.value, removed.n, removed.higher_is_better) == (0.5, 2, False)


def test_other_tenants_studies_are_not_told(session: Session) -> None:
    _store(session, 1, DRAFT)
    resources: Any = SimpleNamespace(sessions=sessionmaker(session.get_bind()))
    period = Period(("other",), NOW - timedelta(days=35), NOW - timedelta(days=7), NOW)

    assert not any(sum(one.now) for one in service_watch(resources, period).distributions)
