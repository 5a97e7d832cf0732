"""Hand-off: asked for in words, told to the customer, silent bot, back again, no loops."""

from __future__ import annotations

import pytest

from tests.verticals.support.world import ADA, World, text_of
from verticals.contract import Conflict, NotFound
from verticals.support import VERTICAL
from verticals.support import schemas as s
from verticals.support.agent import DECLINE, HAND_OVER
from verticals.support.handoffs import ENDED, HANDED_OFF, JOINED, RETURNED


def _hand_over(world: World) -> tuple[str, s.Handoff]:
    session = world.begin()
    events = world.say(session, "My lamp of order MP-10001 flickers", "I want to speak to a person")
    (handoff,) = [event.handoff for event in events if event.type == "handoff"]
    return session, handoff


def _inbox(world: World, status: str | None = "waiting") -> list[s.Handoff]:
    page: s.HandoffPage = world.call("list_handoffs", s.ListHandoffsRequest.model_validate({"status": status}))
    return page.handoffs


def test_a_wish_for_a_person_is_an_act_with_reason_and_summary(world: World) -> None:
    session, handoff = _hand_over(world)

    assert (handoff.reason, handoff.status, handoff.customer) == ("asked", "waiting", ADA)
    assert handoff.summary == "My lamp of order MP-10001 flickers / I want to speak to a person"
    assert _inbox(world) == [handoff]
    history = world.history(session)
    assert (history.state, history.messages[-1].content) == ("waiting", HANDED_OFF)


def test_the_bot_is_silent_until_it_is_handed_back(world: World) -> None:
    session, handoff = _hand_over(world)
    before = world.say(session, "Hello? I want a person!")
    world.call("take_over", s.TakeOverRequest(handoff_id=handoff.handoff_id))
    world.call("reply_as_person", s.ReplyAsPersonRequest(handoff_id=handoff.handoff_id, content="Hi, I am Sam."))
    during = world.say(session, "Hello Sam")
    world.call("hand_back", s.HandBackRequest(handoff_id=handoff.handoff_id))

    after = world.say(session, "Hello")

    assert [(e.type, e.session_state) for e in (*before, *during)] == [("done", "waiting"), ("done", "person")]
    assert text_of(after).startswith("Hello, this is the assistant")
    assert [(m.role, m.content) for m in world.history(session).messages][4:] == [
        ("customer", "Hello? I want a person!"),
        ("assistant", JOINED),
        ("person", "Hi, I am Sam."),
        ("customer", "Hello Sam"),
        ("assistant", RETURNED),
        ("customer", "Hello"),
        ("assistant", text_of(after)),
    ]
    assert len(_inbox(world, None)) == 1


def test_a_hand_off_is_taken_by_one_person_and_returned_once(world: World) -> None:
    _, handoff = _hand_over(world)
    take, back = s.TakeOverRequest(handoff_id=handoff.handoff_id), s.HandBackRequest(handoff_id=handoff.handoff_id)
    reply = s.ReplyAsPersonRequest(handoff_id=handoff.handoff_id, content="x")
    with pytest.raises(Conflict, match="must be taken"):
        world.call("reply_as_person", reply)
    world.call("take_over", take)

    with pytest.raises(Conflict, match="must be waiting"):
        world.call("take_over", take)
    assert world.call("hand_back", back).status == "returned"
    with pytest.raises(Conflict, match="must be taken"):
        world.call("hand_back", back)
    with pytest.raises(NotFound, match="no such hand-off"):
        world.call("take_over", take, who=world.key(None, tenant="other"))


def test_the_person_can_close_the_session(world: World) -> None:
    session, handoff = _hand_over(world)
    world.call("take_over", s.TakeOverRequest(handoff_id=handoff.handoff_id))

    world.call("hand_back", s.HandBackRequest(handoff_id=handoff.handoff_id, close=True))

    assert world.history(session).state == "closed"
    assert world.history(session).messages[-1].content == ENDED


def test_closing_a_session_empties_the_inbox(world: World) -> None:
    session, _ = _hand_over(world)

    world.call("close_session", s.SessionRequest(session_id=session), who=world.key())

    assert _inbox(world) == []


def test_the_console_is_not_for_customers() -> None:
    for_customers = {operation.name for operation in VERTICAL.operations if operation.for_customers}

    assert for_customers == {
        *("chat", "search", "create_ticket", "list_tickets", "get_ticket", "create_session", "list_sessions"),
        *("get_session", "send_message", "resume_session", "close_session", "rate_answer"),
        *("get_memory", "export_memory", "forget_memory"),
        *("list_consents", "give_consent", "withdraw_consent", "send_signal"),
    }


def test_an_accepted_offer_opens_a_ticket_and_the_bot_stays(world: World) -> None:
    session = world.begin()

    declined = world.say(session, "What is the capital of France?")
    events = world.say(session, "yes please")

    assert text_of(declined) == DECLINE
    assert text_of(events) == HAND_OVER
    assert [event.type for event in events] == ["delta", "ticket", "done"]
    assert events[-1].session_state == "bot"
