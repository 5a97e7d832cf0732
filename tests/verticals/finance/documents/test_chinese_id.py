"""The citizen number: every single wrong character and every swap of neighbours is found, as the scheme promises."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verticals.contract import InvalidInput
from verticals.finance.documents.chinese_id import check_character, is_valid, parse
from verticals.finance.documents.holders import invent

TODAY = date(2026, 11, 30)
STANDARD = "11010519491231002X"  # the example of GB 11643-1999
firsts = st.text("0123456789", min_size=17, max_size=17)


def test_the_example_of_the_standard_is_read() -> None:
    found = parse(STANDARD, today=TODAY)

    assert (found.region, found.birth_date, found.sex) == ("110105", date(1949, 12, 31), "F")


@given(first=firsts, data=st.data())
def test_every_single_wrong_digit_is_found(first: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, 16))
    other = data.draw(st.sampled_from("0123456789".replace(first[place], "")))

    assert check_character(first[:place] + other + first[place + 1 :]) != check_character(first)


@given(first=firsts, data=st.data())
def test_every_swap_of_different_neighbours_is_found(first: str, data: st.DataObject) -> None:
    i = data.draw(st.integers(0, 15))
    swapped = first[:i] + first[i + 1] + first[i] + first[i + 2 :]

    assert (check_character(swapped) != check_character(first)) == (first[i] != first[i + 1])


@given(first=firsts)
def test_weights_are_those_of_the_standard(first: str) -> None:
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)

    remainder = sum(int(d) * w for d, w in zip(first, weights, strict=True)) % 11

    assert check_character(first) == "10X98765432"[remainder]


@given(seed=st.integers(0, 10_000))
def test_invented_numbers_hold_and_no_resident_can_have_them(seed: int) -> None:
    facts = invent("resident_card", seed=seed, today=TODAY)
    found = parse(facts.number or "", today=TODAY)

    assert (found.birth_date, found.sex) == (facts.birth_date, facts.sex)
    assert 91 <= int(found.region[2:4]) <= 99  # prefectures that GB/T 2260 does not assign


def _with_check(first: str) -> str:
    return first + check_character(first)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", r"17 digits and a digit or X \(got '0 characters'\)"),
        ("11010519491231002x", "17 digits and a digit or X"),
        ("１1010519491231002X", "17 digits and a digit or X"),
        ("110105194912310021", "check character of GB 11643"),
        (_with_check("99010519491231002"), "province's code"),
        (_with_check("11010519491331002"), "characters 7 to 14 must be a date"),
        (_with_check("11010518991231002"), "between 1900 and today"),
        (_with_check("11010520261201002"), "between 1900 and today"),
    ],
)
def test_a_broken_number_is_refused_with_its_rule(text: str, rule: str) -> None:
    with pytest.raises(InvalidInput, match=rule) as caught:
        parse(text, today=TODAY)

    assert not text or text not in str(caught.value)
    assert not is_valid(text, today=TODAY)


@given(text=st.text(max_size=20))
def test_any_text_is_a_number_or_is_refused(text: str) -> None:
    assert is_valid(text, today=TODAY) in (True, False)
