"""The same story on a migrated database of each kind: asked, approved after a restart, made once, told."""

from __future__ import annotations

from service.storage import make_sessions, open_database
from tests.verticals.support.world import World
from verticals.support import schemas as s


def test_a_refund_from_wish_to_report(migrated_url: str) -> None:
    engine = open_database(migrated_url)
    world = World(make_sessions(engine))
    session = world.begin()
    world.say(session, "I want a refund for the lamp of order MP-10001, it is faulty", "yes")
    world.restart()

    done = world.decide(world.waiting()[0].action_id)

    history = world.history(session)
    assert world.refunds() == [("MP-10001", 1, "51.84")]
    assert [m.role for m in history.messages] == ["customer", "assistant", "customer", "assistant", "assistant"]
    assert history.messages[-1].content == done.outcome
    assert (history.unanswered, history.state) == (False, s.SessionState.BOT)
    engine.dispose()


def test_the_hand_off_and_the_ticket(migrated_url: str) -> None:
    engine = open_database(migrated_url)
    world = World(make_sessions(engine))
    session = world.begin()
    events = world.say(session, "I want to speak to a person")
    handoff_id = next(event.handoff.handoff_id for event in events if event.type == "handoff")
    world.call("take_over", s.TakeOverRequest(handoff_id=handoff_id))
    world.call("hand_back", s.HandBackRequest(handoff_id=handoff_id, close=True))
    request = s.CreateTicketRequest(messages=[s.Message(role="user", content="Please cancel my order MP-10003 now")])
    ticket = world.call("create_ticket", request, who=world.key())

    ran = world.call("run_ticket", s.RunTicketRequest(ticket_id=ticket.ticket_id))

    assert world.history(session).state == s.SessionState.CLOSED
    assert world.executions() == ["cancel_order"]
    assert ran.outcome.startswith("Order MP-10003 is cancelled")
    engine.dispose()
