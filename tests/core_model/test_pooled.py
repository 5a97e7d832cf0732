"""Prompts as vectors: the hidden states that transformers computes, through the batch that everybody shares."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch

from core_model.engine import Engine
from core_model.generation import EngineBusy, EngineStopped, GenerationFailed, RequestOptions, SamplingParams
from core_model.kv_cache import PagedCache
from core_model.model import Decoder
from core_model.pooled import FloatArray, Pooling
from core_model.runner import ModelRunner
from tests.core_model.fake_runner import POISON, FakeRunner
from tests.core_model.tiny import LLAMA, random_llama, text_of, wait_until

Start = Callable[..., Engine]
PROMPTS = [[5, 6, 7], [*range(40)], [9], [*range(20), 3], [*range(40)]]


def real_runner(decoder: Decoder, *, num_pages: int = 32) -> ModelRunner:
    cache = PagedCache(decoder.config, num_pages=num_pages, page_size=8, dtype=decoder.dtype, device=decoder.device)
    return ModelRunner(decoder, cache)


def of_transformers(prompt: list[int], pooling: Pooling) -> FloatArray:
    from transformers import LlamaConfig, LlamaModel

    model = LlamaModel(LlamaConfig(**LLAMA)).eval()
    state = {name.removeprefix("model."): tensor for name, tensor in random_llama().items()}
    model.load_state_dict(state)
    with torch.no_grad():
        hidden_TD = model(torch.tensor([prompt])).last_hidden_state[0]
    pooled: FloatArray = (hidden_TD.mean(0) if pooling == "mean" else hidden_TD[-1]).numpy()
    return pooled


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_vectors_are_transformers_hidden_states(start: Start, decoder: Decoder, pooling: Pooling) -> None:
    engine = start(real_runner(decoder), max_batch=3, step_tokens=8)  # prompts are cut into pieces, too

    found = engine.embed(PROMPTS, pooling=pooling)

    assert found.shape == (5, LLAMA["hidden_size"])
    assert found.dtype == np.float32
    for row, prompt in zip(found, PROMPTS, strict=True):
        np.testing.assert_allclose(row, of_transformers(prompt, pooling), atol=1e-4)


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_a_vector_is_the_same_alone_together_cached_and_beside_answers(
    start: Start, decoder: Decoder, pooling: Pooling
) -> None:
    alone = start(real_runner(decoder), max_batch=1)
    expected = np.concatenate([alone.embed([prompt], pooling=pooling) for prompt in PROMPTS])
    busy = start(real_runner(decoder), max_batch=2, max_waiting=2, step_tokens=8)
    answer = busy.stream(PROMPTS[1], SamplingParams(max_tokens=20, ignore_eos=True))

    together = busy.embed(PROMPTS * 4, pooling=pooling)  # far more than may wait

    np.testing.assert_allclose(together, np.tile(expected, (4, 1)), atol=1e-5)
    assert text_of(answer)[1] == "length"
    cached = busy.stats().cached_prompt_tokens_total
    assert (cached == 0) if pooling == "mean" else (cached > 0)  # the mean needs every token's state


def test_mean_vectors_leave_nothing_in_the_cache(start: Start, decoder: Decoder) -> None:
    engine = start(real_runner(decoder))
    engine.embed(PROMPTS)

    assert engine.stats().pages_free == engine.stats().pages_total


def test_a_prompt_that_gave_its_place_up_has_the_same_vector(start: Start, decoder: Decoder) -> None:
    """Pages for about two of the requests: prompts and answers push each other out and begin again."""
    engine = start(real_runner(decoder, num_pages=9), max_batch=4, step_tokens=8)
    expected = [of_transformers(prompt, "mean") for prompt in PROMPTS]
    params = SamplingParams(max_tokens=40, ignore_eos=True)

    with ThreadPoolExecutor(3) as readers:
        answers = [
            readers.submit(lambda i=i: text_of(engine.stream([i] * 20, params, options=RequestOptions(priority=1))))
            for i in range(3)
        ]
        found = engine.embed(PROMPTS)
        assert all(answer.result()[1] == "length" for answer in answers)

    np.testing.assert_allclose(found, np.stack(expected), atol=1e-4)


def test_normalised_rows_have_length_one(start: Start, decoder: Decoder) -> None:
    engine = start(real_runner(decoder))

    plain, found = engine.embed(PROMPTS), engine.embed(PROMPTS, normalize=True)

    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(found * np.linalg.norm(plain, axis=1, keepdims=True), plain, atol=1e-4)


@pytest.mark.parametrize(
    ("prompts", "options", "message"),
    [
        ([], {}, "prompts: must not be empty"),
        ([[1], []], {}, "prompt_ids: must not be empty"),
        ([[300]], {}, "prompt_ids: must be 0 to 299"),
        ([[1] * 64], {}, "the context holds 64 tokens"),
        ([[1]], {"options": RequestOptions(adapter="none")}, "adapter: not loaded"),
        ([[1]], {"pooling": "max"}, r"pooling: must be one of mean, last \(got 'max'\)"),
    ],
)
def test_bad_prompts_are_refused(
    start: Start, decoder: Decoder, prompts: Any, options: dict[str, Any], message: str
) -> None:
    engine = start(real_runner(decoder))

    with pytest.raises(ValueError, match=message):
        engine.embed(prompts, **options)

    assert engine.embed([[1]]).shape == (1, 32)


def test_one_bad_prompt_cancels_its_list_and_nothing_else(start: Start) -> None:
    runner = FakeRunner([1])
    engine = start(runner)

    with pytest.raises(GenerationFailed):
        engine.embed([[1], [POISON], [2]])

    assert engine.embed([[3, 4]]).tolist() == [[2, 7]]
    assert not runner.open_slots


def test_a_queue_that_others_fill_says_busy(start: Start) -> None:
    runner = FakeRunner([1])
    runner.gate.clear()
    engine = start(runner, max_batch=1, max_waiting=1)
    streams = [engine.stream([1], SamplingParams(max_tokens=1))]
    wait_until(lambda: engine.stats().running == 1)
    streams.append(engine.stream([1], SamplingParams(max_tokens=1)))
    with pytest.raises(EngineBusy):
        engine.embed([[1]])
    runner.gate.set()
    for stream in streams:
        text_of(stream)

    assert engine.embed([[1]]).tolist() == [[1, 1]]
    engine.close()
    with pytest.raises(EngineStopped, match="not running"):
        engine.embed([[1]])
