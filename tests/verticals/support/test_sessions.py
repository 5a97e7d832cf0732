"""Durable sessions: what is kept, who sees it, and what a restart forgets (nothing)."""

from __future__ import annotations

import pytest

from tests.verticals.support.fakes import hit
from tests.verticals.support.world import ADA, BEN, World, text_of
from verticals.contract import Conflict, InvalidInput, NotFound
from verticals.support import schemas as s
from verticals.support.agent import DECLINE
from verticals.support.policy import CONFIRM, LEFT
from verticals.support.shop.tables import MembershipRow

RETURNS = "You can return most items within 30 days of delivery."


def test_a_question_is_answered_and_kept_with_its_sources(world: World) -> None:
    world.knowledge.hits = [hit(RETURNS)]
    session = world.begin()

    events = world.say(session, "How long do I have to return a lamp?")

    history = world.history(session)
    assert text_of(events) == f"{RETURNS} [1]"
    assert [(m.number, m.role) for m in history.messages] == [(1, "customer"), (2, "assistant")]
    assert history.messages[1].content == f"{RETURNS} [1]"
    assert [source.doc_id for source in history.messages[1].sources] == ["d1"]
    assert events[-1].session_state == "bot"
    assert [d.kind for d in world.trail.decisions] == ["support.answer"]


@pytest.mark.parametrize("stranger", [BEN, None])
def test_a_session_exists_for_its_customer_only(world: World, stranger: str | None) -> None:
    session = world.begin(ADA)

    with pytest.raises(NotFound, match="no such session"):
        world.say(session, "Hello", customer=stranger)
    if stranger:
        with pytest.raises(NotFound, match="no such session"):
            world.history(session, stranger)
        assert world.call("list_sessions", s.ListSessionsRequest(), who=world.key(stranger)).total == 0


def test_another_tenant_has_no_such_session(world: World) -> None:
    session = world.begin()

    with pytest.raises(NotFound, match="no such session"):
        world.call("get_session", s.SessionRequest(session_id=session), who=world.key(None, tenant="other"))


def test_a_task_goes_on_after_a_restart(world: World) -> None:
    session = world.begin()

    world.say(session, "I want a refund for the Aspen table lamp.")
    world.restart()
    world.say(session, "MP-10001")
    world.restart()
    asked = world.say(session, "It is faulty")

    assert text_of(asked).startswith("I can refund $51.84 for the Aspen table lamp of order MP-10001")
    assert text_of(asked).endswith(CONFIRM)


def test_a_yes_counts_only_for_what_was_asked_last(world: World) -> None:
    session = world.begin()

    world.say(session, "Please turn off the renewal of my membership", "no")
    events = world.say(session, "yes")

    assert world.history(session).messages[3].content == LEFT
    assert text_of(events) == DECLINE
    assert world.executions() == []


def test_a_question_in_between_is_answered_and_the_task_called_to_mind(world: World) -> None:
    world.knowledge.hits = [hit(RETURNS)]
    session = world.begin()

    world.say(session, "Please turn off the renewal of my membership")
    between = world.say(session, "How long do I have to return a lamp?")
    done = world.say(session, "yes")

    assert RETURNS in text_of(between)
    assert text_of(between).endswith(CONFIRM)
    assert "no longer renews" in text_of(done)


def test_what_needs_no_person_is_done_at_once(world: World) -> None:
    session = world.begin()

    events = world.say(session, "Please turn off the renewal of my membership", "yes please")

    (action,) = [event.action for event in events if event.type == "action"]
    assert (action.tool, action.status, action.needs_approval) == ("pause_subscription", "done", False)
    assert text_of(events) == action.outcome
    with world.sessions() as db:
        assert db.get_one(MembershipRow, ("demo", ADA)).status == "paused"


def test_a_turn_that_was_cut_off_is_answered_by_resume(world: World) -> None:
    world.knowledge.hits = [hit(RETURNS)]
    session = world.begin()
    request = s.SendMessageRequest(session_id=session, content="How long do I have to return a lamp?")
    events = world.call("send_message", request, who=world.key())
    next(events)
    events.close()
    assert world.history(session).unanswered

    world.restart()
    resumed = [e.root for e in world.call("resume_session", s.SessionRequest(session_id=session), who=world.key())]

    assert text_of(resumed) == f"{RETURNS} [1]"
    assert not world.history(session).unanswered
    assert list(world.call("resume_session", s.SessionRequest(session_id=session), who=world.key())) == []


def test_a_cut_off_confirmation_is_carried_out_once_before_the_next_message(world: World) -> None:
    session = world.begin()
    world.say(session, "Please turn off the renewal of my membership")
    events = world.call("send_message", s.SendMessageRequest(session_id=session, content="yes"), who=world.key())
    next(events)  # the change is made, its answer is not stored
    events.close()

    world.restart()
    world.say(session, "Hello")

    assert world.executions() == ["pause_subscription"]
    assert "no longer renews" in world.history(session).messages[4].content
    assert len(world.history(session).actions) == 1


def test_a_cut_off_question_to_the_customer_is_asked_again(world: World) -> None:
    session = world.begin()
    request = s.SendMessageRequest(session_id=session, content="I want a refund for order MP-10005, it is faulty")
    events = world.call("send_message", request, who=world.key())
    next(events)
    events.close()

    world.restart()
    resumed = [e.root for e in world.call("resume_session", s.SessionRequest(session_id=session), who=world.key())]

    assert text_of(resumed).endswith(CONFIRM)
    assert "for approval" in text_of(world.say(session, "yes"))


def test_two_answers_at_once_in_one_session_are_refused(world: World) -> None:
    session = world.begin()
    request = s.SendMessageRequest(session_id=session, content="Hello")
    first = world.call("send_message", request, who=world.key())
    next(first)

    with pytest.raises(Conflict, match="is answering now"):
        list(world.call("send_message", request, who=world.key()))
    list(first)
    assert world.history(session).num_messages == 2


def test_a_closed_session_takes_no_message(world: World) -> None:
    session = world.begin()
    world.call("close_session", s.SessionRequest(session_id=session), who=world.key())

    with pytest.raises(Conflict, match="closed"):
        world.say(session, "Hello")
    assert world.history(session).state == "closed"


@pytest.mark.parametrize("content", [" ", "?!", "\n"])
def test_a_message_without_words_is_refused_before_it_is_stored(world: World, content: str) -> None:
    session = world.begin()

    with pytest.raises(InvalidInput, match="no words"):
        world.say(session, content)
    assert world.history(session).num_messages == 0


def test_a_visitor_without_a_name_gets_answers_but_no_tool(world: World) -> None:
    session = world.begin(None)

    events = world.say(session, "Where is my order MP-10002?", customer=None)

    assert text_of(events) == DECLINE
    assert world.history(session, None).actions == []


def test_a_model_is_never_asked_for_what_rules_can_tell(world: World) -> None:
    session = world.begin()

    world.say(session, "Where is my order MP-10002?")

    assert world.model.prompts == []
    assert "the carrier has it" in world.history(session).messages[1].content
