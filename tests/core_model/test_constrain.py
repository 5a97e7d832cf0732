"""Whatever the model prefers, a constrained answer fits its schema."""

from __future__ import annotations

import json

import pytest
import torch
from jsonschema import validate

from core_model.constrain import ConstraintFactory
from core_model.generation import SamplingParams
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


@pytest.fixture
def factory(tokenizer: Tokenizer) -> ConstraintFactory:
    return ConstraintFactory(tokenizer.to_json(), vocab_size=300, eos_ids=tokenizer.eos_ids)


@pytest.mark.parametrize("seed", range(8))
def test_random_logits_still_make_valid_json(factory: ConstraintFactory, tokenizer: Tokenizer, seed: int) -> None:
    sampler = Sampler(SamplingParams(temperature=1.0, seed=seed), constraint=factory.compile(json.dumps(SCHEMA)))
    noise, tokens = torch.Generator().manual_seed(seed), []
    while not tokens or tokens[-1] not in tokenizer.eos_ids:
        assert len(tokens) < 300
        tokens.append(sampler.sample(torch.randn(300, generator=noise)))

    text = tokenizer.decode(tokens[:-1])

    validate(json.loads(text), SCHEMA)
    assert "\n" not in text


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ("{", r"json_schema: not JSON \(line 1"),
        ('{"type": "no such type"}', "json_schema: not usable"),
        ('{"type": "object", "unevaluatedProperties": false, "$dynamicRef": "#x"}', "json_schema: not usable"),
    ],
)
def test_an_unusable_schema_is_refused(factory: ConstraintFactory, schema: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        factory.compile(schema)
