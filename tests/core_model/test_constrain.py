"""Whatever the model prefers, a constrained answer fits its grammar."""

from __future__ import annotations

import json
import re

import pytest
import torch
from jsonschema import validate

from core_model.constrain import ConstraintFactory
from core_model.generation import Grammar, SamplingParams
from core_model.sampling import Sampler
from core_model.tokenizer import Tokenizer

SCHEMA = {
    "type": "object",
    "properties": {
        "priority": {"enum": ["low", "high"]},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 5}, "maxItems": 2},
        "count": {"type": "integer", "minimum": 0, "maximum": 99},
    },
    "required": ["priority", "tags", "count"],
    "additionalProperties": False,
}
SUM = "start: term (OPERATOR term)~1..3\nterm: NUMBER\nOPERATOR: /[-+]/\nNUMBER: /[0-9]{1,3}/"


@pytest.fixture
def factory(tokenizer: Tokenizer) -> ConstraintFactory:
    return ConstraintFactory(tokenizer.to_json(), vocab_size=300, eos_ids=tokenizer.eos_ids)


def write(factory: ConstraintFactory, tokenizer: Tokenizer, grammar: Grammar, *, seed: int) -> str:
    """What random logits write; ends as the engine ends it."""
    sampler = Sampler(SamplingParams(temperature=1.0, seed=seed), constraint=factory.compile(grammar))
    noise, tokens = torch.Generator().manual_seed(seed), []
    for _ in range(300):
        sampled = sampler.sample(torch.randn(300, generator=noise))
        if sampled.token_id not in tokenizer.eos_ids:
            tokens.append(sampled.token_id)
        if sampled.ends or sampled.token_id in tokenizer.eos_ids:
            return tokenizer.decode(tokens)
    raise AssertionError("the grammar did not end")


@pytest.mark.parametrize("seed", range(8))
def test_random_logits_still_make_valid_json(factory: ConstraintFactory, tokenizer: Tokenizer, seed: int) -> None:
    text = write(factory, tokenizer, Grammar.json_schema(SCHEMA), seed=seed)

    validate(json.loads(text), SCHEMA)
    assert "\n" not in text


@pytest.mark.parametrize("seed", range(4))
def test_random_logits_still_match_a_regex(factory: ConstraintFactory, tokenizer: Tokenizer, seed: int) -> None:
    text = write(factory, tokenizer, Grammar("regex", r"[A-Z]{2}-\d{3,5}(/x)?"), seed=seed)

    assert re.fullmatch(r"[A-Z]{2}-\d{3,5}(/x)?", text)


@pytest.mark.parametrize("seed", range(4))
def test_random_logits_still_follow_a_lark_grammar(factory: ConstraintFactory, tokenizer: Tokenizer, seed: int) -> None:
    text = write(factory, tokenizer, Grammar("lark", SUM), seed=seed)

    assert re.fullmatch(r"\d{1,3}([-+]\d{1,3}){1,3}", text)


def test_a_choice_is_one_of_its_texts_whatever_they_hold(factory: ConstraintFactory, tokenizer: Tokenizer) -> None:
    choices = ("yes", 'say "no"', "back\\slash\n", "né 😀")

    texts = {write(factory, tokenizer, Grammar.choice(*choices), seed=seed) for seed in range(60)}

    assert texts == set(choices)


def test_a_complete_grammar_says_so_with_its_last_token(factory: ConstraintFactory, tokenizer: Tokenizer) -> None:
    constraint = factory.compile(Grammar.choice("ab"))

    assert [constraint.accept(token) for token in tokenizer.encode("ab")] == [False, True]


def test_answers_of_one_grammar_do_not_share_their_place(factory: ConstraintFactory, tokenizer: Tokenizer) -> None:
    first, second = (factory.compile(Grammar.choice("ab")) for _ in range(2))
    a, b = tokenizer.encode("ab")
    first.accept(a)

    allowed = [
        constraint.mask(torch.zeros(300)).isfinite().nonzero().flatten().tolist() for constraint in (first, second)
    ]

    assert allowed == [[b], [a]]


@pytest.mark.parametrize(
    ("grammar", "message"),
    [
        (Grammar("json_schema", "{"), r"json_schema is not JSON \(line 1"),
        (Grammar("json_schema", "[]"), "json_schema must be a JSON object"),
        (Grammar.json_schema({"type": "no such type"}), "json_schema not usable"),
        (Grammar.json_schema({"type": "integer", "minimum": 5, "maximum": 3}), "json_schema not usable .Unsatisfiable"),
        (Grammar.json_schema({"type": "object", "$dynamicRef": "#x"}), "json_schema not usable"),
        (Grammar("regex", "(a"), "regex not usable"),
        (Grammar("regex", r"[^\s\S]"), "regex not usable .no text fits it"),
        (Grammar("lark", 'start: "a'), "lark not usable"),
        (Grammar("lark", 'start: start "a"'), "lark not usable .no text fits it"),
        (Grammar("lark", 'begin: "a"'), "lark not usable"),
        (Grammar.choice(), "choice must be a JSON list"),
        (Grammar.choice("a", ""), "choice must be a JSON list"),
        (Grammar("choice", "yes"), "choice is not JSON"),
    ],
)
def test_an_unusable_grammar_is_refused(factory: ConstraintFactory, grammar: Grammar, message: str) -> None:
    with pytest.raises(ValueError, match=f"grammar: {message}"):
        factory.compile(grammar)


def test_a_grammar_that_leads_nowhere_fails_while_it_is_followed(
    factory: ConstraintFactory, tokenizer: Tokenizer
) -> None:
    dead_end = Grammar("lark", 'start: "b" NEVER\nNEVER: /a/ & /b/')
    constraint = factory.compile(dead_end)
    constraint.accept(tokenizer.encode("b")[0])

    with pytest.raises(RuntimeError, match="grammar: the matcher stopped"):
        constraint.mask(torch.zeros(300))


def test_a_forbidden_token_is_an_error(factory: ConstraintFactory, tokenizer: Tokenizer) -> None:
    constraint = factory.compile(Grammar.choice("ab"))

    with pytest.raises(RuntimeError, match="grammar: the matcher stopped"):
        constraint.accept(tokenizer.encode("b")[0])
