"""Calls survive the way from grammar to reader, however the text is cut."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core_model.constrain import ConstraintFactory
from core_model.tokenizer import Tokenizer
from core_model.tool_calling import AnswerReader, close_objects, render_call, tool_grammar

ARGUMENTS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = [
    {"type": "function", "function": {"name": "weather", "parameters": ARGUMENTS}},
    {"type": "function", "function": {"name": "now"}},
]


def read(text: str, *, cuts: list[int]) -> tuple[str, str | None, str]:
    """What the reader makes of `text`, cut at `cuts`: text, name, arguments."""
    edges = [0, *sorted({cut % (len(text) + 1) for cut in cuts}), len(text)]
    reader, said = AnswerReader(), []
    for i, (start, end) in enumerate(pairwise(edges)):
        said.append(reader.push(text[start:end], is_last=i == len(edges) - 2))
    names = [piece.name for piece in said if piece.name]
    assert len(names) <= 1
    assert reader.has_call == bool(names)
    return "".join(p.text for p in said), names[0] if names else None, "".join(p.arguments for p in said)


@given(st.text(max_size=20), st.lists(st.integers(0, 99)))
def test_a_call_is_read_back_however_it_is_cut(city: str, cuts: list[int]) -> None:
    text, name, arguments = read(render_call("weather", {"city": city}), cuts=cuts)

    assert (text, name, json.loads(arguments)) == ("", "weather", {"city": city})


@given(st.text(max_size=40), st.lists(st.integers(0, 99)))
def test_text_is_handed_on_whole(text: str, cuts: list[int]) -> None:
    assert read(text, cuts=cuts) == (text, None, "")


def fits(factory: ConstraintFactory, tokenizer: Tokenizer, text: str, choice: str) -> bool:
    constraint = factory.compile(tool_grammar(TOOLS, choice))
    try:
        for token in tokenizer.encode(text):
            constraint.accept(token)
    except RuntimeError:
        return False
    return True


@pytest.mark.parametrize(
    ("text", "choices"),
    [
        (render_call("weather", {"city": "Bern"}), {"auto", "any", "weather"}),
        (render_call("now", {}), {"auto", "any"}),
        ("It is sunny. 3 < 4", {"auto"}),
        (render_call("weather", {"town": "Bern"}), set()),
        (render_call("weather", {"city": "Bern", "more": 1}), set()),
        (render_call("fly", {}), set()),
        ("\n<tool_call>", set()),
    ],
)
def test_the_grammar_allows_valid_calls_of_the_chosen_tools(tokenizer: Tokenizer, text: str, choices: set[str]) -> None:
    factory = ConstraintFactory(tokenizer.to_json(), vocab_size=300, eos_ids=tokenizer.eos_ids)

    assert {choice for choice in ("auto", "any", "weather") if fits(factory, tokenizer, text, choice)} == choices


def test_objects_are_closed_at_every_depth_unless_they_say_otherwise() -> None:
    inner = {"type": "object", "properties": {"properties": {"type": "string"}}}
    free = {"type": "object", "properties": {}, "additionalProperties": True}
    schema = {"type": "object", "properties": {"a": {"anyOf": [inner, free]}, "b": {"type": "object"}}}

    closed = close_objects(schema)

    parts = closed["properties"]["a"]["anyOf"]
    assert closed["additionalProperties"] is False
    assert parts == [{**inner, "additionalProperties": False}, free]
    assert closed["properties"]["b"] == {"type": "object"}


@pytest.mark.parametrize(
    ("tools", "choice", "message"),
    [
        (TOOLS, "fly", "tool_choice: must be one of auto, any, none, weather, now"),
        ([], "any", "tool_choice: must be one of"),
        ([{"type": "function", "function": {"name": 'x"y'}}], "any", "tools: names are 1 to 64"),
    ],
)
def test_a_bad_choice_or_name_is_refused(tools: Any, choice: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tool_grammar(tools, choice)
