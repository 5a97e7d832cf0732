"""The trail while others write it: nothing is called altered that is not, and nothing goes that is to stay."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.orm import Session, sessionmaker

from service.audit import AuditLog
from service.audit_replay import replay_entry
from service.audit_retention import seal
from service.registry import FileRegistry
from tests.intruder import between, intruder
from verticals.contract import Decision

WHO = {"tenant": "acme", "actor": "key1", "request_id": "r1"}
POLICY = {"finance.*": 30, "*": 365}
LATER = datetime.now(UTC) + timedelta(days=31)


@pytest.fixture
def log(sessions: sessionmaker[Session]) -> AuditLog:
    """Five entries that are old by `LATER`."""
    audit = AuditLog(sessions)
    note(audit, "finance.score", times=5)
    return audit


@pytest.fixture
def other(log: AuditLog) -> Iterator[AuditLog]:
    """Another process."""
    with intruder(log.sessions.kw["bind"]) as own:
        yield AuditLog(own)


def note(audit: AuditLog, kind: str, *, times: int = 1) -> None:
    audit.record(*[Decision(kind, "s", "ab" * 32, {}, "m@1")] * times, who=WHO)


def seal_old(audit: AuditLog) -> int:
    return seal(audit, "acme", POLICY, now=LATER, who=WHO)


def test_rows_that_are_sealed_off_during_a_check_are_not_missing(log: AuditLog, other: AuditLog) -> None:
    with between(log.sessions.kw["bind"], lambda: seal_old(other), after="audit_seals"):
        check = log.verify("acme")

    assert (check.broken_at, check.reason, check.entries) == (None, "", 5)
    assert log.verify("acme").sealed == 5


def test_a_row_that_is_sealed_off_during_its_replay_is_what_was_recorded(log: AuditLog, other: AuditLog) -> None:
    with between(log.sessions.kw["bind"], lambda: seal_old(other), after="audit_entries"):
        found = replay_entry(FileRegistry(None), log.sessions, {}, tenant="acme", sequence=3)  # type: ignore[arg-type]

    assert found.verdict == "not replayable"


def test_an_entry_that_comes_while_old_ones_are_looked_for_is_not_sealed_off(log: AuditLog, other: AuditLog) -> None:
    with between(log.sessions.kw["bind"], lambda: note(other, "keys.issue"), after="audit_entries.at "):
        assert seal_old(log) == 5

    assert [entry["kind"] for entry in log.entries("acme")] == ["audit.seal", "keys.issue"]
    assert log.verify("acme").broken_at is None


def test_of_two_who_seal_at_once_one_finds_it_done(log: AuditLog, other: AuditLog) -> None:
    sealed = []
    with between(log.sessions.kw["bind"], lambda: sealed.append(seal_old(other)), after="audit_seals"):
        sealed.append(seal_old(log))

    assert sorted(sealed) == [0, 5]
    assert (log.verify("acme").broken_at, log.verify("acme").sealed) == (None, 5)
