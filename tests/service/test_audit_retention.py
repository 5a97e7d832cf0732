"""Payloads can be erased and old rows sealed off; the chain stays whole and tells what is gone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from service.audit import AuditLog
from service.audit_check import Head, keep_heads, kept_heads
from service.audit_retention import days_of, erase, expire, seal
from service.audit_tables import AuditEntry
from service.auth import KeyRing
from service.storage import make_sessions, open_database
from tests.databases import migrated_url
from verticals.contract import Conflict, Decision, InvalidInput

OFFICER = {"tenant": "acme", "actor": "officer", "request_id": "r9"}
NOW = datetime.now(UTC)
POLICY = {"finance.*": 30, "*": 365}


@pytest.fixture
def audit(tmp_path: Path) -> Iterator[AuditLog]:
    """An empty trail."""
    engine = open_database(migrated_url(tmp_path, "sqlite"))
    yield AuditLog(make_sessions(engine))
    engine.dispose()


def note(audit: AuditLog, kind: str, subject: str, *, actor: str = "key1", **outcome: object) -> None:
    who = {"tenant": "acme", "actor": actor, "request_id": "r1"}
    audit.record(Decision(kind, subject, "ab" * 32, outcome, "m@1"), who=who)


def test_a_person_is_erased_over_all_verticals_and_the_chain_stays_whole(audit: AuditLog) -> None:
    note(audit, "finance.score", "app-7", points=600)
    note(audit, "medical.sign", "rp-1", study="app-7")
    note(audit, "support.answer", "APP-7", answered=True)
    note(audit, "support.answer", "s-1", answered=True)

    done = erase(audit, "acme", names=["app-7"], reason="article 17", who=OFFICER)

    check, entries = audit.verify("acme"), audit.entries("acme")
    assert (done.entries, check.broken_at, check.erased) == (2, None, 2)
    assert [(one.ranges, one.reason) for one in check.erasures] == [(((1, 2),), "article 17")]
    assert [entry["subject"] for entry in entries] == ["", "s-1", "APP-7", "", ""]
    assert [entry["kind"] for entry in entries[-2:]] == ["medical.sign", "finance.score"]  # that it was stays
    assert list(audit.of_kind("acme", "finance.score")) == []


def test_nothing_of_an_erased_payload_is_left_in_the_files(audit: AuditLog, tmp_path: Path) -> None:
    note(audit, "finance.score", "jane-doe-4711", name="Jane Doe")
    erase(audit, "acme", names=["jane-doe-4711"], reason="article 17", who=OFFICER)
    with audit.sessions() as session:
        session.connection().exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

    held = b"".join(path.read_bytes() for path in tmp_path.glob("trivium.db*"))
    assert b"4711" not in held
    assert b"Jane Doe" not in held


def test_a_customer_is_erased_with_what_their_own_keys_did_and_what_that_was_about(audit: AuditLog) -> None:
    key_id = KeyRing(audit.sessions).issue(tenant="acme", label="till", customer="C-9").split("_")[1]
    note(audit, "support.answer", "s-1", actor=key_id)
    note(audit, "support.handoff", "s-1", actor="agent")
    note(audit, "support.answer", "s-2", actor="other")

    erase(audit, "acme", names=["C-9"], customer=True, reason="asked for", who=OFFICER)

    told = {(entry["kind"], entry["subject"]) for entry in audit.entries("acme") if entry["outcome"] is not None}
    assert told == {("audit.erase", ""), ("support.answer", "s-2"), ("keys.issue", key_id)}
    assert audit.verify("acme").broken_at is None


def test_a_payload_that_goes_without_an_entry_is_found(audit: AuditLog) -> None:
    for number in range(1, 5):
        note(audit, "finance.score", f"app-{number}")
    erase(audit, "acme", names=["app-1", "app-3"], reason="asked for", who=OFFICER)
    assert audit.verify("acme").broken_at is None
    with audit.sessions.begin() as session:
        gone = {"payload": None, "salt": None, "subject": ""}
        session.execute(update(AuditEntry).where(AuditEntry.sequence == 2).values(**gone))

    check = audit.verify("acme")
    assert (check.broken_at, check.reason) == (2, "row 2's payload is gone, and no entry tells that it was erased")


def test_erasing_nobody_is_refused(audit: AuditLog) -> None:
    with pytest.raises(InvalidInput, match="subject: must name somebody"):
        erase(audit, "acme", names=[""], reason="x", who=OFFICER)


# --- retention --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "days"), [("finance.score", 30), ("audit.export", 365), ("keys.issue", 365)])
def test_a_kind_is_kept_as_long_as_its_nearest_rule_says(kind: str, days: int) -> None:
    assert days_of(POLICY, kind) == days
    assert days_of({"medical.*": 1, "medical.sign": 9}, "medical.sign") == 9
    assert days_of({"medical.*": 1}, "finance.score") is None


def test_payloads_past_their_time_go_and_the_others_stay(audit: AuditLog) -> None:
    note(audit, "medical.sign", "rp-1")
    note(audit, "finance.score", "app-1")

    assert expire(audit, "acme", POLICY, now=NOW + timedelta(days=31), who=OFFICER) == 1
    assert seal(audit, "acme", POLICY, now=NOW + timedelta(days=31), who=OFFICER) == 0  # the first row is still kept
    check = audit.verify("acme")
    assert (check.broken_at, check.erased, check.erasures[0].kind) == (None, 1, "audit.expire")
    assert check.erasures[0].reason == "*=365,finance.*=30"
    assert expire(audit, "acme", POLICY, now=NOW + timedelta(days=31), who=OFFICER) == 0


def test_old_rows_are_sealed_off_and_later_checks_start_from_the_seal(audit: AuditLog) -> None:
    for number in range(4):
        note(audit, "finance.score", f"app-{number}")
    erase(audit, "acme", names=["app-1"], reason="asked for", who=OFFICER)
    last = Head(4, audit.entries("acme", before=5)[0]["sha256"])

    assert seal(audit, "acme", POLICY, now=NOW + timedelta(days=31), who=OFFICER) == 4
    assert audit.verify("acme", heads=[last]).broken_at is None
    assert "is not the one that a head names" in audit.verify("acme", heads=[Head(4, "ab" * 32)]).reason
    note(audit, "finance.score", "app-9")
    assert seal(audit, "acme", POLICY, now=NOW + timedelta(days=400), who=OFFICER) == 3
    check = audit.verify("acme")
    assert (check.broken_at, check.sealed, check.entries) == (None, 7, 1)
    told = audit.entries("acme")[0]
    assert (told["kind"], told["outcome"]["first"], told["outcome"]["last"]) == ("audit.seal", 5, 7)


def test_nothing_is_sealed_off_a_broken_chain(audit: AuditLog) -> None:
    note(audit, "finance.score", "app-1")
    with audit.sessions.begin() as session:
        session.execute(update(AuditEntry).values(kind="finance.scorE"))

    with pytest.raises(Conflict, match="the chain is broken at 1"):
        seal(audit, "acme", POLICY, now=NOW + timedelta(days=31), who=OFFICER)
    assert len(audit.entries("acme")) == 1


def test_heads_are_kept_beside_the_reports_and_hold_the_chain_to_its_word(audit: AuditLog, tmp_path: Path) -> None:
    note(audit, "finance.score", "app-1")
    with audit.sessions() as session:
        keep_heads(session, tmp_path / "reports")
    note(audit, "finance.score", "app-2")

    [kept] = kept_heads(tmp_path / "reports", "acme")
    assert audit.verify("acme", heads=[kept]).broken_at is None
    assert list(kept_heads(tmp_path / "reports", "other")) == []
    (tmp_path / "reports" / "audit-heads.jsonl").write_text("{}\n")
    with pytest.raises(InvalidInput, match="has a line that is no kept head"):
        list(kept_heads(tmp_path / "reports", "acme"))
