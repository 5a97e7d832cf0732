"""Vectors follow events off the request, survive a crash, and are read as of a moment."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from tests.conftest import wait_for
from tests.intruder import between, intruder
from tests.verticals.finance.conftest import FolderRegistry
from tests.verticals.finance.histories.histories import NOW
from verticals.finance.histories.embeddings import EmbeddingStore, InBackground
from verticals.finance.histories.encoder import EncoderConfig, EventEncoder, read_histories
from verticals.finance.histories.events import Event
from verticals.finance.histories.head import SequenceHead
from verticals.finance.histories.model import SEQUENCE, to_files
from verticals.finance.histories.store import EventStore
from verticals.finance.histories.tables import FinanceEmbedding, FinanceEmbeddingDue

SMALL = EncoderConfig(dim=8, num_layers=1, num_heads=2)
CARD = dict.fromkeys(("trained_on", "licence", "recipe", "limits"), "synthetic") | {"metrics": {}}


def told(tenant: str, customers: Sequence[str]) -> None:
    """Nobody makes terms of the vectors."""


def register(registry: FolderRegistry, *, seed: int = 0) -> EventEncoder:
    encoder = EventEncoder(SMALL, seed=seed)
    registry.save(SEQUENCE, to_files(encoder, SequenceHead(np.ones(8, np.float32), 0.0, 2.0)), CARD)
    return encoder


@pytest.fixture
def registry(tmp_path: Path) -> FolderRegistry:
    (tmp_path / "registry").mkdir()
    return FolderRegistry(tmp_path / "registry")


@pytest.fixture
def events(sessions: sessionmaker[Session]) -> EventStore:
    return EventStore(sessions)


@pytest.fixture
def store(sessions: sessionmaker[Session], events: EventStore, registry: FolderRegistry) -> EmbeddingStore:
    return EmbeddingStore(sessions, events, registry)


def event(event_id: str, *, days_ago: float, **changes: Any) -> Event:
    fields: Mapping[str, Any] = {"kind": "salary", "amount": 2000} | changes
    return Event(event_id=event_id, at=NOW - timedelta(days=days_ago), **fields)


def count(sessions: sessionmaker[Session], table: type[Any]) -> int:
    with sessions() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def test_a_refresh_stores_the_encoders_vector_and_leaves_nothing_due(
    sessions: sessionmaker[Session], events: EventStore, store: EmbeddingStore, registry: FolderRegistry
) -> None:
    encoder = register(registry)
    for tenant, customer in (("bank", "a"), ("bank", "b"), ("other", "a")):
        events.append(tenant, customer, [event("e1", days_ago=9), event("e2", days_ago=3 if tenant == "bank" else 4)])

    assert store.refresh(told) == 3
    assert count(sessions, FinanceEmbeddingDue) == 0
    assert store.refresh(told) == 0
    found = store.sequence_features("bank", "a", NOW)
    assert found is not None
    expected = encoder.embed(read_histories(events.table("bank", ["a"], as_of=NOW), ["a"]))
    assert found == pytest.approx(expected[0], abs=1e-6)
    other = store.sequence_features("other", "a", NOW)
    assert other is not None
    assert np.abs(other - found).max() > 0


def test_a_moment_sees_only_vectors_of_events_before_it(
    events: EventStore, store: EmbeddingStore, registry: FolderRegistry
) -> None:
    register(registry)
    for name, days_ago in (("e1", 30), ("e2", 10)):
        events.append("bank", "c", [event(name, days_ago=days_ago)])
        store.refresh(told)

    def events_in(as_of: datetime) -> int | None:
        row = store.newest("bank", "c", as_of)
        return None if row is None else row.num_events

    assert [events_in(NOW - timedelta(days=days)) for days in (31, 30, 11, 10, 0)] == [None, 1, 1, 2, 2]
    assert store.sequence_features("bank", "c", NOW - timedelta(days=31)) is None


def test_without_a_model_vectors_stay_due_and_there_are_none(
    sessions: sessionmaker[Session], events: EventStore, store: EmbeddingStore, registry: FolderRegistry
) -> None:
    events.append("bank", "c", [event("e1", days_ago=1)])

    assert store.refresh(told) == 0
    assert count(sessions, FinanceEmbeddingDue) == 1
    assert store.sequence_features("bank", "c", NOW) is None
    register(registry)
    assert store.refresh(told) == 1
    assert store.sequence_features("bank", "c", NOW) is not None
    assert store.sequence_features("bank", "nobody", NOW) is None


def test_an_event_that_comes_while_its_vector_is_made_leaves_the_customer_due(
    sessions: sessionmaker[Session], events: EventStore, registry: FolderRegistry
) -> None:
    class Late(EventStore):
        """More events come right after the table was read, once."""

        late: tuple[Event, ...] = (event("e2", days_ago=1),)

        def table(self, *args: Any, **options: Any) -> Any:
            found = super().table(*args, **options)
            while self.late:
                late, self.late = self.late, ()
                events.append("bank", "c", late)
            return found

    register(registry)
    events.append("bank", "c", [event("e1", days_ago=5)])
    store = EmbeddingStore(sessions, Late(sessions), registry)

    assert store.refresh(told) == 2
    newest = store.newest("bank", "c", NOW)
    assert newest is not None
    assert newest.num_events == 2
    assert count(sessions, FinanceEmbedding) == 2


def test_a_history_that_is_erased_while_its_vector_is_made_leaves_no_vector(
    sessions: sessionmaker[Session], events: EventStore, registry: FolderRegistry
) -> None:
    class Erasing(EventStore):
        """The history is erased right after the table was read."""

        def table(self, *args: Any, **options: Any) -> Any:
            found = super().table(*args, **options)
            with sessions.begin() as session:
                events.erase(session, "bank", "c")
            return found

    register(registry)
    events.append("bank", "c", [event("e1", days_ago=5)])

    EmbeddingStore(sessions, Erasing(sessions), registry).refresh(told)

    assert count(sessions, FinanceEmbedding) == 0


def test_a_new_version_of_the_model_makes_everyone_due_once(
    sessions: sessionmaker[Session], tmp_path: Path, events: EventStore, store: EmbeddingStore, registry: FolderRegistry
) -> None:
    register(registry)
    events.append("bank", "a", [event("e1", days_ago=1)])
    store.refresh(told)
    events.append("bank", "b", [event("e1", days_ago=1)])
    assert count(sessions, FinanceEmbeddingDue) == 1  # b, as before

    (tmp_path / "newer").mkdir()
    newer = FolderRegistry(tmp_path / "newer")
    register(newer, seed=1)
    after = EmbeddingStore(sessions, events, newer)
    assert after.refresh(told) == 2
    assert after.refresh(told) == 0
    assert count(sessions, FinanceEmbedding) == 3


def test_work_in_the_background_runs_after_each_wake_and_outlives_an_error() -> None:
    begun, go, runs = threading.Event(), threading.Event(), []

    def work() -> None:
        begun.set()
        assert go.wait(10)
        runs.append(1)
        if len(runs) == 1:
            raise ValueError("the database was away")

    background = InBackground(work)
    background.wake()
    assert begun.wait(10)
    for _ in range(5):
        background.wake()  # one more run, not five
    go.set()

    assert wait_for(lambda: len(runs) == 2)
    background.wake()
    assert wait_for(lambda: len(runs) == 3)


def test_a_customer_who_is_erased_while_a_vector_is_stored_has_none(
    sessions: sessionmaker[Session], events: EventStore, store: EmbeddingStore, registry: FolderRegistry
) -> None:
    register(registry)
    events.append("bank", "c-1", [event("e1", days_ago=3)])
    engine = sessions.kw["bind"]

    def erase(by: sessionmaker[Session]) -> None:
        with by.begin() as session:
            events.erase(session, "bank", "c-1")

    its = "finance_embeddings_due.customer = "
    with intruder(engine) as own, between(engine, lambda: erase(own), after=its):
        store.refresh(told)

    with sessions() as session:
        assert session.scalar(select(func.count()).select_from(FinanceEmbedding)) == 0
