"""The untrained scorers do what their rule says."""

from __future__ import annotations

import pytest

from tests.verticals.support.state.tiny_state import OFFERED, SERVICES
from verticals.support.state.dialogue import Act, State, Turn
from verticals.support.state.rules import CopyLastValue, NoChange, RuleScorer
from verticals.support.state.shop import shop_services
from verticals.support.state.tracker import Scorer, StateTracker


def _after(scorer: Scorer, turn: Turn, service: str = "Tables") -> dict[str, str]:
    return dict(StateTracker(SERVICES.values(), scorer).update(State(), turn, services=[service]).of(service))


@pytest.mark.parametrize(
    ("turn", "values"),
    [
        (Turn("Yes, that is fine", "Blue Door?", OFFERED), {"restaurant_name": "Blue Door", "city": "Napa"}),
        (Turn("No, not there", "Blue Door?", OFFERED), {}),
        (Turn("a table for two at 7 pm"), {"party_size": "2", "time": "7 pm"}),
        (Turn("Napa", "Where?", (Act("Tables", "REQUEST", "city"),)), {"city": "Napa"}),
        (Turn("Yes please", "Music?", (Act("Tables", "REQUEST", "has_music"),)), {"has_music": "True"}),
        (Turn("Hello"), {}),
    ],
)
def test_rules_take_what_is_accepted_asked_for_or_plainly_said(turn: Turn, values: dict[str, str]) -> None:
    assert _after(RuleScorer(), turn) == values


def test_the_copying_baseline_takes_offers_that_were_refused_too() -> None:
    assert _after(CopyLastValue(), Turn("No", "Blue Door?", OFFERED)) == {
        "restaurant_name": "Blue Door",
        "city": "Napa",
    }


def test_the_other_baseline_never_knows_anything() -> None:
    assert _after(NoChange(), Turn("Yes", "Blue Door?", OFFERED)) == {}


def test_rules_follow_the_shops_services() -> None:
    tracker = StateTracker(shop_services(), RuleScorer())
    asked = Turn("MP-10001", "Which order?", (Act("Refund", "REQUEST", "order_id"),))

    state = tracker.update(State(), asked, services=["Refund"])
    state = tracker.update(state, Turn("The lamp was damaged"), services=["Refund"])

    assert state.of("Refund") == {"order_id": "MP-10001", "reason": "damaged"}
