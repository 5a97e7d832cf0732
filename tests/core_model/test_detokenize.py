"""Streamed text: whole characters only, stop strings never shown, nothing lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core_model.detokenize import TextStream
from core_model.tokenizer import Tokenizer
from tests.core_model.tiny import make_tokenizer

TOKENIZER = make_tokenizer()


def stream(text: str, stop: tuple[str, ...] = ()) -> tuple[list[str], bool]:
    pieces, out = TextStream(TOKENIZER, stop), []
    for token in TOKENIZER.encode(text):
        piece, stopped = pieces.push(token)
        out.append(piece)
        if stopped:
            return [*out, pieces.flush()], True
    return [*out, pieces.flush()], False


def test_a_character_of_several_tokens_is_shown_once_whole(tokenizer: Tokenizer) -> None:
    assert len(tokenizer.encode("€")) == 3

    pieces, _ = stream("a€b")

    assert pieces == ["a", "", "", "€", "b", ""]


def test_a_cut_character_at_the_end_is_shown_as_replacement(tokenizer: Tokenizer) -> None:
    pieces = TextStream(tokenizer)
    for token in tokenizer.encode("€")[:2]:
        assert pieces.push(token) == ("", False)

    assert pieces.flush() == "\ufffd"


@pytest.mark.parametrize(
    ("text", "stop", "shown", "stopped"),
    [
        ("one STOP two", ("STOP",), "one ", True),
        ("one STO two", ("STOP",), "one STO two", False),
        ("ends with STO", ("STOP",), "ends with STO", False),
        ("aab", ("ab",), "a", True),
        ("x##y", ("##", "#y"), "x", True),
        ("é|é", ("|é",), "é", True),
    ],
)
def test_stop_strings_end_the_text_before_them(text: str, stop: tuple[str, ...], shown: str, stopped: bool) -> None:
    pieces, found = stream(text, stop)

    assert ("".join(pieces), found) == (shown, stopped)


def test_the_beginning_of_a_stop_string_is_held_back() -> None:
    pieces = TextStream(TOKENIZER, ("END",))
    shown = [pieces.push(token)[0] for token in TOKENIZER.encode("aENx")]

    assert shown == ["a", "", "", "ENx"]


@given(st.text(max_size=40))
def test_the_pieces_make_up_the_whole_text(text: str) -> None:
    pieces, _ = stream(text)

    assert "".join(pieces) == text


@given(st.text("ab", max_size=20), st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=2))
def test_no_stop_string_is_ever_shown(text: str, stop: list[str]) -> None:
    pieces, stopped = stream(text, tuple(stop))
    shown = "".join(pieces)

    assert not any(s in shown for s in stop)
    assert text.startswith(shown)
    assert stopped == any(s in text for s in stop)
