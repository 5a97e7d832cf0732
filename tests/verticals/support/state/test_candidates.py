"""Every place that a value can come from gives a candidate."""

from __future__ import annotations

import pytest

from tests.verticals.support.state.tiny_state import OFFERED, SERVICES, TABLES, TAXI
from verticals.support.state.candidates import NAMED_FEATURES, SLOT_FEATURES, Frame, Named, build_frame, slot_kind
from verticals.support.state.dialogue import Act, State, Turn
from verticals.support.state.schema import Slot


def _named(frame: Frame, slot: str) -> dict[str, Named]:
    idx = [view.slot.name for view in frame.slots].index(slot)
    return {candidate.value: candidate for candidate in frame.named if candidate.slot_idx == idx}


def _has(candidate: Named, feature: str) -> bool:
    return bool(candidate.features[NAMED_FEATURES.index(feature)])


def test_a_slot_that_no_intent_takes_has_no_place_in_the_state() -> None:
    frame = build_frame(TABLES, Turn("The phone is 555"), State(), SERVICES)

    assert "phone" not in [view.slot.name for view in frame.slots]


def test_an_offer_of_this_turn_and_of_an_earlier_one_are_candidates() -> None:
    before = State(offers={"Tables": {"restaurant_name": "Red Door"}})

    named = _named(build_frame(TABLES, Turn("ok", "Blue Door?", OFFERED), before, SERVICES), "restaurant_name")

    assert _has(named["Blue Door"], "named now")
    assert _has(named["Blue Door"], "by OFFER")
    assert _has(named["Red Door"], "named earlier")


def test_values_of_other_services_can_be_copied() -> None:
    before = State({"Tables": {"restaurant_name": "Blue Door"}}, {"Tables": {"city": "Napa"}})

    named = _named(build_frame(TAXI, Turn("a taxi there"), before, SERVICES), "destination")

    assert _has(named["Blue Door"], "a wish elsewhere")
    assert not _has(named["Napa"], "a wish elsewhere")
    assert named["Napa"].about == "city: City of the restaurant"


def test_a_listed_value_knows_whether_it_was_said_even_as_a_word() -> None:
    named = _named(build_frame(TABLES, Turn("for two people"), State(), SERVICES), "party_size")

    assert [value for value in named if _has(named[value], "said as number")] == ["2"]


def test_what_the_system_asked_for_marks_the_slot() -> None:
    turn = Turn("7 pm", "When?", (Act("Tables", "REQUEST", "time"),))

    frame = build_frame(TABLES, turn, State(), SERVICES)

    requested = SLOT_FEATURES.index("requested")
    assert [view.slot.name for view in frame.slots if view.features[requested]] == ["time"]


def test_acts_and_values_of_services_not_described_are_passed_over() -> None:
    before = State({"Hotel": {"name": "Inn"}})

    frame = build_frame(TAXI, Turn("go", "", (Act("Hotel", "OFFER", "name", "Inn"),)), before, SERVICES)

    assert not _named(frame, "destination")


@pytest.mark.parametrize(
    ("slot", "kind"),
    [
        (Slot("visit_date", "Date of the visit"), "date"),
        (Slot("time", "When it starts"), "time"),
        (Slot("fare", "What the ride costs"), "money"),
        (Slot("riders", "Number of people"), "number"),
        (Slot("order_id", "Number of the order"), "code"),
        (Slot("city", "Where it is"), "other"),
    ],
)
def test_the_form_of_a_slots_values_is_read_from_its_words(slot: Slot, kind: str) -> None:
    assert slot_kind(slot) == kind
