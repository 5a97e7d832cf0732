"""Events are checked at the border, kept once, and never changed."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, select
from sqlalchemy.orm import Session, sessionmaker

from tests.intruder import between, intruder
from tests.verticals.finance.histories.histories import NOW
from verticals.finance.histories.events import Event, read_events
from verticals.finance.histories.store import EventStore
from verticals.finance.histories.tables import FinanceEmbeddingDue


def row(event_id: str = "e1", **changes: Any) -> dict[str, Any]:
    return {"event_id": event_id, "at": "2026-05-01T12:00:00Z", "kind": "salary", "amount": "2000.50"} | changes


def events(*rows: dict[str, Any]) -> list[Event]:
    good, bad = read_events(rows, now=NOW)
    assert bad == []
    return good


@pytest.mark.parametrize(
    ("change", "field", "rule"),
    [
        ({"kind": "theft"}, "kind", "must be one of 'salary'"),
        ({"amount": "-1"}, "amount", "must be at least 0"),
        ({"amount": "1.234"}, "amount", "at most 2 decimal places"),
        ({"amount": "NaN"}, "amount", "finite number"),
        ({"amount": "2000000000"}, "amount", "must be at most 1000000000.00"),
        ({"at": "2026-05-01T12:00:00"}, "at", "must name its time zone"),
        ({"at": (NOW + timedelta(days=1)).isoformat()}, "at", "between 1990 and now"),
        ({"at": "1200-01-01T00:00:00Z"}, "at", "between 1990 and now"),
        ({"category": "weapons"}, "category", "must be one of 'groceries'"),
        ({"event_id": "Jane Doe"}, "event_id", "must be of the form"),
        ({"iban": "x"}, "iban", "is not known here"),
    ],
)
def test_a_bad_row_is_told_with_field_and_rule_and_the_others_are_read(
    change: dict[str, Any], field: str, rule: str
) -> None:
    good, bad = read_events([row("a"), row("b") | change, row("c")], now=NOW)

    assert [event.event_id for event in good] == ["a", "c"]
    assert [(b.row_idx, b.field) for b in bad] == [(1, field)]
    assert rule in bad[0].rule


def test_a_bad_value_is_not_repeated_in_the_message() -> None:
    _, bad = read_events([row(kind="Jane's secret")], now=NOW)

    assert "Jane" not in str(bad)


def test_an_id_that_comes_twice_in_a_request_is_kept_once() -> None:
    good, bad = read_events([row("a"), row("a", amount="3")], now=NOW)

    assert [str(event.amount) for event in good] == ["2000.50"]
    assert [(b.row_idx, b.field) for b in bad] == [(1, "event_id")]


def test_money_and_time_come_back_to_the_cent_and_the_second(sessions: sessionmaker[Session]) -> None:
    store = EventStore(sessions)
    store.append("bank", "c", events(row(at="2026-05-01T14:00:00.9+02:00")))

    [found] = store.table("bank", ["c"], as_of=NOW).to_dict("records")

    assert found["at_s"] == 1_777_636_800
    assert found["amount_cents"] == 200_050
    assert found["category"] is None


def test_the_same_event_again_does_no_harm_and_another_content_is_refused(sessions: sessionmaker[Session]) -> None:
    store = EventStore(sessions)
    first = store.append("bank", "c", events(row("a"), row("b")))
    again = store.append("bank", "c", events(row("a"), row("b", amount="1"), row("d")))

    assert (first.num_new, first.num_known, first.bad) == (2, 0, ())
    assert (again.num_new, again.num_known) == (1, 1)
    assert [(b.row_idx, b.field) for b in again.bad] == [(1, "event_id")]
    assert store.table("bank", ["c"], as_of=NOW)["amount_cents"].tolist() == [200_050] * 3


def test_tenants_and_customers_do_not_see_each_other(sessions: sessionmaker[Session]) -> None:
    store = EventStore(sessions)
    store.append("bank", "c", events(row("a")))

    assert store.append("other", "c", events(row("a", amount="7"))).num_new == 1
    assert store.append("bank", "d", events(row("a", amount="8"))).num_new == 1
    assert store.table("bank", ["c"], as_of=NOW)["amount_cents"].tolist() == [200_050]
    assert store.page("other", "c", limit=10, offset=0)[1] == 1


def test_a_page_is_newest_first(sessions: sessionmaker[Session]) -> None:
    store = EventStore(sessions)
    store.append("bank", "c", events(*(row(f"e{i}", at=f"2026-05-0{i}T00:00:00Z") for i in range(1, 6))))

    page, total = store.page("bank", "c", limit=2, offset=1)

    assert ([e.event_id for e in page], total) == (["e4", "e3"], 5)


def test_new_events_mark_the_vector_as_due_and_known_ones_do_not(sessions: sessionmaker[Session]) -> None:
    store = EventStore(sessions)

    def ticket() -> str | None:
        with sessions() as session:
            return session.scalar(select(FinanceEmbeddingDue.ticket))

    assert ticket() is None
    store.append("bank", "c", events(row("a")))
    first = ticket()
    store.append("bank", "c", events(row("a")))
    assert ticket() == first
    store.append("bank", "c", events(row("b")))
    assert ticket() not in (None, first)


def test_two_who_append_the_same_events_at_once_leave_them_once(sessions: sessionmaker[Session]) -> None:
    store, start, found = EventStore(sessions), threading.Barrier(2), []
    many = events(*(row(f"e{i}") for i in range(50)))

    def append() -> None:
        start.wait()
        found.append(store.append("bank", "c", many))

    threads = [threading.Thread(target=append) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted((a.num_new, a.num_known) for a in found) == [(0, 50), (50, 0)]
    assert len(store.table("bank", ["c"], as_of=NOW)) == 50


def test_events_that_come_as_the_vector_of_the_last_ones_is_stored_are_kept(sessions: sessionmaker[Session]) -> None:
    store, engine = EventStore(sessions), sessions.kw["bind"]
    store.append("bank", "c-1", events(row("e1")))

    def take_the_mark(by: sessionmaker[Session]) -> None:
        with by.begin() as session:
            session.execute(delete(FinanceEmbeddingDue))

    with intruder(engine) as own, between(engine, lambda: take_the_mark(own), after="FROM finance_embeddings_due"):
        assert store.append("bank", "c-1", events(row("e2"))).num_new == 1

    assert store.page("bank", "c-1", limit=9, offset=0)[1] == 2
