"""A recorded answer is looked at again: its conversation, its citations and its sources; its words are not promised."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import update

from tests.verticals.support.fakes import hit
from tests.verticals.support.world import World
from verticals.contract import InvalidInput
from verticals.replaying import Kept, Replayed
from verticals.support.replay import replay_entry
from verticals.support.tables import MessageRow

ASKED = "How long can I return a lamp?"
MESSAGES = {"messages": [{"role": "user", "content": ASKED}]}


def again(world: World, given: Any = None, **changed: Any) -> Replayed:
    entry = vars(next(one for one in world.trail.decisions if one.kind == "support.answer")) | changed
    return replay_entry(Kept("demo", world.resources.registry, world.sessions), entry, given)


@pytest.fixture
def answered(world: World) -> World:
    world.knowledge.hits = [hit("You can return a lamp within 30 days.")]
    world.say(world.begin(), ASKED, "Thank you")
    return world


def test_the_conversation_and_the_citations_are_as_recorded_and_a_deleted_passage_is_named(answered: World) -> None:
    found = again(answered)

    [(name, then, now)] = found.differences  # the fake's passages are in no table: as if they had been deleted
    assert (name, then, now) == ("passages", ["p1"], [])
    assert "not made again" in found.said


def test_an_answer_without_sources_is_unchanged_until_its_conversation_is_edited(world: World) -> None:
    world.say(world.begin(), "Hello")
    assert again(world).verdict == "unchanged"

    with world.sessions.begin() as session:
        session.execute(update(MessageRow).where(MessageRow.role == "customer").values(content="Goodbye"))
    found = again(world)
    assert (found.verdict, found.differences[0][0]) == ("differs", "input_sha256")


def test_a_conversation_that_is_not_kept_must_be_given(answered: World) -> None:
    assert again(answered, subject="conv-elsewhere").verdict == "input needed"
    assert again(answered, {"messages": [{"role": "user", "content": "Bye"}]}).verdict == "other input"
    assert [name for name, *_ in again(answered, MESSAGES).differences] == ["passages"]
    with pytest.raises(InvalidInput, match=r"input\.messages: must be a list of messages"):
        again(answered, {"messages": "hello"})
