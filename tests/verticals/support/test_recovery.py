"""A start finishes what was accepted before, whoever asks for it and however often."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import select

from tests.verticals.support.dying import REFUND, leave_approved
from tests.verticals.support.world import ADA, World
from verticals.contract import Context
from verticals.support import schemas as s
from verticals.support.recovery import recover
from verticals.support.shop.demo_data import add_demo_shop
from verticals.support.tables import ActionRow


def _service(world: World) -> Context:
    return replace(world.key(None), actor="service")


def _statuses(world: World) -> list[str]:
    with world.sessions() as db:
        return list(db.scalars(select(ActionRow.status).order_by(ActionRow.tenant)))


def test_an_accepted_action_is_finished_without_a_request(world: World) -> None:
    session, action_id = leave_approved(world)
    tenants: list[str] = []

    def context_of(tenant: str) -> Context:
        tenants.append(tenant)
        return replace(_service(world), tenant=tenant)

    finished = recover(world.resources, context_of)

    assert (finished, tenants, _statuses(world)) == (1, ["demo"], ["done"])
    assert world.refunds() == [("MP-10001", 1, "51.84")]
    assert world.trail.decisions[-1].kind == "support.execute"
    assert world.history(session).messages[-1].action_id == action_id


def test_a_second_start_and_a_request_change_nothing_more(world: World) -> None:
    session, _ = leave_approved(world)
    for _ in range(2):
        recover(world.resources, lambda _: _service(world))

    messages = len(world.history(session).messages)
    world.restart()

    assert len(world.history(session).messages) == messages
    assert world.executions() == ["request_refund"]


def test_what_waits_for_a_person_goes_on_waiting(world: World) -> None:
    session = world.begin()
    world.say(session, REFUND, "yes")

    assert recover(world.resources, lambda _: _service(world)) == 0
    assert [action.status for action in world.waiting()] == ["waiting"]


def test_a_tenant_that_fails_does_not_keep_the_others_from_theirs(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    leave_approved(world)
    add_demo_shop(world.sessions, "another")
    with world.sessions.begin() as db:
        (row,) = db.scalars(select(ActionRow))
        columns = {column.key: getattr(row, column.key) for column in ActionRow.__table__.columns}
        db.add(ActionRow(**{**columns, "tenant": "another", "session_id": None}))
        db.add(ActionRow(**{**columns, "tenant": "broken", "session_id": None, "tool": "no_such_tool"}))

    finished = recover(world.resources, lambda tenant: replace(_service(world), tenant=tenant))

    assert (finished, _statuses(world)) == (2, ["done", "approved", "done"])
    assert caplog.messages == ["Accepted actions were not finished: NotFound"]
    assert ADA not in caplog.text


def test_unanswered_messages_stay_and_the_history_says_so(world: World) -> None:
    session = world.begin()
    answer = world.call(
        "send_message", s.SendMessageRequest(session_id=session, content="Where is my order MP-10001?"), who=world.key()
    )
    next(answer)
    answer.close()

    recover(world.resources, lambda _: _service(world))

    assert world.history(session).unanswered
    assert [message.role for message in world.history(session).messages] == ["customer"]
