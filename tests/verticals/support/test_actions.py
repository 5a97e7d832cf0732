"""Changes with a person's approval: nothing happens before it, once after it, and a restart changes neither."""

from __future__ import annotations

import pytest

from tests.verticals.support.world import ADA, BEN, World, text_of
from verticals.contract import Conflict, InvalidInput, NotFound
from verticals.support import schemas as s
from verticals.support.actions import ActionDesk
from verticals.support.checkpoints import open_checkpointer
from verticals.support.handoffs import HANDED_OFF, HandoffDesk
from verticals.support.shop.executor import Executor
from verticals.support.shop.tables import CustomerRow

REFUND = "I want a refund for the Aspen table lamp of order MP-10001, it is faulty"


def _ask_refund(world: World) -> tuple[str, s.Action]:
    session = world.begin()
    world.say(session, REFUND, "yes")
    (action,) = world.waiting()
    return session, action


def test_money_waits_for_a_person_and_the_customer_is_told(world: World) -> None:
    session = world.begin()

    events = world.say(session, REFUND, "yes")

    (action,) = world.waiting()
    assert "for approval" in text_of(events)
    assert (action.tool, action.status, action.session_id) == ("request_refund", "waiting", session)
    assert action.args == {"order_id": "MP-10001", "item": 1, "reason": "faulty"}
    assert world.refunds() == []


@pytest.mark.parametrize("restarts", [False, True])
def test_an_approved_refund_is_made_and_reported_with_its_figure(world: World, restarts: bool) -> None:
    session, action = _ask_refund(world)
    if restarts:
        world.restart()

    decided = world.decide(action.action_id)

    assert world.refunds() == [("MP-10001", 1, "51.84")]
    assert decided.status == "done"
    last = world.history(session).messages[-1]
    assert (last.role, last.action_id) == ("assistant", action.action_id)
    assert last.content == decided.outcome
    assert "$51.84" in last.content
    kinds = [d.kind for d in world.trail.decisions]
    assert kinds[-2:] == ["support.approval", "support.execute"]


def test_a_rejected_refund_is_not_made_and_the_customer_reads_why(world: World) -> None:
    session, action = _ask_refund(world)

    world.decide(action.action_id, "reject", note="please send a photo first")

    assert world.refunds() == []
    assert world.history(session).messages[-1].content.endswith("please send a photo first")


def test_an_edited_action_is_checked_and_made_as_edited(world: World) -> None:
    session, action = _ask_refund(world)
    with pytest.raises(InvalidInput, match="reason"):
        world.decide(action.action_id, "edit", args={"reason": "because"})
    with pytest.raises(NotFound, match="items 1 to 2"):
        world.decide(action.action_id, "edit", args={"item": 7})
    with pytest.raises(Conflict, match="are an edit"):
        world.decide(action.action_id, "approve", args={"item": 2})

    world.decide(action.action_id, "edit", args={"item": 2})

    assert world.refunds() == [("MP-10001", 2, "226.80")]
    assert "Rowan wool rug" in world.history(session).messages[-1].content


def test_a_decision_is_made_once(world: World) -> None:
    _, action = _ask_refund(world)
    world.decide(action.action_id)

    with pytest.raises(Conflict, match="decided already"):
        world.decide(action.action_id, "reject")
    assert world.refunds() == [("MP-10001", 1, "51.84")]


def test_another_tenant_sees_no_approval(world: World) -> None:
    _, action = _ask_refund(world)
    request = s.DecideApprovalRequest(action_id=action.action_id, decision="approve")

    with pytest.raises(NotFound, match="no such action"):
        world.call("decide_approval", request, who=world.key(None, tenant="other"))
    assert world.call("list_approvals", s.ListApprovalsRequest(), who=world.key(None, tenant="other")).total == 0


def test_a_rule_that_holds_by_the_time_of_approval_is_told(world: World) -> None:
    session, first = _ask_refund(world)
    world.say(session, REFUND, "yes")
    second = next(a for a in world.waiting() if a.action_id != first.action_id)
    world.decide(first.action_id)

    decided = world.decide(second.action_id)

    assert decided.status == "failed"
    *_, outcome, handed_off = world.history(session).messages
    assert "refunded already" in outcome.content
    assert handed_off.content == HANDED_OFF
    assert len(world.refunds()) == 1


def test_an_accepted_action_that_a_crash_interrupted_is_found_and_finished(world: World) -> None:
    class Dies(Executor):
        def execute(self, *args: object, **kwargs: object) -> object:  # type: ignore[override]
            raise KeyboardInterrupt

    session, action = _ask_refund(world)
    checkpointer = open_checkpointer(world.sessions.kw["bind"])
    dying = ActionDesk(world.sessions, Dies(world.sessions), checkpointer, HandoffDesk(world.sessions).open_failed)
    with pytest.raises(KeyboardInterrupt):
        dying.decide(s.DecideApprovalRequest(action_id=action.action_id, decision="approve"), world.key(None))
    assert world.refunds() == []

    world.restart()

    assert world.history(session).messages[-1].action_id == action.action_id
    assert world.refunds() == [("MP-10001", 1, "51.84")]


def test_personal_data_changes_after_approval_only(world: World) -> None:
    session = world.begin()
    world.say(session, "I moved, please change my address to 9 Elm Street, Dayton, OH 45402", "yes")
    with world.sessions() as db:
        assert db.get_one(CustomerRow, ("demo", ADA)).street == "10 Invented Street"

    world.decide(world.waiting()[0].action_id)

    with world.sessions() as db:
        assert db.get_one(CustomerRow, ("demo", ADA)).street == "9 Elm Street"


def test_another_customers_order_does_not_exist(world: World) -> None:
    session = world.begin(BEN)

    events = world.say(session, REFUND, customer=BEN)

    assert text_of(events) == "I'm sorry, but you have no order MP-10001. Please check the number in your email."
    assert world.waiting() == []


def test_the_same_submission_twice_is_one_action(world: World) -> None:
    session, action = _ask_refund(world)
    checkpointer, handoffs = open_checkpointer(world.sessions.kw["bind"]), HandoffDesk(world.sessions)
    desk = ActionDesk(world.sessions, Executor(world.sessions), checkpointer, handoffs.open_failed)

    again = desk.submit(
        action.tool,
        action.args,
        world.key(),
        action_id=action.action_id,
        customer=ADA,
        asked_at=action.asked_at,
        session_id=session,
    )

    assert again == action
    assert len(world.waiting()) == 1
