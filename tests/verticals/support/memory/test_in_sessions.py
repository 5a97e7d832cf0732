"""A known customer's sessions are remembered, shown to them, and forgotten when they ask."""

from __future__ import annotations

import json

import pytest
from sqlalchemy.orm import Session, sessionmaker

from tests.core_model.tiny import wait_until
from tests.verticals.support.fakes import hit
from tests.verticals.support.world import BEN, World, text_of
from verticals.contract import InvalidInput, NotFound
from verticals.support import schemas as s


@pytest.fixture
def world(sessions: sessionmaker[Session]) -> World:
    return World(sessions)


def memory_of(world: World, customer: str = "C-1001") -> list[tuple[str, str]]:
    view: s.MemoryView = world.call("get_memory", s.CustomerRequest(), who=world.key(customer))
    return [(kept.attribute, kept.value) for kept in view.memories]


def test_what_a_customer_states_is_known_in_the_next_session(world: World) -> None:
    world.say(world.begin(), "Please call me Sam.")
    assert memory_of(world) == [("preferred_name", "Sam")]

    assert text_of(world.say(world.begin(), "Hello")).startswith("Hello Sam, ")


def test_an_answer_tells_what_was_remembered_for_it(world: World) -> None:
    world.knowledge.hits = [hit("Oak tables ship in two weeks.")]
    world.say(world.begin(), "I love oak tables.")
    memory_of(world)

    events = world.say(world.begin(), "How long do oak tables that I love take?")

    (event,) = [event for event in events if event.type == "memory"]
    assert [kept.value for kept in event.memories] == ["oak tables"]


def test_it_is_read_without_anyone_asking(world: World) -> None:
    world.say(world.begin(), "Please call me Sam.")

    wait_until(lambda: text_of(world.say(world.begin(), "Hello")).startswith("Hello Sam"))


def test_a_closed_session_is_an_episode(world: World) -> None:
    session = world.begin()
    world.say(session, "My desk lamp arrived broken.")
    for _ in range(2):
        world.call("close_session", s.SessionRequest(session_id=session), who=world.key())

    assert memory_of(world) == [("episode", "My desk lamp arrived broken.")]


def test_a_visitor_that_is_not_known_leaves_nothing(world: World) -> None:
    world.say(world.begin(None), "Please call me Sam.", customer=None)

    with pytest.raises(InvalidInput, match="customer: whose memory is meant"):
        world.call("get_memory", s.CustomerRequest())


def test_a_customer_sees_and_forgets_their_own_alone(world: World) -> None:
    world.say(world.begin(), "Please call me Sam.")

    assert memory_of(world, BEN) == []
    with pytest.raises(NotFound, match="no such customer"):
        world.call("get_memory", s.CustomerRequest(customer="C-1001"), who=world.key(BEN))
    assert world.call("forget_memory", s.ForgetMemoryRequest(), who=world.key(BEN)).forgotten == 0
    assert memory_of(world) == [("preferred_name", "Sam")]


def test_staff_export_and_forget_for_a_customer_and_the_trail_does_not_say_whom(world: World) -> None:
    world.say(world.begin(), "Please call me Sam.")
    request = s.CustomerRequest(customer="C-1001")

    exported = json.loads(world.call("export_memory", request).content)
    assert exported["memories"][0]["text"] == "Please call me Sam."
    assert world.call("forget_memory", s.ForgetMemoryRequest(customer="C-1001")).forgotten == 1

    assert memory_of(world) == []
    assert "C-1001" not in str([d for d in world.trail.decisions if d.kind == "support.forget"])


def test_a_memory_that_is_not_there_cannot_be_forgotten(world: World) -> None:
    with pytest.raises(NotFound, match="memory_id: no such memory"):
        world.call("forget_memory", s.ForgetMemoryRequest(memory_id="x"), who=world.key())


def test_forgetting_all_takes_what_the_answers_were_made_from(world: World) -> None:
    world.knowledge.hits = [hit("You can return lamps within 45 days.")]
    answer = world.say(world.begin(), "How many days can I return a lamp?")[-1].answer_id
    request = s.GetReferencesRequest(answer_id=answer)
    assert world.call("get_references", request).citations

    world.call("forget_memory", s.ForgetMemoryRequest(), who=world.key())

    with pytest.raises(NotFound, match="no such answer"):
        world.call("get_references", request)
