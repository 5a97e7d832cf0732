"""The tracker is a pure function of state and turn."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.verticals.support.state.tiny_state import OFFERED, SERVICES
from verticals.support.state.candidates import Frame
from verticals.support.state.dialogue import MAX_CHARS, State, Turn
from verticals.support.state.tracker import Probabilities, StateTracker


class Says:
    """A scorer that prefers the given values."""

    def __init__(self, **values: str) -> None:
        self._values = values

    def score(self, turn: Turn, frames: Sequence[Frame]) -> list[list[Probabilities]]:
        return [[{None: 0.4, self._values.get(v.slot.name): 0.6} for v in frame.slots] for frame in frames]


def test_a_likely_value_enters_the_state_and_the_rest_stays() -> None:
    before = State({"Tables": {"city": "Napa", "time": "noon"}})

    after = StateTracker(SERVICES.values(), Says(time="7 pm")).update(before, Turn("7 pm"), services=["Tables"])

    assert after.of("Tables") == {"city": "Napa", "time": "7 pm"}
    assert before.of("Tables") == {"city": "Napa", "time": "noon"}


def test_only_the_asked_services_change() -> None:
    tracker = StateTracker(SERVICES.values(), Says(city="Napa", destination="Napa"))

    assert tracker.update(State(), Turn("Napa"), services=["Taxi"]).values == {"Taxi": {"destination": "Napa"}}
    assert set(tracker.update(State(), Turn("Napa")).values) == {"Taxi", "Tables"}


def test_what_the_system_named_is_remembered_as_an_offer_not_as_a_wish() -> None:
    after = StateTracker(SERVICES.values(), Says()).update(State(), Turn("hm", "Blue Door?", OFFERED))

    assert after.offers == {"Tables": {"restaurant_name": "Blue Door", "city": "Napa"}}
    assert after.values == {}


def test_of_a_megabyte_only_the_beginning_is_read() -> None:
    class Remembers(Says):
        def score(self, turn: Turn, frames: Sequence[Frame]) -> list[list[Probabilities]]:
            self.turn = turn
            return super().score(turn, frames)

    scorer = Remembers()

    StateTracker(SERVICES.values(), scorer).update(State(), Turn("a" * 1_000_000, "b" * 1_000_000 + "?"))

    assert (len(scorer.turn.user), scorer.turn.system[-2:]) == (MAX_CHARS, "b?")


def test_a_service_that_was_not_described_is_refused() -> None:
    with pytest.raises(KeyError, match="Hotel"):
        StateTracker(SERVICES.values(), Says()).update(State(), Turn("hm"), services=["Hotel"])
