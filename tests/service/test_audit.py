"""The audit chain holds every decision, and any edit, deletion or reordering shows."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session, sessionmaker

from service.audit import AuditLog
from service.audit_read import AuditFilter
from service.audit_retention import erase, expire, seal
from service.audit_tables import AuditEntry, AuditHead, chain_hash
from verticals.bulk import MAX_ROWS
from verticals.contract import Decision

WHO = {"tenant": "acme", "actor": "key1", "request_id": "r1"}


def decision(subject: str = "application-1", points: int = 600) -> Decision:
    return Decision(
        kind="finance.score", subject=subject, input_sha256="0" * 64, outcome={"points": points}, model_version="v1"
    )


@pytest.fixture
def log(sessions: sessionmaker[Session]) -> AuditLog:
    audit = AuditLog(sessions)
    for number in range(5):
        audit.record(decision(f"application-{number}", 600 + number), who=WHO)
    return audit


def test_an_untouched_chain_is_whole(log: AuditLog) -> None:
    check = log.verify("acme")

    assert (check.entries, check.broken_at) == (5, None)


def test_a_group_longer_than_a_statement_is_kept_in_its_order(log: AuditLog) -> None:
    group = tuple(decision(f"group-{number}") for number in range(2 * MAX_ROWS + 3))
    log.record(*group, who=WHO)
    newest = log.entries("acme", limit=len(group))

    assert [entry["subject"] for entry in reversed(newest)] == [one.subject for one in group]
    assert log.verify("acme").broken_at is None


def test_entries_come_newest_first_and_hold_what_was_decided(log: AuditLog) -> None:
    newest = log.entries("acme", limit=2)

    assert [entry["sequence"] for entry in newest] == [5, 4]
    assert newest[0]["outcome"] == {"points": 604}
    assert newest[0]["actor"] == "key1"


@pytest.mark.parametrize("column", ["content", "payload", "subject"])
def test_an_edited_row_is_found(log: AuditLog, sessions: sessionmaker[Session], column: str) -> None:
    with sessions.begin() as session:
        session.execute(update(AuditEntry).where(AuditEntry.sequence == 3).values({column: '{"points": 9}'}))

    assert log.verify("acme").broken_at == 3


@pytest.mark.parametrize("sequence", [1, 3, 5])
def test_a_deleted_row_is_found_also_the_last(log: AuditLog, sessions: sessionmaker[Session], sequence: int) -> None:
    with sessions.begin() as session:
        session.execute(delete(AuditEntry).where(AuditEntry.sequence == sequence))

    assert log.verify("acme").broken_at is not None


def test_two_rows_that_change_places_are_found(log: AuditLog, sessions: sessionmaker[Session]) -> None:
    with sessions.begin() as session:
        second, third = session.get_one(AuditEntry, ("acme", 2)), session.get_one(AuditEntry, ("acme", 3))
        second.content, third.content = third.content, second.content
        second.sha256, third.sha256 = third.sha256, second.sha256

    assert log.verify("acme").broken_at == 2


def test_filters_erasure_and_seals_are_alike_on_each_database(log: AuditLog) -> None:
    log.record(Decision("medical.sign", "RP_1%", "0" * 64, {"state": "FINAL"}, "v1"), who=WHO)
    erase(log, "acme", names=["application-2"], reason="asked for", who=WHO)
    later = datetime.now(UTC) + timedelta(days=40)
    assert seal(log, "acme", {"finance.*": 30}, now=later, who=WHO) == 5
    assert expire(log, "acme", {"medical.*": 30}, now=later, who=WHO) == 1

    check = log.verify("acme")
    assert (check.broken_at, check.sealed, check.entries, check.erased) == (None, 5, 4, 1)
    only = AuditFilter(kind="audit.*", outcome="ASKED", since=datetime.now(UTC) - timedelta(hours=1))
    assert [entry["kind"] for entry in log.entries("acme", only=only)] == ["audit.erase"]


def test_a_missing_head_is_found(log: AuditLog, sessions: sessionmaker[Session]) -> None:
    with sessions.begin() as session:
        session.execute(delete(AuditHead))

    assert log.verify("acme").reason == "the head is missing"


def test_each_tenant_has_its_own_chain(log: AuditLog) -> None:
    log.record(decision(), who={**WHO, "tenant": "other"})

    assert log.verify("other").entries == 1
    assert log.verify("acme").entries == 5
    assert log.tenants() == ["acme", "other"]


def test_a_decision_is_rolled_back_with_the_change_that_it_describes(
    log: AuditLog, sessions: sessionmaker[Session]
) -> None:
    with sessions() as session:
        log.record(decision("rolled back"), who=WHO, session=session)
        session.rollback()

    assert log.verify("acme").entries == 5


def test_concurrent_writers_lose_and_double_nothing(sessions: sessionmaker[Session]) -> None:
    audit = AuditLog(sessions)
    failures: list[Exception] = []

    def write(worker: int) -> None:
        try:
            for number in range(10):
                audit.record(decision(f"{worker}-{number}"), who=WHO)
        except Exception as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=write, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    check = audit.verify("acme")
    assert (check.entries, check.broken_at) == (40, None)
    with sessions() as session:
        assert len({row.subject for row in session.scalars(select(AuditEntry))}) == 40


@settings(max_examples=25, deadline=None)
@given(
    content=st.text(st.characters(exclude_categories=("Cs",)), min_size=1),
    position=st.integers(0, 10_000),
    replacement=st.characters(exclude_categories=("Cs",)),
)
def test_every_single_character_edit_changes_the_link(content: str, position: int, replacement: str) -> None:
    at = position % len(content)
    changed = content[:at] + replacement + content[at + 1 :]

    assert (chain_hash("0" * 64, changed) == chain_hash("0" * 64, content)) == (changed == content)
