"""OpenAI's words become sampling values; what has no meaning here is refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from core_model.chat_options import to_params
from core_model.generation import Grammar, SamplingParams


def test_every_option_arrives() -> None:
    options = {
        "max_tokens": 9,
        "temperature": 0.5,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.2,
        "logit_bias": {"7": -100, 8: 5},
        "logprobs": True,
        "top_logprobs": 3,
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "integer"}}},
        "extra_body": {"min_p": 0.1, "stop_token_ids": [5]},
        "seed": None,
    }

    assert to_params(options, stop=["x"]) == SamplingParams(
        max_tokens=9,
        temperature=0.5,
        presence_penalty=0.1,
        frequency_penalty=0.2,
        logit_bias=((7, -100.0), (8, 5.0)),
        logprobs=3,
        grammar=Grammar("json_schema", '{"type": "integer"}'),
        min_p=0.1,
        stop=("x",),
        stop_token_ids=(5,),
    )


def test_formats_without_a_schema() -> None:
    assert to_params({"response_format": {"type": "text"}}).grammar is None
    assert to_params({"response_format": {"type": "json_object"}}).grammar == Grammar.json_schema({"type": "object"})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"best_of": 2}, "best_of: unknown option. Use max_tokens"),
        ({"extra_body": {"best_of": 2}}, "best_of: unknown option"),
        ({"response_format": {"type": "xml"}}, "response_format: type must be text, json_object or json_schema"),
        ({"response_format": {"type": "json_schema"}}, "response_format: json_schema.schema is missing"),
        ({"response_format": {"type": "json_object"}, "grammar": Grammar.choice("a")}, "only one grammar can hold"),
        ({"top_logprobs": 3}, "top_logprobs: needs logprobs=true"),
        ({"logit_bias": {"the": 1}}, "logit_bias: keys must be token ids"),
    ],
)
def test_what_has_no_meaning_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        to_params(options)
