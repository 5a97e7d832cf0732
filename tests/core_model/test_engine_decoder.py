"""The engine over a real, tiny decoder: answers are the same alone, together, preempted, resumed and constrained."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from core_model.constrain import ConstraintFactory
from core_model.engine import Engine
from core_model.generation import (
    GenerationFailed,
    Grammar,
    RequestOptions,
    SamplingParams,
    TokenChunk,
)
from core_model.kv_cache import PagedCache
from core_model.model import Decoder
from core_model.runner import ModelRunner
from core_model.tokenizer import Tokenizer
from tests.core_model.tiny import make_tokenizer, text_of

TOKENIZER = make_tokenizer()
HELLO = TOKENIZER.encode("hello")

Start = Callable[..., Engine]


def real_runner(decoder: Decoder, num_pages: int) -> ModelRunner:
    return ModelRunner(decoder, tiny_cache(decoder, num_pages))


def ids_of(stream: Iterator[TokenChunk]) -> list[int]:
    return [token for chunk in stream for token in chunk.token_ids]


def tiny_cache(decoder: Decoder, num_pages: int) -> PagedCache:
    return PagedCache(decoder.config, num_pages=num_pages, page_size=8, dtype=decoder.dtype, device=decoder.device)


@pytest.mark.parametrize("params", [SamplingParams(max_tokens=20), SamplingParams(20, 1.0, top_p=0.9, seed=3)])
def test_batched_equals_single(start: Start, decoder: Decoder, tokenizer: Tokenizer, params: SamplingParams) -> None:
    prompts = [tokenizer.encode(text) for text in ("a", "many words here", "x" * 40)]
    alone = start(real_runner(decoder, 8), max_batch=1)
    together = start(real_runner(decoder, 24), max_batch=3, step_tokens=8)  # also cuts the long prompt into pieces

    expected = [ids_of(alone.stream(prompt, params)) for prompt in prompts]
    streams = [together.stream(prompt, params) for prompt in prompts]

    assert [ids_of(stream) for stream in streams] == expected


def test_a_reused_prefix_gives_the_same_answer(start: Start, decoder: Decoder, tokenizer: Tokenizer) -> None:
    engine = start(real_runner(decoder, 8), max_batch=1)
    prompt = tokenizer.encode("a shared beginning, then this")

    first = ids_of(engine.stream(prompt, SamplingParams(max_tokens=10)))
    ids_of(engine.stream(tokenizer.encode("a shared beginning, then that"), SamplingParams(max_tokens=10)))
    again = ids_of(engine.stream(prompt, SamplingParams(max_tokens=10)))

    assert again == first
    assert engine.stats().cached_prompt_tokens_total >= 2 * len("a shared beginning, then th")


def test_a_cache_filled_under_another_version_or_salt_is_never_hit(start: Start, decoder: Decoder) -> None:
    runner = real_runner(decoder, 32)
    prompt, params = list(range(40)), SamplingParams(max_tokens=2)
    hits = []
    for version, salt in [("v1", ""), ("v2", ""), ("v1", "secret"), ("v1", "")]:
        engine = start(runner, model_version=version)
        ids_of(engine.stream(prompt, params, options=RequestOptions(cache_salt=salt)))
        engine.close()
        hits.append(engine.stats().cached_prompt_tokens_total)

    assert hits == [0, 0, 0, 39]


def test_requests_that_do_not_fit_together_take_turns_unseen(start: Start, decoder: Decoder) -> None:
    prompts, params = [[i] * 20 for i in range(4)], SamplingParams(max_tokens=30)
    alone, tight = start(real_runner(decoder, 32)), start(real_runner(decoder, 12))  # 12: not even two whole answers
    expected = [ids_of(alone.stream(prompt, params)) for prompt in prompts]

    streams = [tight.stream(prompt, params) for prompt in prompts]

    assert [ids_of(stream) for stream in streams] == expected
    stats = tight.stats()
    assert stats.preemptions_total > 0
    assert stats.pages_free + stats.pages_cached == stats.pages_total == 12


def test_a_request_that_can_never_fit_is_refused(start: Start, decoder: Decoder) -> None:
    engine = start(real_runner(decoder, 4))

    with pytest.raises(ValueError, match=r"the cache holds 32 tokens \(got a prompt of 20 and max_tokens=13\)"):
        engine.stream([1] * 20, SamplingParams(max_tokens=13))
    assert len(ids_of(engine.stream([1] * 20, SamplingParams(max_tokens=12)))) == 12


def constrained_runner(decoder: Decoder, num_pages: int) -> ModelRunner:
    factory = ConstraintFactory(TOKENIZER.to_json(), vocab_size=300, eos_ids=TOKENIZER.eos_ids)
    return ModelRunner(decoder, tiny_cache(decoder, num_pages), factory)


def test_a_constrained_answer_stops_when_its_grammar_is_complete(start: Start, decoder: Decoder) -> None:
    engine = start(constrained_runner(decoder, 32))

    chunks = list(engine.stream(HELLO, SamplingParams(grammar=Grammar.choice("no, thanks"))))

    assert text_of(chunks) == ("no, thanks", "stop")
    assert engine.stats().generated_tokens_total == len("no, thanks")


def test_a_stuck_grammar_fails_its_own_request_only(start: Start, decoder: Decoder) -> None:
    engine = start(constrained_runner(decoder, 32))
    dead_end = Grammar("lark", 'start: "b" NEVER\nNEVER: /a/ & /b/')
    stuck = engine.stream(HELLO, SamplingParams(grammar=dead_end))
    other = engine.stream(HELLO, SamplingParams(grammar=Grammar.choice("fine")))

    with pytest.raises(GenerationFailed, match="failed for this request"):
        list(stuck)
    assert text_of(other) == ("fine", "stop")


def test_an_impossible_grammar_is_refused_before_it_queues(start: Start, decoder: Decoder) -> None:
    engine = start(constrained_runner(decoder, 32))

    with pytest.raises(ValueError, match="grammar: regex not usable"):
        engine.stream(HELLO, SamplingParams(grammar=Grammar("regex", "(")))
    assert engine.stats().requests_total == 0


def test_logprobs_come_with_their_tokens(start: Start, decoder: Decoder) -> None:
    chunks = list(start(real_runner(decoder, 1)).stream(HELLO, SamplingParams(max_tokens=3, logprobs=1)))

    for chunk in chunks:
        assert [entry.token_id for entry in chunk.logprobs] == list(chunk.token_ids)
        assert chunk.logprobs[0].top == ((chunk.token_ids[0], chunk.logprobs[0].logprob),)  # greedy: the best
        assert chunk.logprobs[0].logprob <= 0
    assert len(chunks) == 3


def test_a_seed_repeats_whatever_else_runs(start: Start, decoder: Decoder) -> None:
    engine = start(real_runner(decoder, 4), max_batch=4)
    params = SamplingParams(max_tokens=20, temperature=1.0, seed=5, presence_penalty=0.5)

    alone = ids_of(engine.stream(HELLO, params))
    others = [engine.stream([i], SamplingParams(max_tokens=20, temperature=1.0)) for i in range(3)]
    among_others = ids_of(engine.stream(HELLO, params))
    [ids_of(other) for other in others]

    assert among_others == alone
