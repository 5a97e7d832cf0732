"""Forgetting at bad moments: in mid-answer, before an accepted action is done, and for somebody else's session."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from retrieval.tables import LedgerRow
from tests.verticals.support.dying import leave_approved
from tests.verticals.support.fakes import hit
from tests.verticals.support.world import ADA, BEN, World
from verticals.contract import NotFound
from verticals.support import schemas as s
from verticals.support.checkpoints import open_checkpointer


def _checkpoints(world: World) -> int:
    return sum(1 for _ in open_checkpointer(world.sessions.kw["bind"]).list(None))


def _forget(world: World, customer: str = ADA) -> s.ForgetMemoryResponse:
    forgotten: s.ForgetMemoryResponse = world.call("forget_memory", s.ForgetMemoryRequest(customer=customer))
    return forgotten


def test_what_an_answer_writes_after_its_customer_is_forgotten_goes_too(world: World) -> None:
    world.knowledge.hits = [hit("You can return lamps within 45 days.")]
    session = world.begin()
    request = s.SendMessageRequest(session_id=session, content="How many days can I return a lamp?")
    events = world.call("send_message", request, who=world.key())
    next(events)

    _forget(world)
    with pytest.raises(NotFound, match="no such session"):
        list(events)

    assert _checkpoints(world) == 0
    with world.sessions() as db:
        assert list(db.scalars(select(LedgerRow))) == []


def test_an_accepted_action_is_done_before_its_customer_is_forgotten(world: World) -> None:
    leave_approved(world)

    erased = _forget(world).erased

    assert world.refunds() == [("MP-10001", 1, "51.84")]
    assert (erased["conversations"], erased["actions"]) == (1, 1)


def test_another_customer_who_asks_for_the_session_takes_nothing_of_it(world: World) -> None:
    session = world.begin()
    world.say(session, "Hello!")
    kept = _checkpoints(world)

    request = s.SendMessageRequest(session_id=session, content="Hello!")
    with pytest.raises(NotFound, match="no such session"):
        list(world.call("send_message", request, who=world.key(BEN)))

    assert _checkpoints(world) == kept > 0
    assert len(world.history(session).messages) == 2


def test_one_memory_alone_is_forgotten_without_the_rest(world: World) -> None:
    session = world.begin()
    world.say(session, "Please call me Sam.")
    (memory,) = world.call("get_memory", s.CustomerRequest(), who=world.key()).memories

    request = s.ForgetMemoryRequest(memory_id=memory.memory_id)
    answer = world.call("forget_memory", request, who=world.key())

    assert (answer.forgotten, answer.erased) == (1, {})
    assert len(world.history(session).messages) == 2
