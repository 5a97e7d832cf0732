"""Whatever is guessed, an answer is the one without guesses; no page is lost, and none keeps a wrong guess."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import stats

from core_model.constrain import ConstraintFactory
from core_model.engine import Engine
from core_model.generation import Grammar, RequestOptions, SamplingParams, TokenChunk
from core_model.kv_cache import PagedCache
from core_model.model import Decoder, Segment
from core_model.runner import ModelRunner
from core_model.speculate import PromptLookup
from tests.core_model.fake_drafter import KnowsAnswers, knows
from tests.core_model.fake_runner import FakeRunner
from tests.core_model.test_engine_properties import NUM_REQUESTS, Plan, make_runner, plans, read
from tests.core_model.tiny import make_decoder, make_tokenizer, text_of

TOKENIZER = make_tokenizer()
HELLO = TOKENIZER.encode("hello")
EOS = min(TOKENIZER.eos_ids)
DECODER = make_decoder("fp32")

Start = Callable[..., Engine]


def make(decoder: Decoder, *, num_pages: int = 32, page_size: int = 8, is_batch_invariant: bool = False) -> ModelRunner:
    cache = PagedCache(
        decoder.config, num_pages=num_pages, page_size=page_size, dtype=decoder.dtype, device=decoder.device
    )
    constraints = ConstraintFactory(TOKENIZER.to_json(), vocab_size=300, eos_ids=TOKENIZER.eos_ids)
    return ModelRunner(decoder, cache, constraints, is_batch_invariant=is_batch_invariant)


def chunks_of(stream: Iterator[TokenChunk]) -> list[TokenChunk]:
    return list(stream)


def ids_of(stream: Iterator[TokenChunk]) -> list[int]:
    return [token for chunk in stream for token in chunk.token_ids]


PARAMS = [
    SamplingParams(30),
    SamplingParams(1),
    SamplingParams(30, repetition_penalty=1.5, presence_penalty=0.5, frequency_penalty=0.5),
    SamplingParams(30, logprobs=3),
    SamplingParams(30, logit_bias=((EOS, 5.0),), min_tokens=9),
    SamplingParams(30, temperature=1.0, seed=3),
    SamplingParams(30, temperature=0.8, top_p=0.9, top_k=40, min_p=0.01, seed=4, presence_penalty=1.0),
    SamplingParams(60, grammar=Grammar.json_schema({"type": "array", "items": {"enum": ["yes", "no"]}, "minItems": 4})),
    SamplingParams(60, temperature=1.0, seed=5, grammar=Grammar("regex", "(hello|bye){3,9}!")),
]


@pytest.mark.parametrize("nonsense", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("params", PARAMS)
def test_an_answer_is_the_one_without_guesses(start: Start, params: SamplingParams, nonsense: float) -> None:
    expected = chunks_of(start(make(DECODER)).stream(HELLO, params))
    answer = [token for chunk in expected for token in chunk.token_ids]
    engine = start(make(DECODER), new_drafter=knows([*HELLO, *answer], nonsense=nonsense))

    got = chunks_of(engine.stream(HELLO, params))

    for ours, theirs in zip(got, expected, strict=True):
        assert (ours.token_ids, ours.text, ours.finish_reason) == (theirs.token_ids, theirs.text, theirs.finish_reason)
        for entry, other in zip(ours.logprobs, theirs.logprobs, strict=True):
            assert entry.logprob == pytest.approx(other.logprob, abs=1e-4)
            assert [token for token, _ in entry.top] == [token for token, _ in other.top]
    stats_ = engine.stats()
    assert stats_.generated_tokens_total == len(answer)
    if nonsense == 0 and len(answer) > 2:
        assert stats_.drafted_tokens_total >= stats_.accepted_tokens_total > len(answer) / 2
        assert stats_.accepted_tokens_total >= stats_.drafted_tokens_total - 1  # the one that ended it saved no pass


def test_the_end_of_an_answer_is_found_among_right_guesses(start: Start) -> None:
    script = [*HELLO, EOS, *HELLO]
    for params, answer in [
        (SamplingParams(), ("hello", "stop")),
        (SamplingParams(stop=("lo",)), ("hel", "stop")),
        (SamplingParams(max_tokens=4), ("hell", "length")),
        (SamplingParams(stop_token_ids=(HELLO[4],)), ("hell", "stop")),
    ]:
        runner = FakeRunner(script)
        engine = start(runner, new_drafter=knows([1, *script, *script]))

        assert text_of(engine.stream([1], params)) == answer
        assert runner.open_slots == set()


def test_prompt_lookup_saves_passes_where_an_answer_quotes(start: Start) -> None:
    runner = FakeRunner(HELLO)
    engine = start(runner, new_drafter=PromptLookup)

    answer = text_of(engine.stream([1, *HELLO, *HELLO, 2], SamplingParams(max_tokens=40)))

    assert answer == ("hello" * 8, "length")
    assert len(runner.batch_sizes) < 20
    assert engine.stats().accepted_tokens_total >= 40 - len(runner.batch_sizes)


def test_a_request_may_do_without_guesses(start: Start) -> None:
    engine = start(FakeRunner(HELLO), new_drafter=PromptLookup)

    text_of(engine.stream(HELLO * 3, SamplingParams(max_tokens=20), options=RequestOptions(speculate=False)))

    assert engine.stats().drafted_tokens_total == 0


def test_whoever_guesses_is_told_of_the_end(start: Start) -> None:
    drafters = [KnowsAnswers([]) for _ in range(3)]
    waiting = iter(drafters)
    engine = start(FakeRunner(HELLO), new_drafter=lambda: next(waiting), max_context=10**9)
    ids_of(engine.stream([1], SamplingParams(max_tokens=3)))
    left = engine.stream([1], SamplingParams(max_tokens=10**9))
    next(left)
    left.close()  # type: ignore[attr-defined]
    ids_of(engine.stream([1], SamplingParams(max_tokens=3)))
    engine.close()

    assert [drafter.num_ended for drafter in drafters] == [1, 1, 1]


class Breaks(KnowsAnswers):
    def propose(self, token_ids: Sequence[int], limit: int) -> Sequence[int]:
        raise RuntimeError("out of ideas")


def test_a_broken_drafter_fails_its_own_request_only(start: Start) -> None:
    made: list[Any] = [Breaks([]), KnowsAnswers([])]
    engine = start(FakeRunner([*HELLO, EOS]), new_drafter=lambda: made.pop(0))
    broken = engine.stream([1], SamplingParams())
    fine = engine.stream([2], SamplingParams())

    with pytest.raises(Exception, match="failed for this request") as failure:
        list(broken)
    assert "out of ideas" in str(failure.value.__cause__)
    assert text_of(fine) == ("hello", "stop")


def test_requests_that_take_turns_are_the_same_with_guesses(start: Start) -> None:
    prompts, params = [[i] * 20 for i in range(4)], SamplingParams(max_tokens=30)
    alone = start(make(DECODER))
    expected = [ids_of(alone.stream(prompt, params)) for prompt in prompts]
    texts = [[*prompt, *answer] for prompt, answer in zip(prompts, expected, strict=True)]
    tight = start(make(DECODER, num_pages=12), new_drafter=knows(*texts, nonsense=0.2))  # not even two whole answers

    streams = [tight.stream(prompt, params) for prompt in prompts]

    assert [ids_of(stream) for stream in streams] == expected
    counts = tight.stats()
    assert counts.preemptions_total > 0
    assert counts.accepted_tokens_total > 0
    assert counts.pages_free + counts.pages_cached == counts.pages_total == 12


def test_wrong_guesses_are_never_shared(start: Start) -> None:
    prompt, params = [*range(40)], SamplingParams(max_tokens=20)
    expected = ids_of(start(make(DECODER)).stream(prompt, params))
    engine = start(make(DECODER), new_drafter=knows([*prompt, *expected], nonsense=0.5))
    ids_of(engine.stream(prompt, params))
    for n in range(1, 20):  # each finds the prompt and n tokens of the answer in the cache
        again = ids_of(engine.stream([*prompt, *expected[:n]], SamplingParams(max_tokens=20 - n)))

        assert again == expected[n:]
    assert engine.stats().cached_prompt_tokens_total > 19 * 40
    assert 0 < engine.stats().accepted_tokens_total < engine.stats().drafted_tokens_total


def test_guesses_leave_every_other_answer_its_place(start: Start) -> None:
    prompts = [[i] * 5 for i in range(4)]
    alone = start(make(DECODER))
    expected = [ids_of(alone.stream(prompt, SamplingParams(max_tokens=30))) for prompt in prompts]
    texts = [[*prompt, *answer] for prompt, answer in zip(prompts, expected, strict=True)]
    engine = start(make(DECODER), new_drafter=knows(*texts), step_tokens=4)

    streams = [engine.stream(prompt, SamplingParams(max_tokens=30)) for prompt in prompts]

    assert [ids_of(stream) for stream in streams] == expected


def test_where_every_token_is_a_call_of_its_own_nothing_is_guessed(start: Start) -> None:
    engine = start(make(DECODER, is_batch_invariant=True), new_drafter=PromptLookup)

    ids_of(engine.stream([1, 2, 3] * 9, SamplingParams(max_tokens=20)))

    assert engine.stats().drafted_tokens_total == 0


def test_sampled_answers_with_guesses_have_the_models_distribution(start: Start) -> None:
    """Pearson's chi-square over the pairs that two tokens make: the guess is right sometimes, and never favoured."""
    num_answers, kept = 800, 4
    logits = DECODER.logits(DECODER(torch.tensor(HELLO), [Segment(len(HELLO))]))[-1]
    firsts = logits.topk(kept)
    expected: dict[tuple[int, int], float] = {}
    for first, p in zip(firsts.indices.tolist(), firsts.values.softmax(-1).tolist(), strict=True):
        ids = [*HELLO, first]
        seconds = DECODER.logits(DECODER(torch.tensor(ids), [Segment(len(ids))]))[-1].topk(kept)
        for second, q in zip(seconds.indices.tolist(), seconds.values.softmax(-1).tolist(), strict=True):
            expected[first, second] = p * q * num_answers
    guesses = [[*HELLO, *pair, 0] for pair in list(expected)[::3]]  # for some first tokens, some second one
    engine = start(make(DECODER), new_drafter=knows(*guesses))

    params = [SamplingParams(3, temperature=1.0, top_k=kept, seed=seed) for seed in range(num_answers)]
    answers = [ids_of(engine.stream(HELLO, each)) for each in params]

    counts = Counter((answer[0], answer[1]) for answer in answers)
    assert set(counts) <= set(expected)
    assert 0 < engine.stats().accepted_tokens_total < engine.stats().drafted_tokens_total
    frequent = [pair for pair, n in expected.items() if n >= 5]
    observed = [counts[pair] for pair in frequent] + [num_answers - sum(counts[pair] for pair in frequent)]
    awaited = [expected[pair] for pair in frequent]
    assert stats.chisquare(observed, [*awaited, num_answers - sum(awaited)]).pvalue > 0.001


@settings(max_examples=2, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data(), st.sampled_from([11, 24]), st.sampled_from([0.0, 0.3, 1.0]))
def test_no_page_is_lost_and_every_answer_is_right_with_guesses(
    data: st.DataObject, num_pages: int, nonsense: float
) -> None:
    requests = data.draw(st.lists(plans(), min_size=NUM_REQUESTS // 2, max_size=NUM_REQUESTS // 2))
    with _engine(make_runner(DECODER, num_pages=16), max_batch=1) as alone:
        known = {(r.prompt, r.max_tokens): None for r in requests if not r.fails}
        answers = {key: ids_of(alone.stream(key[0], SamplingParams(key[1]))) for key in known}
    texts = [[*prompt, *answer] for (prompt, _), answer in answers.items()]
    runner = make_runner(DECODER, num_pages=num_pages)
    drafters = knows(*texts, nonsense=nonsense)
    with _engine(runner, max_batch=3, new_drafter=drafters) as engine, ThreadPoolExecutor(8) as pool:
        streams = [engine.stream(r.prompt, SamplingParams(r.max_tokens), options=r.options) for r in requests]
        got = list(pool.map(read, streams, requests))
        list(engine.stream([1], SamplingParams(max_tokens=1)))  # so that the last to leave has been seen to leave
    counts = engine.stats()

    for request, answer in zip(requests, got, strict=True):
        if answer is not None:
            assert answer == answers[request.prompt, request.max_tokens]
    assert (counts.running, counts.waiting, counts.paused) == (0, 0, 0)
    assert counts.pages_free + counts.pages_cached == counts.pages_total == num_pages
    assert counts.failed_total <= sum(_fails(request) for request in requests)


def _fails(plan: Plan) -> bool:
    return plan.fails


def _engine(runner: ModelRunner, **options: Any) -> Engine:
    return Engine(
        runner,
        TOKENIZER,
        **{"model_version": "v1", "eos_ids": TOKENIZER.eos_ids, "max_context": 64, "max_waiting": 200, **options},
        max_unread=2,
        step_tokens=16,
    )
