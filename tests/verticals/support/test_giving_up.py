"""The agent gives up aloud: two declines in a row, a change that failed, or two breakdowns bring a person, once."""

from __future__ import annotations

import pytest
from sqlalchemy.orm import Session, sessionmaker

from tests.verticals.support.fakes import hit
from tests.verticals.support.readers import Breaks
from tests.verticals.support.world import World, text_of
from verticals.support import schemas as s
from verticals.support.agent import DECLINE, HAND_OVER
from verticals.support.handoffs import HANDED_OFF
from verticals.support.session_nodes import FAILED, UNANSWERED
from verticals.support.shop.tables import OrderRow

CAPITAL = "What is the capital of country number {}?"
REFUND = "I want a refund for the table lamp of order MP-10001, it is faulty"


def _inbox(world: World) -> list[s.Handoff]:
    page: s.HandoffPage = world.call("list_handoffs", s.ListHandoffsRequest())
    return page.handoffs


def test_the_second_decline_in_a_row_brings_a_person_instead_of_another_offer(world: World) -> None:
    session = world.begin()

    first, second = (world.say(session, CAPITAL.format(i)) for i in range(2))

    assert text_of(first) == DECLINE
    assert text_of(second) == UNANSWERED
    (handoff,) = _inbox(world)
    assert [event.handoff for event in second if event.type == "handoff"] == [handoff]
    assert (handoff.reason, second[-1].session_state, second[-1].answered) == ("unanswered", "waiting", False)
    assert handoff.summary == " / ".join(CAPITAL.format(i) for i in range(2))
    assert handoff.tried == ["found no answer in the articles", "found no answer in the articles, twice in a row"]


def test_something_achieved_in_between_begins_the_count_anew(world: World) -> None:
    session = world.begin()

    world.say(session, CAPITAL.format(1))
    world.knowledge.hits = [hit("You can return most items within 45 days of delivery.")]
    world.say(session, "How many days do I have to return items?")
    world.knowledge.hits = []

    assert text_of(world.say(session, CAPITAL.format(2))) == DECLINE
    assert _inbox(world) == []


def test_an_accepted_ticket_begins_the_count_anew(world: World) -> None:
    session = world.begin()

    world.say(session, CAPITAL.format(1))
    assert text_of(world.say(session, "yes please")) == HAND_OVER

    assert text_of(world.say(session, CAPITAL.format(2))) == DECLINE


def test_after_the_person_hands_back_the_count_begins_anew(world: World) -> None:
    session = world.begin()
    world.say(session, CAPITAL.format(1), CAPITAL.format(2))
    handoff_id = _inbox(world)[0].handoff_id
    world.call("take_over", s.TakeOverRequest(handoff_id=handoff_id))
    world.call("hand_back", s.HandBackRequest(handoff_id=handoff_id))

    assert text_of(world.say(session, CAPITAL.format(3))) == DECLINE
    assert _inbox(world) == []


def test_a_chat_without_a_session_offers_a_ticket_each_time(world: World) -> None:
    for _ in range(3):
        asked = s.ChatRequest(messages=[s.Message(role="user", content=CAPITAL.format(1))])
        assert text_of([event.root for event in world.call("chat", asked)]) == DECLINE


def test_a_confirmed_change_that_cannot_be_made_brings_a_person(world: World) -> None:
    session = world.begin()
    world.say(session, "Please cancel order MP-10003")
    with world.sessions.begin() as db:  # the shop was faster than the customer's yes
        db.get_one(OrderRow, ("demo", "MP-10003")).status = "shipped"

    events = world.say(session, "yes")

    (handoff,) = _inbox(world)
    assert text_of(events).endswith(HANDED_OFF)
    assert (handoff.reason, world.history(session).state) == ("failed", "waiting")
    assert handoff.tried[0].startswith("asked: I can cancel order MP-10003")
    assert handoff.tried[1].startswith("could not cancel_order: ")
    assert {slot.value for slot in handoff.slots} == {"MP-10003"}


def test_an_approved_change_that_fails_brings_a_person_once_and_says_so(world: World) -> None:
    session = world.begin()
    world.say(session, REFUND, "yes", REFUND, "yes")
    first, second = world.waiting()
    world.decide(first.action_id)

    assert world.decide(second.action_id).status == "failed"

    (handoff,) = _inbox(world)
    assert (handoff.reason, handoff.session_id) == ("failed", session)
    assert "refund" in handoff.summary
    assert "refunded already" in handoff.tried[0]
    history = world.history(session)
    assert (history.state, history.messages[-1].content) == ("waiting", HANDED_OFF)


def test_a_session_that_a_person_has_is_not_handed_over_again(world: World) -> None:
    session = world.begin()
    world.say(session, REFUND, "yes", REFUND, "yes", "I want to speak to a person")
    first, second = world.waiting()

    world.decide(first.action_id)
    world.decide(second.action_id)

    assert [handoff.reason for handoff in _inbox(world)] == ["asked"]


def _breaking(sessions: sessionmaker[Session], times: int) -> World:
    return World(sessions, Breaks(times))


def test_one_breakdown_is_an_error_and_the_message_waits_for_an_answer(sessions: sessionmaker[Session]) -> None:
    world = _breaking(sessions, 1)
    session = world.begin()

    with pytest.raises(RuntimeError, match="gone"):
        world.say(session, "Where is my order MP-10002?")
    assert world.history(session).unanswered

    resumed = world.call("resume_session", s.SessionRequest(session_id=session), who=world.key())
    assert "the carrier has it" in text_of([event.root for event in resumed])
    assert _inbox(world) == []


def test_the_second_breakdown_on_a_message_brings_a_person_whatever_is_broken(sessions: sessionmaker[Session]) -> None:
    world = _breaking(sessions, 99)
    session = world.begin()
    with pytest.raises(RuntimeError, match="gone"):
        world.say(session, "Where is my order MP-10002?")

    world.restart()
    resumed = world.call("resume_session", s.SessionRequest(session_id=session), who=world.key())
    events = [event.root for event in resumed]

    assert text_of(events) == FAILED
    (handoff,) = _inbox(world)
    assert (handoff.reason, handoff.tried) == ("failed", ["broke off before an answer, twice"])
    assert handoff.summary == "Where is my order MP-10002?"
    history = world.history(session)
    assert (history.state, history.unanswered, history.messages[-1].content) == ("waiting", False, FAILED)


def test_a_listener_who_leaves_is_no_breakdown(sessions: sessionmaker[Session]) -> None:
    world = World(sessions)
    session = world.begin()
    for _ in range(3):
        request = s.SessionRequest(session_id=session)
        events = (
            world.call("resume_session", request, who=world.key())
            if world.history(session).unanswered
            else world.call("send_message", s.SendMessageRequest(session_id=session, content="Hello"), who=world.key())
        )
        next(events)
        events.close()

    assert _inbox(world) == []
