"""A session's state: exact where the shop knows the form, of the task under way, gone when the task is done."""

from __future__ import annotations

import pytest

from verticals.support.planning import Proposal
from verticals.support.state.rules import RuleScorer
from verticals.support.state.session import Exchange, Kept, SessionTracker, known_args, slot_values, without_task
from verticals.support.state.shop import shop_services
from verticals.support.state.tracker import StateTracker


@pytest.fixture
def tracker() -> SessionTracker:
    return SessionTracker(StateTracker(shop_services(), RuleScorer()))


def follow(tracker: SessionTracker, *texts: str, tool: str | None = None) -> Kept:
    kept: Kept = {}
    for text in texts:
        kept = tracker.follow(kept, Exchange(text, tool=tool))
    return kept


def test_slots_given_over_several_turns_are_arguments_by_tool(tracker: SessionTracker) -> None:
    kept = follow(tracker, "My lamp arrived damaged", "It is order mp 10001")

    assert known_args(kept)["request_refund"] == {"reason": "damaged", "order_id": "MP-10001"}
    assert known_args(kept)["order_status"] == {"order_id": "MP-10001"}
    assert known_args(kept)["pause_subscription"] == {}


def test_an_address_is_read_by_the_shops_own_pattern(tracker: SessionTracker) -> None:
    kept = follow(tracker, "I move to 12 Elm Street, Springfield, IL 62704", tool="change_address")

    address = {"street": "12 Elm Street", "city": "Springfield", "state": "IL", "postal_code": "62704"}
    assert known_args(kept)["change_address"] == address


def test_a_value_that_no_tool_takes_is_not_kept(tracker: SessionTracker) -> None:
    kept = follow(tracker, "My postal code is 62704, my number 4711")

    assert "order_id" not in {slot.slot for slot in slot_values(kept)}


def test_a_task_under_way_is_the_only_one_followed(tracker: SessionTracker) -> None:
    kept = follow(tracker, "Please cancel order MP-10003", tool="cancel_order")

    assert [(slot.service, slot.slot, slot.value) for slot in slot_values(kept)] == [("Refund", "order_id", "MP-10003")]


def test_the_answer_to_a_question_fills_the_slot_that_was_asked_for(tracker: SessionTracker) -> None:
    asked = Proposal("request_refund", {"order_id": "MP-10001"})

    kept = tracker.follow({}, Exchange("It is faulty", "Why does it go back?", asked, tool="request_refund"))

    assert known_args(kept)["request_refund"] == {"reason": "faulty"}


def test_how_something_works_is_no_wish(tracker: SessionTracker) -> None:
    assert follow(tracker, "How do I cancel an order?", "What is the weather like tomorrow?") == {}


def test_an_order_in_passing_fills_the_services_that_it_may_be_about(tracker: SessionTracker) -> None:
    filled = {slot.service for slot in slot_values(follow(tracker, "It is order MP-10001"))}

    assert filled == {"OrderLookup", "Refund"}


def test_a_done_task_leaves_nothing_for_the_next_of_its_kind(tracker: SessionTracker) -> None:
    kept = without_task(follow(tracker, "My lamp of order MP-10001 arrived damaged"), "request_refund")

    assert known_args(kept)["request_refund"] == {}
    assert known_args(kept)["order_status"] == {"order_id": "MP-10001"}


def test_the_state_is_plain_values(tracker: SessionTracker) -> None:
    import json

    kept = follow(tracker, "My lamp of order MP-10001 arrived damaged")

    assert json.loads(json.dumps(kept)) == kept
