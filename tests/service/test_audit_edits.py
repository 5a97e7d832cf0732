"""Any one edit, deletion, insertion or exchange of rows in the tables of the trail is found, and named."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Table, delete, insert, select, update
from sqlalchemy.orm import Session, sessionmaker

from service.audit import AuditLog
from service.audit_check import Head, check_chain
from service.audit_retention import erase, seal
from service.audit_tables import GENESIS, AuditEntry, AuditHead, AuditSeal, canonical, chain_hash
from service.storage import make_sessions, open_database
from tests.databases import migrated_url
from verticals.contract import Decision, InvalidInput

WHO = {"tenant": "acme", "actor": "key1", "request_id": "r1"}
TABLES: tuple[Any, ...] = (AuditEntry.__table__, AuditHead.__table__, AuditSeal.__table__)


def decision(subject: str) -> Decision:
    return Decision("finance.score", subject, "0" * 64, {"points": 600, "decision": "approve"}, "v1", "p1")


def add_old_entry(session: Session) -> None:
    """An entry as it was written before there were payloads: all that it says is in its content."""
    told = {"sequence": 1, "at": "2026-01-01T00:00:00+00:00", **WHO, **vars(decision("old")), "kind": "finance.old"}
    content = canonical(told)
    row = {name: told[name] for name in ("tenant", "sequence", "kind", "actor", "at", "subject")}
    sha256 = chain_hash(GENESIS, content)
    session.execute(insert(AuditEntry).values(**row, content=content, sha256=sha256))
    session.execute(insert(AuditHead).values(tenant="acme", sequence=1, sha256=sha256))


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sessionmaker[Session]]:
    """A chain with everything in it: an old row sealed off, one erased, and the entries that say so."""
    engine = open_database(migrated_url(tmp_path_factory.mktemp("chain"), "sqlite"))
    sessions = make_sessions(engine)
    with sessions.begin() as session:
        add_old_entry(session)
    audit = AuditLog(sessions)
    for number in range(2, 9):
        audit.record(decision(f"a-{number}"), who=WHO, since_s=0.0)
    seal(audit, "acme", {"finance.old": 1}, now=datetime.now(UTC) + timedelta(days=2), who=WHO)
    erase(audit, "acme", names=["a-4"], reason="asked for", who=WHO)
    audit.record(decision("last"), who=WHO)
    yield sessions
    engine.dispose()


def broken(session: Session) -> tuple[int | None, str]:
    session.expire_all()
    found = check_chain(session, "acme")
    return found.broken_at, found.reason


def some_row(data: st.DataObject, session: Session, table: Table) -> dict[str, Any]:
    rows = session.execute(select(table).order_by(*table.primary_key.columns)).mappings().all()
    return dict(data.draw(st.sampled_from(rows)))


def only(table: Table, row: dict[str, Any]) -> Any:
    key = [column == row[column.name] for column in table.primary_key.columns]
    return key[0] & key[1] if len(key) > 1 else key[0]


def test_a_chain_with_seal_old_and_erased_rows_is_whole_and_says_what_is_gone(chain: sessionmaker[Session]) -> None:
    found = AuditLog(chain).verify("acme")

    assert (found.broken_at, found.sealed, found.erased, found.entries) == (None, 1, 1, 10)
    assert [(one.kind, one.ranges, one.reason) for one in found.erasures] == [("audit.erase", ((4, 4),), "asked for")]


@settings(max_examples=120)
@given(data=st.data())
def test_every_single_edit_of_any_column_is_found_and_named(chain: sessionmaker[Session], data: st.DataObject) -> None:
    table = data.draw(st.sampled_from(TABLES))
    with chain() as session:
        row = some_row(data, session, table)
        column = data.draw(st.sampled_from([c.name for c in table.columns]))
        was = row[column]
        if isinstance(was, int):
            now: Any = data.draw(st.integers(0, 99).filter(lambda number: number != was))
        elif was is None:
            now = data.draw(st.text("ab{}", min_size=1, max_size=4))
        else:
            at = data.draw(st.integers(0, len(was)))
            now = was[:at] + data.draw(st.sampled_from(["", "x", "0", '"'])) + was[at + 1 :]
            now = now if now != was else f"{was}y"
            now = data.draw(st.sampled_from([now, None])) if table.c[column].nullable else now
        keyed = column in table.primary_key.columns and isinstance(was, int)
        if keyed and session.execute(select(table).where(only(table, row | {column: now}))).first():
            return  # the database itself refuses a second row of one number
        session.execute(update(table).where(only(table, row)).values({column: now}))

        at_row, reason = broken(session)
        session.rollback()
    assert at_row is not None
    if table is AuditEntry.__table__ and column not in ("tenant", "sequence"):
        assert at_row == row["sequence"]
        assert f"row {at_row}" in reason


@settings(max_examples=25)
@given(data=st.data())
def test_every_deletion_is_found(chain: sessionmaker[Session], data: st.DataObject) -> None:
    table = data.draw(st.sampled_from(TABLES))
    with chain() as session:
        row = some_row(data, session, table)
        session.execute(delete(table).where(only(table, row)))

        at_row, reason = broken(session)
        session.rollback()
    assert at_row is not None
    if table is AuditEntry.__table__:
        assert (at_row, "missing" in reason) == (row["sequence"], True)


@settings(max_examples=25)
@given(data=st.data())
def test_two_rows_that_change_places_are_found_and_named(chain: sessionmaker[Session], data: st.DataObject) -> None:
    with chain() as session:
        rows = session.execute(select(AuditEntry.__table__)).mappings().all()
        one, other = data.draw(
            st.lists(st.sampled_from(rows), min_size=2, max_size=2, unique_by=lambda r: r["sequence"])
        )
        for place, held in ((one, other), (other, one)):
            values = {name: value for name, value in held.items() if name not in ("tenant", "sequence")}
            session.execute(update(AuditEntry).where(only(AuditEntry.__table__, dict(place))).values(**values))
        first, second = sorted((one["sequence"], other["sequence"]))

        found = broken(session)
        session.rollback()
    assert found == (first, f"row {first} is not in its place: it was row {second}")


@pytest.mark.parametrize(("number", "reason"), [(1, "row 1 was sealed off, and is there again"), (12, "it was added")])
def test_an_insertion_is_found_before_and_behind_the_chain(
    chain: sessionmaker[Session], number: int, reason: str
) -> None:
    with chain() as session:
        newest = dict(session.execute(select(AuditEntry.__table__).where(AuditEntry.sequence == 11)).mappings().one())
        content = newest["content"].replace('"sequence":11', f'"sequence":{number}')
        added = {"sequence": number, "content": content, "sha256": chain_hash(newest["sha256"], content)}
        session.execute(insert(AuditEntry).values(**(newest | added)))

        found = broken(session)
        session.rollback()
    assert reason in found[1]


# --- who may write to the whole database ------------------------------------------------------------------------------


def test_a_chain_cut_with_its_head_is_found_by_a_head_that_was_kept_elsewhere(chain: sessionmaker[Session]) -> None:
    audit = AuditLog(chain)
    kept = Head.parse(audit.verify("acme").head or "")
    with chain() as session:
        session.execute(delete(AuditEntry).where(AuditEntry.sequence > 10))
        shorter = session.get_one(AuditEntry, ("acme", 10))
        session.execute(update(AuditHead).values(sequence=10, sha256=shorter.sha256))
        session.expire_all()

        assert check_chain(session, "acme").broken_at is None
        found = check_chain(session, "acme", heads=[kept])
        session.rollback()
    assert (found.broken_at, found.reason) == (11, "rows at the end are missing: 11 to 11")


def test_a_chain_written_anew_is_found_by_a_kept_head(chain: sessionmaker[Session]) -> None:
    audit = AuditLog(chain)
    for name in ("true", "forged"):
        audit.record(decision("a-1"), decision("a-2"), who=WHO | {"tenant": name})
    kept = Head.parse(audit.verify("true").head or "")

    assert audit.verify("true", heads=[kept]).broken_at is None
    assert audit.verify("forged").broken_at is None
    assert audit.verify("forged", heads=[kept]).reason == "row 2 is not the one that a head names"


@pytest.mark.parametrize("text", ["", "12", "12:xyz", ":" + "0" * 64])
def test_a_head_of_another_form_is_named(text: str) -> None:
    with pytest.raises(InvalidInput, match="head: must be NUMBER:SHA-256"):
        Head.parse(text)
