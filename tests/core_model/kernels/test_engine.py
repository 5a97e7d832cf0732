"""The engine on the kernels: an answer is the same to the bit alone, among others, with guesses and from the cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from core_model.config import parse_config
from core_model.engine import Engine
from core_model.generation import RequestOptions, SamplingParams
from core_model.kernels.library import Kernels
from core_model.kernels.step import Step
from core_model.kv_cache import PagedCache
from core_model.model import Decoder
from core_model.runner import ModelRunner
from core_model.weights import Weights
from tests.core_model.fake_drafter import knows
from tests.core_model.tiny import LLAMA, make_tokenizer, random_llama
from tests.core_model.tiny_adapters import write_lora

PROMPTS = [[i, *range(40 + 9 * i), 7, 8, 9] for i in range(5)]
PARAMS = SamplingParams(max_tokens=12, logprobs=2, ignore_eos=True)

Start = Callable[..., Engine]


@pytest.fixture
def start(best_kernels: Kernels) -> Iterator[Start]:
    """Start engines over the tiny Llama in 4 bits; closed at the end of the test."""
    engines: list[Engine] = []

    def make(**options: object) -> Engine:
        decoder = Decoder(parse_config(LLAMA), Weights(random_llama(), precision="int4", kernels=best_kernels))
        decoder.step = Step(decoder)
        cache = PagedCache(
            decoder.config, num_pages=40, dtype=decoder.dtype, device=torch.device("cpu"), precision="fp16"
        )
        runner = ModelRunner(decoder, cache, is_batch_invariant=decoder.has_exact_rows)
        settings = {"model_version": "tiny", "eos_ids": frozenset({258}), "max_context": 128, "max_batch": 8}
        engines.append(Engine(runner, make_tokenizer(), **{**settings, **options}).start())  # type: ignore[arg-type]
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()


def ask(
    engine: Engine, prompt: list[int], *, adapter: str | None = None, speculate: bool = False
) -> Iterator[tuple[int, object]]:
    """Each token and its log-probabilities, to the bit."""
    options = RequestOptions(adapter=adapter, speculate=speculate)
    chunks = engine.stream(prompt, PARAMS, options=options)
    return ((token, entry) for chunk in chunks for token, entry in zip(chunk.token_ids, chunk.logprobs, strict=True))


def test_a_mixed_batch_answers_as_each_alone(start: Start, tmp_path: Path) -> None:
    alone, together = start(max_batch=1), start(step_tokens=48)  # cuts prompts
    adapters = [None, "a", None, "b", "a"]
    for engine in (alone, together):
        for seed, name in enumerate("ab"):
            engine.load_adapter(name, write_lora(tmp_path / f"{id(engine)}{name}", seed=seed))

    expected = [list(ask(alone, prompt, adapter=name)) for prompt, name in zip(PROMPTS, adapters, strict=True)]
    streams = [ask(together, prompt, adapter=name) for prompt, name in zip(PROMPTS, adapters, strict=True)]

    assert [list(stream) for stream in streams] == expected
    assert len({str(answer) for answer in expected}) == 5


def test_an_answer_from_the_cache_is_the_same(start: Start) -> None:
    engine = start()
    first = list(ask(engine, PROMPTS[0]))

    again = list(ask(engine, PROMPTS[0]))

    assert again == first
    assert engine.stats().cached_prompt_tokens_total == len(PROMPTS[0]) - 1  # whole tiles are not needed


def test_guesses_change_nothing(start: Start) -> None:
    answer = list(ask(start(), PROMPTS[3]))
    tokens = [token for token, _ in answer]

    guessing = start(new_drafter=knows([*PROMPTS[3], *tokens], nonsense=0.3))

    assert list(ask(guessing, PROMPTS[3], speculate=True)) == answer
    assert 0 < guessing.stats().accepted_tokens_total < guessing.stats().drafted_tokens_total
