"""A customer's memory holds in time, answers to one owner alone, and is gone when it is forgotten."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import StaticPool

from tests.databases import migrated_engine
from tests.retrieval.conftest import WordEmbedder
from verticals.contract import Base
from verticals.support.memory.store import CustomerMemory, Owner
from verticals.support.memory.tables import EpisodeRow, FactRow, UnreadTurnRow

ANA, BEN = Owner("shop", "ana"), Owner("shop", "ben")
DAY = timedelta(days=1)
WHERE = "I live in Portland. We moved to Denver."
START = datetime(2026, 1, 1, tzinfo=UTC)


def in_memory() -> sessionmaker[Session]:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    tables = [table.__table__ for table in (FactRow, EpisodeRow, UnreadTurnRow)]
    Base.metadata.create_all(engine, tables=tables)  # type: ignore[arg-type]
    return sessionmaker(engine)


@pytest.fixture
def sessions(tmp_path: Path) -> sessionmaker[Session]:
    return sessionmaker(migrated_engine(tmp_path))


@pytest.fixture
def memory(sessions: sessionmaker[Session]) -> CustomerMemory:
    return CustomerMemory(sessions, WordEmbedder())


def say(
    memory: CustomerMemory, sessions: sessionmaker[Session], text: str, *, day: int, owner: Owner = ANA, turn: int = 1
) -> None:
    with sessions.begin() as session:
        memory.note(owner, session=session, session_id=f"s{day}", turn=turn, text=text, said_at=START + day * DAY)


def values(memory: CustomerMemory, query: str, *, day: int, owner: Owner = ANA) -> list[str]:
    return [found.value for found in memory.recall(owner, query, at=START + day * DAY)]


def test_a_new_value_ends_the_old_one_and_the_past_stays_true(
    memory: CustomerMemory, sessions: sessionmaker[Session]
) -> None:
    say(memory, sessions, "I live in Portland.", day=1)
    say(memory, sessions, "We moved to Denver.", day=5)
    memory.digest()

    assert values(memory, WHERE, day=6) == ["Denver"]
    assert values(memory, WHERE, day=3) == ["Portland"]
    assert values(memory, WHERE, day=0) == []


def test_what_was_said_earlier_but_is_read_later_does_not_win(
    memory: CustomerMemory, sessions: sessionmaker[Session]
) -> None:
    say(memory, sessions, "We moved to Denver.", day=5)
    memory.digest()
    say(memory, sessions, "I live in Portland.", day=1)
    memory.digest()

    assert values(memory, WHERE, day=6) == ["Denver"]
    assert values(memory, WHERE, day=3) == ["Portland"]


def test_what_is_over_is_no_longer_recalled(memory: CustomerMemory, sessions: sessionmaker[Session]) -> None:
    say(memory, sessions, "We have a dog.", day=1)
    say(memory, sessions, "We no longer have a dog.", day=2)
    memory.digest()

    assert values(memory, "We have a dog.", day=3) == []
    assert [kept.valid_to for kept in memory.everything(ANA)] == [START + 2 * DAY]


def test_reading_twice_and_saying_twice_add_nothing(memory: CustomerMemory, sessions: sessionmaker[Session]) -> None:
    say(memory, sessions, "We have a dog.", day=1)
    say(memory, sessions, "We have a dog.", day=2)

    assert (memory.digest(), memory.digest()) == (2, 0)
    assert len(memory.everything(ANA)) == 1


def test_only_what_bears_on_the_question_comes_back_and_names_always_do(
    memory: CustomerMemory, sessions: sessionmaker[Session]
) -> None:
    say(memory, sessions, "Call me Sam. I love oak tables. I bought a robot vacuum.", day=1)
    memory.digest()

    assert values(memory, "I love oak tables.", day=2) == ["Sam", "oak tables"]


def test_a_past_conversation_comes_back_as_an_episode(memory: CustomerMemory) -> None:
    memory.close_episode(ANA, session_id="s1", text="The lamp arrived broken.", ended_at=START)
    memory.close_episode(ANA, session_id="s1", text="The lamp arrived broken twice.", ended_at=START)

    assert values(memory, "The lamp arrived broken.", day=1) == ["The lamp arrived broken twice."]


def test_customers_and_tenants_share_nothing(memory: CustomerMemory, sessions: sessionmaker[Session]) -> None:
    say(memory, sessions, "I love oak tables.", day=1)
    memory.digest()

    for other in (BEN, Owner("elsewhere", "ana")):
        assert values(memory, "I love oak tables.", day=2, owner=other) == []
        assert memory.forget(other) == 0
    assert len(memory.everything(ANA)) == 1


def test_forgetting_takes_what_was_not_read_yet_too(memory: CustomerMemory, sessions: sessionmaker[Session]) -> None:
    say(memory, sessions, "I love oak tables.", day=1)
    memory.digest()
    say(memory, sessions, "I love pine shelves.", day=2)

    assert memory.forget(ANA) == 1
    memory.digest()
    assert memory.everything(ANA) == []


def test_one_memory_can_be_forgotten_alone(memory: CustomerMemory, sessions: sessionmaker[Session]) -> None:
    say(memory, sessions, "I love oak tables. I love pine shelves.", day=1)
    oak, pine = memory.everything(ANA)

    assert memory.forget(ANA, memory_id=oak.memory_id) == 1
    assert memory.everything(ANA) == [pine]


@settings(max_examples=40, deadline=None)
@given(st.permutations(list(enumerate(["Portland", "Denver", "Boston", "Austin"]))), st.data())
def test_in_whatever_order_messages_are_read_one_place_holds_at_a_time(
    order: list[tuple[int, str]], data: st.DataObject
) -> None:
    sessions = in_memory()
    memory = CustomerMemory(sessions, WordEmbedder())
    for day, place in order:
        say(memory, sessions, f"I live in {place}.", day=day)
        if data.draw(st.booleans()):
            memory.digest()
    memory.digest()

    for day, place in enumerate(["Portland", "Denver", "Boston", "Austin"]):
        assert values(memory, f"I live in {place}.", day=day) == [place]
