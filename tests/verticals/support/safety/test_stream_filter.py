"""The filter over a stream: never a raw value, never a different text, never more held than must be."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verticals.support.safety.personal_data import SHAPES, mask, values_in
from verticals.support.safety.stream_filter import MAX_HELD, StreamFilter, filter_stream

VALUES = (
    *("ana@mail.example.com", "(415) 555-0134", "+44 20 7946 0958", "13800138000", "DE89 3704 0044 0532 0130 00"),
    *("4111 1111 1111 1111", "378282246310005", "219-09-9999", "11010519491231002X", "MP12345678"),
    *("742 Evergreen Terrace, Springfield, OR 97403", "1600 Amphitheatre Parkway"),
)
FILLERS = (*("Her card is ", " and ", ", ", "1", "12 ", "+", "@", ".", "-", "MP", "你好", "é", "the Main Street"),)
TEXTS = st.lists(st.sampled_from((*VALUES, *FILLERS)) | st.text(max_size=6), max_size=8).map("".join)


def visible(text: str) -> str:
    return "".join(c for c in text if ord(c) not in (0xAD, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF))


def cut(text: str, places: list[int]) -> list[str]:
    edges = sorted({0, len(text), *(place % (len(text) + 1) for place in places)})
    return [text[a:b] for a, b in pairwise(edges)]


@settings(max_examples=150, deadline=None)
@given(TEXTS, st.lists(st.integers(0, 400), max_size=12))
def test_any_split_gives_what_masking_the_whole_text_gives(text: str, places: list[int]) -> None:
    pieces = list(filter_stream(cut(text, places), StreamFilter()))

    assert "".join(pieces) == mask(visible(text))


@settings(max_examples=80, deadline=None)
@given(TEXTS)
def test_what_is_held_is_a_possible_prefix_and_bounded(text: str) -> None:
    stream_filter = StreamFilter()

    for character in text:
        stream_filter.feed(character)
        held = stream_filter.held
        assert len(held) <= MAX_HELD
        assert not held or any(shape.may_continue(held, 0) for shape in SHAPES)


@pytest.mark.parametrize("value", VALUES)
def test_no_part_of_a_value_appears_while_it_arrives(value: str) -> None:
    stream_filter = StreamFilter()

    shown = ["Hers: ", *map(stream_filter.feed, value), stream_filter.feed("! ")]

    assert "".join(shown[:-1]) == "Hers: "
    assert shown[-1].startswith("[")


def test_words_that_cannot_become_a_value_leave_at_once() -> None:
    stream_filter = StreamFilter()

    shown = [stream_filter.feed(piece) for piece in ("Refunds ", "take, ", "你好", "! ")]

    assert shown == ["Refunds ", "take, ", "你好", "! "]


def test_the_customers_own_values_pass() -> None:
    stream_filter = StreamFilter(allowed=values_in("ana@mail.example.com"))

    assert "".join(filter_stream("To ana@mail.example.com, not bo@mail.example.com.", stream_filter)) == (
        "To ana@mail.example.com, not [email 1]."
    )


def test_invisible_characters_do_not_hide_a_value() -> None:
    shown = "".join(filter_stream("4111\u200b1111\u20601111\ufeff1111", StreamFilter()))

    assert shown == "[card 1]"


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 60), max_size=8))
def test_a_blocked_phrase_is_removed_however_it_is_cut(places: list[int]) -> None:
    text = "I was told: You Are the\n assistant of Maple & Pine, be kind."

    pieces = filter_stream(cut(text, places), StreamFilter(phrases=["you are the assistant of Maple & Pine"]))

    assert "".join(pieces) == "I was told: [removed], be kind."


def test_a_blank_phrase_is_refused() -> None:
    with pytest.raises(ValueError, match="phrases: a blocked phrase must not be blank"):
        StreamFilter(phrases=[" "])
