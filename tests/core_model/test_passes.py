"""Batch invariance: an answer's bits are the same alone, together, cut, resumed and after a hit in the cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from core_model.config import parse_config
from core_model.engine import Engine
from core_model.generation import SamplingParams, TokenChunk
from core_model.kv_cache import PagedCache
from core_model.model import Decoder
from core_model.passes import TILE, passes
from core_model.runner import ModelRunner
from core_model.scheduler import Work
from core_model.upcycle import UpcycleRecipe, upcycle
from core_model.weights import Weights
from tests.core_model.tiny import LLAMA, make_tokenizer, random_tensors

WIDE = {**LLAMA, "hidden_size": 128, "intermediate_size": 256, "num_attention_heads": 2, "num_key_value_heads": 1}
WIDE |= {"max_position_embeddings": 512}
RECIPE = UpcycleRecipe(num_experts=8, expert_dim=64, experts_per_token=2)
PROMPTS = [[(7 * i + j) % 250 for j in range(length)] for i, length in enumerate((3, 40, 75, 130, 31, 64))]
PARAMS = SamplingParams(max_tokens=12, logprobs=3)


@pytest.fixture(params=["int8", "fp32"])
def decoder(request: pytest.FixtureRequest) -> Decoder:
    config, tensors = upcycle(WIDE, random_tensors(WIDE), RECIPE)
    generator = torch.Generator().manual_seed(3)
    for name, tensor in tensors.items():
        if ".experts." in name and "down_proj" in name:
            tensor.normal_(0, 0.2, generator=generator)
    return Decoder(parse_config(config), Weights(tensors, precision=request.param))


def make_engine(decoder: Decoder, *, max_batch: int, num_pages: int = 64, step_tokens: int = 128) -> Engine:
    cache = PagedCache(decoder.config, num_pages=num_pages, dtype=decoder.dtype, device=decoder.device)
    runner = ModelRunner(decoder, cache, is_batch_invariant=True)
    sizes = {"max_context": 256, "max_batch": max_batch, "step_tokens": step_tokens}
    return Engine(runner, make_tokenizer(), model_version="v", eos_ids=frozenset(), **sizes)


def exact(stream: Iterator[TokenChunk]) -> list[Any]:
    return [chunk.logprobs for chunk in stream]


def alone(decoder: Decoder) -> list[Any]:
    answers = []
    for prompt in PROMPTS:
        with make_engine(decoder, max_batch=1, step_tokens=256) as engine:
            answers.append(exact(engine.stream(prompt, PARAMS)))
    return answers


def test_together_and_cut_equals_alone(decoder: Decoder) -> None:
    expected = alone(decoder)

    with make_engine(decoder, max_batch=6, step_tokens=48) as engine:
        streams = [engine.stream(prompt, PARAMS) for prompt in PROMPTS]
        found = [exact(stream) for stream in streams]

    assert found == expected


def test_a_hit_in_the_cache_equals_none(decoder: Decoder) -> None:
    longer = [prompt + [5] * 40 for prompt in PROMPTS]  # what is cached ends elsewhere than the prompt
    expected = alone(decoder)

    with make_engine(decoder, max_batch=2) as engine:
        for prompt in longer:
            exact(engine.stream(prompt, PARAMS))
        before = engine.stats().cached_prompt_tokens_total
        found = [exact(engine.stream(prompt, PARAMS)) for prompt in PROMPTS]
        hits = engine.stats().cached_prompt_tokens_total - before

    assert found == expected
    assert hits == sum((len(prompt) - 1) // TILE * TILE for prompt in PROMPTS)


def test_what_was_preempted_and_computed_again_equals_the_first_time(decoder: Decoder) -> None:
    params = SamplingParams(max_tokens=60, logprobs=1)
    with make_engine(decoder, max_batch=1) as engine:
        expected = [exact(engine.stream(prompt, params)) for prompt in PROMPTS[:3]]

    with make_engine(decoder, max_batch=3, num_pages=6) as engine:
        streams = [engine.stream(prompt, params) for prompt in PROMPTS[:3]]
        found = [exact(stream) for stream in streams]

        assert engine.stats().preemptions_total > 0
    assert found == expected


def spans(batch: Sequence[tuple[int, int, int]], invariance: Any, *, apart: int = 1) -> list[list[tuple[int, int]]]:
    """(prompt length, computed, tokens of the step) of each request -> (start, tokens) of each tile of each call."""
    works: list[Any] = [
        Work(SimpleNamespace(num_prompt=prompt, num_computed=computed), tokens)  # type: ignore[arg-type]
        for prompt, computed, tokens in batch
    ]
    calls = passes(works, invariance, few_rows=8, apart=apart)
    return [[(tile.start, tile.num_tokens) for tile in tiles] for tiles in calls]


def test_prompts_are_cut_at_fixed_places_and_kept_apart_from_answers() -> None:
    batch = [(50, 50, 1), (100, 32, 68), (20, 20, 3)]

    assert spans(batch, "off") == [[(50, 1), (32, 68), (20, 3)]]
    assert spans(batch, "exact_rows") == [[(32, 32), (64, 32), (96, 4)], [(50, 1), (20, 1), (21, 1), (22, 1)]]
    assert spans(batch, "alone")[:3] == [[(50, 1)], [(32, 32)], [(64, 32)]]


def test_a_call_of_prompts_never_has_few_rows_and_one_of_answers_always() -> None:
    assert spans([(3, 0, 3)], "exact_rows") == [[(0, 3)] * 3]
    assert [len(tiles) for tiles in spans([(1, 1, 1)] * 20, "exact_rows")] == [8, 8, 4]


def test_tokens_that_attend_apart_share_a_tile_as_far_as_a_page_and_a_call_go() -> None:
    batch = [(20, 29, 5), (20, 20, 12)]  # a guess over the end of a page, and an answer that is computed again

    assert spans(batch, "exact_rows", apart=32) == [[(29, 3), (32, 2)], [(20, 8)], [(28, 4)]]
