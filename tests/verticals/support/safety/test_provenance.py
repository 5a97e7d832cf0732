"""A tool's arguments come from the customer or from nobody."""

from __future__ import annotations

from decimal import Decimal

import pytest

from verticals.support.safety.provenance import unfounded_arguments

SAID = "Please refund $30 for order MP12345678 to my card, and send the rest to 12 Oak Street, Reno."


@pytest.mark.parametrize(
    "arguments",
    [
        {"order": "mp12345678", "amount": Decimal("30.00")},
        {"amount": "30.00"},
        {"address": "12 Oak Street Reno"},
        {"address": {"street": "12 Oak Street", "city": "Reno"}, "confirmed": True, "note": None},
        {"items": ["MP12345678", 30]},
    ],
)
def test_what_the_customer_said_is_founded(arguments: dict[str, object]) -> None:
    assert unfounded_arguments(arguments, trusted=[SAID]) == []


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ({"order": "MP12345678", "amount": 300}, ["amount"]),
        ({"amount": "3"}, ["amount"]),
        ({"address": "99 Harbor Road, Reno"}, ["address"]),
        ({"address": {"street": "12 Oak Street", "city": "Sparks"}}, ["address"]),
        ({"emails": ["mallory@evil.example"], "order": "MP1234567"}, ["emails", "order"]),
    ],
)
def test_what_nobody_said_is_named(arguments: dict[str, object], names: list[str]) -> None:
    assert unfounded_arguments(arguments, trusted=[SAID]) == names


def test_words_of_two_texts_do_not_join() -> None:
    assert unfounded_arguments({"address": "Oak Street"}, trusted=["my Oak", "Street of dreams"]) == ["address"]


def test_a_record_or_an_approval_founds_too() -> None:
    assert unfounded_arguments({"amount": 49}, trusted=["refund it", "approved: 49 USD"]) == []


def test_chinese_addresses_are_compared_by_character() -> None:
    said = "请改到上海市南京路12号"

    assert unfounded_arguments({"address": "南京路12号"}, trusted=[said]) == []
    assert unfounded_arguments({"address": "南京路13号"}, trusted=[said]) == ["address"]
