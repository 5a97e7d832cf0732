"""Services in words are checked where they come in."""

from __future__ import annotations

import json
from typing import Any

import pytest

from verticals.contract import InvalidInput
from verticals.support.state.schema import read_services
from verticals.support.state.shop import shop_services

CAFE: dict[str, Any] = {
    "name": "Cafe",
    "description": "Order coffee",
    "slots": [
        {"name": "size", "description": "Size of the cup", "values": ["small", "large"]},
        {"name": "price", "description": "What it costs"},
    ],
    "intents": [{"name": "Order", "description": "Order a cup", "required": ["size"]}],
}


def test_only_slots_that_an_intent_takes_are_inputs() -> None:
    (cafe,) = read_services(json.dumps([CAFE]))

    assert [slot.name for slot in cafe.inputs] == ["size"]
    assert cafe.slots[0].values == ("small", "large")
    assert cafe.slots[1].values == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"intents": [{"name": "Order", "description": "Order", "required": ["milk"]}]}, r"not described: \['milk'\]"),
        ({"slots": [CAFE["slots"][0]] * 2}, "a slot's name stands twice"),
        ({"name": "the cafe"}, "0.name: must be of the form"),
        ({"slots": []}, "0.slots: must hold 1 or more entries"),
        ({"price": 3}, "0.price: is not known here"),
    ],
)
def test_a_service_that_breaks_a_rule_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        read_services(json.dumps([CAFE | change]))


def test_two_services_of_one_name_are_refused() -> None:
    with pytest.raises(InvalidInput, match="two services have this name"):
        read_services(json.dumps([CAFE, CAFE]))


def test_text_that_is_no_json_is_refused() -> None:
    with pytest.raises(InvalidInput, match="text: must be well-formed JSON: line 1 column 1"):
        read_services("{")


def test_the_shop_describes_its_four_services() -> None:
    services = shop_services()

    assert [service.name for service in services] == ["OrderLookup", "Refund", "AddressChange", "Subscription"]
    assert all(len(service.inputs) == len(service.slots) for service in services)
