"""A small model guesses for a larger one: the same tokens come out, and its own cache loses nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

from core_model.config import parse_config
from core_model.draft_models import DraftModel, NextTokenHead, check_same_vocabulary
from core_model.engine import Engine
from core_model.generation import RequestOptions, SamplingParams, TokenChunk
from core_model.kv_cache import PagedCache
from core_model.model import Decoder, Segment
from core_model.runner import ModelRunner
from core_model.tokenizer import Tokenizer
from core_model.weights import Weights
from tests.core_model.tiny import LLAMA, make_backend, make_tokenizer, random_llama

PROMPT, PARAMS = list(range(10, 30)), SamplingParams(max_tokens=30)

Start = Callable[..., Engine]


def make_cache(decoder: Decoder, *, num_pages: int = 16) -> PagedCache:
    return PagedCache(decoder.config, num_pages=num_pages, page_size=8, dtype=torch.float32, device=decoder.device)


def ids_of(stream: Iterator[TokenChunk]) -> list[int]:
    return [token for chunk in stream for token in chunk.token_ids]


@pytest.fixture
def other_decoder() -> Decoder:
    """One layer of the tiny Llama: it says other things."""
    return Decoder(parse_config({**LLAMA, "num_hidden_layers": 1}), Weights(random_llama(), precision="fp32"))


def plain_greedy(decoder: Decoder, token_ids: list[int], num_tokens: int) -> list[int]:
    """Without any cache."""
    ids = list(token_ids)
    for _ in range(num_tokens):
        ids.append(int(decoder.logits(decoder(torch.tensor(ids), [Segment(len(ids))])[-1:]).argmax()))
    return ids[len(token_ids) :]


def test_guesses_are_the_small_models_greedy_answer(decoder: Decoder) -> None:
    drafter, ids = DraftModel(decoder, make_cache(decoder), vocab_size=300), list(PROMPT)

    for limit, num_right in [(4, 4), (3, 0), (5, 2), (1, 1), (2, 0)]:
        guess = list(drafter.propose(ids, limit))
        assert guess == plain_greedy(decoder, ids, limit)
        ids += [*guess[:num_right], (guess[-1] + 1) % 300]


def test_the_same_model_guesses_right(start: Start, decoder: Decoder) -> None:
    expected = ids_of(start(ModelRunner(decoder, make_cache(decoder))).stream(PROMPT, PARAMS))
    draft_cache = make_cache(decoder)
    engine = start(
        ModelRunner(decoder, make_cache(decoder)),
        new_drafter=lambda: DraftModel(decoder, draft_cache, vocab_size=300, price=0.0),
    )

    answer = ids_of(engine.stream(PROMPT, PARAMS))

    assert answer == expected
    assert engine.stats().accepted_tokens_total == engine.stats().drafted_tokens_total > 15


def test_another_model_changes_nothing_and_gives_its_pages_back(
    start: Start, decoder: Decoder, other_decoder: Decoder
) -> None:
    plain, draft_cache = start(ModelRunner(decoder, make_cache(decoder, num_pages=64))), make_cache(other_decoder)
    engine = start(
        ModelRunner(decoder, make_cache(decoder, num_pages=64)),
        new_drafter=lambda: DraftModel(other_decoder, draft_cache, vocab_size=300),
    )
    prompts = [[i] * (i + 1) for i in range(6)]

    streams = [engine.stream(prompt, PARAMS) for prompt in prompts]  # more than the draft model's cache has room for

    assert [ids_of(stream) for stream in streams] == [ids_of(plain.stream(prompt, PARAMS)) for prompt in prompts]
    assert engine.stats().drafted_tokens_total > 0
    engine.close()
    stats = draft_cache.stats()
    assert stats.pages_free + stats.pages_cached == stats.pages_total


def test_without_room_there_are_no_guesses(decoder: Decoder) -> None:
    cache = make_cache(decoder, num_pages=3)
    first, second = (DraftModel(decoder, cache, vocab_size=300) for _ in range(2))

    assert len(first.propose(PROMPT, 4)) == 4
    assert second.propose(list(range(100, 120)), 4) == ()
    assert first.propose([*PROMPT, *range(9)], 4) == ()
    first.end()
    assert len(second.propose(list(range(100, 120)), 4)) == 4


def test_a_request_that_speculates_not_costs_the_draft_model_nothing(start: Start, decoder: Decoder) -> None:
    draft_cache = make_cache(decoder)
    engine = start(
        ModelRunner(decoder, make_cache(decoder)), new_drafter=lambda: DraftModel(decoder, draft_cache, vocab_size=300)
    )

    ids_of(engine.stream(PROMPT, PARAMS, options=RequestOptions(speculate=False)))

    assert draft_cache.stats().pages_free == draft_cache.stats().pages_total


def test_a_draft_model_needs_the_same_vocabulary() -> None:
    backend = make_backend()
    backend.add_special_tokens(["<|more|>"])

    check_same_vocabulary(make_tokenizer(), make_tokenizer())
    with pytest.raises(ValueError, match=r"its tokenizer is not the model's own \(got 260 tokens, the model has 259\)"):
        check_same_vocabulary(Tokenizer(backend, eos_ids=frozenset(), chat_template=None), make_tokenizer())


def test_a_checkpoint_without_a_next_token_layer_is_refused(decoder: Decoder) -> None:
    with pytest.raises(ValueError, match=r"num_nextn_predict_layers: must be 1 or more to guess with \(got 0\)"):
        NextTokenHead(decoder.config, Weights(random_llama(), precision="fp32"), decoder)
