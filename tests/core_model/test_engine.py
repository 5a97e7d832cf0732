"""The engine: streams, cancels, bounds its queue, and keeps one request's trouble from the others."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from core_model.constrain import ConstraintFactory
from core_model.engine import Engine
from core_model.generation import EngineBusy, EngineStopped, GenerationFailed, Grammar, SamplingParams, TokenChunk
from core_model.kv_cache import SlotCache
from core_model.model import Decoder
from core_model.runner import ModelRunner
from core_model.tokenizer import Tokenizer
from tests.core_model.fake_runner import BAD_SAMPLE, NO_SLOT, POISON, FakeRunner
from tests.core_model.tiny import make_tokenizer

TOKENIZER = make_tokenizer()
EOS = min(TOKENIZER.eos_ids)
HELLO = TOKENIZER.encode("hello")

Start = Callable[..., Engine]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start an engine over a runner; closed at the end of the test."""
    engines: list[Engine] = []

    def make(runner: Any, **options: Any) -> Engine:
        settings = {"model_version": "fake-1", "eos_ids": TOKENIZER.eos_ids, "max_context": 64, "max_batch": 4}
        engines.append(Engine(runner, TOKENIZER, **{**settings, **options}).start())
        return engines[-1]

    yield make
    for engine in engines:
        if isinstance(engine._runner, FakeRunner):
            engine._runner.gate.set()
        engine.close()


def text_of(chunks: Iterator[TokenChunk] | list[TokenChunk]) -> tuple[str, str | None]:
    chunks = list(chunks)
    assert all(chunk.finish_reason is None for chunk in chunks[:-1])
    return "".join(chunk.text for chunk in chunks), chunks[-1].finish_reason


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(2_000_000):
        if condition():
            return
    raise AssertionError("the engine did not get there")


def test_an_answer_ends_at_the_end_of_text_token(start: Start) -> None:
    chunks = list(start(FakeRunner([*HELLO, EOS])).stream([1], SamplingParams()))

    assert text_of(chunks) == ("hello", "stop")
    assert [token for chunk in chunks for token in chunk.token_ids] == HELLO


def test_an_answer_ends_at_max_tokens(start: Start) -> None:
    assert text_of(start(FakeRunner(HELLO)).stream([1], SamplingParams(max_tokens=3))) == ("hel", "length")


def test_an_answer_ends_where_the_context_does(start: Start) -> None:
    engine = start(FakeRunner(HELLO), max_context=8)

    assert text_of(engine.stream([1] * 5, SamplingParams(max_tokens=100))) == ("hel", "length")


def test_a_stop_string_is_cut_off(start: Start) -> None:
    assert text_of(start(FakeRunner(HELLO)).stream([1], SamplingParams(stop=("lo",)))) == ("hel", "stop")


def test_many_requests_run_at_once_and_each_gets_its_own_answer(start: Start) -> None:
    runner = FakeRunner([*HELLO, EOS])
    runner.gate.clear()
    engine = start(runner, max_batch=3)
    streams = [engine.stream([i], SamplingParams(max_tokens=i + 1)) for i in range(6)]
    runner.gate.set()
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(text_of, streams))

    assert answers == [(("hello"[: i + 1]), "stop" if i == 5 else "length") for i in range(6)]
    assert max(runner.batch_sizes) == 3
    assert (engine.stats().running, engine.stats().waiting, engine.stats().requests_total) == (0, 0, 6)
    assert runner.open_slots == set()


@pytest.mark.parametrize("leave", ["close", "drop"])
def test_leaving_a_stream_frees_its_slot(start: Start, leave: str) -> None:
    runner = FakeRunner(HELLO)
    engine = start(runner, max_context=10**9)
    stream = engine.stream([1], SamplingParams(max_tokens=10**9))
    next(stream)

    if leave == "close":
        stream.close()  # type: ignore[attr-defined]
        assert list(stream) == []
    else:
        del stream
        gc.collect()
    wait_until(lambda: engine.stats().running == 0)

    assert runner.open_slots == set()


def test_a_waiting_request_can_be_cancelled(start: Start) -> None:
    runner = FakeRunner([EOS])
    runner.gate.clear()
    engine = start(runner, max_batch=1)
    first = engine.stream([1], SamplingParams())
    wait_until(lambda: engine.stats().running == 1)
    second = engine.stream([2], SamplingParams())
    second.close()  # type: ignore[attr-defined]
    runner.gate.set()

    assert text_of(first) == ("", "stop")
    wait_until(lambda: engine.stats().waiting == 0)
    assert [request.token_ids for request in runner.ended] == [[1]]


def test_a_full_queue_says_busy_and_recovers(start: Start) -> None:
    runner = FakeRunner([EOS])
    runner.gate.clear()
    engine = start(runner, max_batch=1, max_waiting=1)
    streams = [engine.stream([1], SamplingParams())]
    wait_until(lambda: engine.stats().running == 1)
    streams.append(engine.stream([1], SamplingParams()))

    with pytest.raises(EngineBusy, match="1 requests wait already"):
        engine.stream([1], SamplingParams())
    runner.gate.set()
    assert [text_of(stream) for stream in streams] == [("", "stop")] * 2
    assert text_of(engine.stream([1], SamplingParams())) == ("", "stop")


@pytest.mark.parametrize(("token", "cause"), [(POISON, "device-side"), (BAD_SAMPLE, "matcher"), (NO_SLOT, "no slot")])
def test_a_failing_request_never_harms_its_neighbours(start: Start, token: int, cause: str) -> None:
    runner = FakeRunner([*HELLO, EOS])
    runner.gate.clear()
    engine = start(runner)
    streams = [engine.stream([prompt], SamplingParams()) for prompt in (1, token, 2)]
    runner.gate.set()

    with pytest.raises(GenerationFailed, match="failed for this request") as failure:
        list(streams[1])
    assert cause in str(failure.value.__cause__)
    assert text_of(streams[0]) == text_of(streams[2]) == ("hello", "stop")
    assert engine.stats().failed_total == 1
    assert runner.open_slots == set()


def test_closing_the_engine_ends_every_stream(start: Start) -> None:
    runner = FakeRunner(HELLO)
    engine = start(runner, max_batch=1, max_context=10**9)
    streams = [engine.stream([1], SamplingParams(max_tokens=10**9)) for _ in range(2)]
    next(streams[0])

    engine.close()

    assert [text_of(stream)[1] for stream in streams] == ["cancelled", "cancelled"]
    with pytest.raises(EngineStopped, match="not running"):
        engine.stream([1], SamplingParams())
    engine.close()


@pytest.mark.parametrize(
    ("prompt", "params", "message"),
    [
        ([], SamplingParams(), "prompt_ids: must not be empty"),
        ([1] * 64, SamplingParams(), r"the context holds 64 tokens, answer included \(got a prompt of 64\)"),
        ([300], SamplingParams(), "prompt_ids: must be 0 to 299"),
        ([-1], SamplingParams(), "prompt_ids: must be 0 to 299"),
        ([1], SamplingParams(max_tokens=0), r"max_tokens: must be at least 1 \(got 0\)"),
        ([1], SamplingParams(temperature=-0.1), "temperature: must be 0"),
        ([1], SamplingParams(temperature=float("nan")), "temperature: must be 0"),
        ([1], SamplingParams(top_k=-1), "top_k: must be 0"),
        ([1], SamplingParams(top_p=0.0), "top_p: must be above 0"),
        ([1], SamplingParams(seed=-1), "seed: must be 0"),
        ([1], SamplingParams(stop=("a", "")), "stop: strings must not be empty"),
        ([1], SamplingParams(grammar=Grammar("regex", "(")), "grammar: not usable"),
        ([1], SamplingParams(stop_token_ids=(300,)), r"stop_token_ids: token ids must be 0 to 299 \(got 300\)"),
        ([1], SamplingParams(logit_bias=((-1, 1.0),)), "logit_bias: token ids must be 0 to 299"),
    ],
)
def test_bad_requests_are_refused_before_they_queue(
    start: Start, prompt: list[int], params: SamplingParams, message: str
) -> None:
    engine = start(FakeRunner([EOS]))

    with pytest.raises(ValueError, match=message):
        engine.stream(prompt, params)
    assert engine.stats().requests_total == 0


# --- over a real, tiny decoder ---


def real_runner(decoder: Decoder, num_slots: int) -> ModelRunner:
    cache = SlotCache(decoder.config, num_slots=num_slots, max_context=64, dtype=decoder.dtype, device=decoder.device)
    return ModelRunner(decoder, cache)


def ids_of(stream: Iterator[TokenChunk]) -> list[int]:
    return [token for chunk in stream for token in chunk.token_ids]


@pytest.mark.parametrize("params", [SamplingParams(max_tokens=20), SamplingParams(20, 1.0, top_p=0.9, seed=3)])
def test_batched_equals_single(start: Start, decoder: Decoder, tokenizer: Tokenizer, params: SamplingParams) -> None:
    prompts = [tokenizer.encode(text) for text in ("a", "many words here", "x" * 40)]
    alone = start(real_runner(decoder, 1), max_batch=1)
    together = start(real_runner(decoder, 3), max_batch=3, step_tokens=8)  # also cuts the long prompt into pieces

    expected = [ids_of(alone.stream(prompt, params)) for prompt in prompts]
    streams = [together.stream(prompt, params) for prompt in prompts]

    assert [ids_of(stream) for stream in streams] == expected


def test_a_reused_prefix_gives_the_same_answer(start: Start, decoder: Decoder, tokenizer: Tokenizer) -> None:
    engine = start(real_runner(decoder, 1), max_batch=1)
    prompt = tokenizer.encode("a shared beginning, then this")

    first = ids_of(engine.stream(prompt, SamplingParams(max_tokens=10)))
    ids_of(engine.stream(tokenizer.encode("a shared beginning, then that"), SamplingParams(max_tokens=10)))
    again = ids_of(engine.stream(prompt, SamplingParams(max_tokens=10)))

    assert again == first
    assert engine.stats().cached_prompt_tokens_total >= 2 * len("a shared beginning, then th")


def constrained_runner(decoder: Decoder, num_slots: int) -> ModelRunner:
    factory = ConstraintFactory(TOKENIZER.to_json(), vocab_size=300, eos_ids=TOKENIZER.eos_ids)
    cache = SlotCache(decoder.config, num_slots=num_slots, max_context=64, dtype=decoder.dtype, device=decoder.device)
    return ModelRunner(decoder, cache, factory)


def test_a_constrained_answer_stops_when_its_grammar_is_complete(start: Start, decoder: Decoder) -> None:
    engine = start(constrained_runner(decoder, 2))

    chunks = list(engine.stream(HELLO, SamplingParams(grammar=Grammar.choice("no, thanks"))))

    assert text_of(chunks) == ("no, thanks", "stop")
    assert engine.stats().generated_tokens_total == len("no, thanks")


def test_a_stuck_grammar_fails_its_own_request_only(start: Start, decoder: Decoder) -> None:
    engine = start(constrained_runner(decoder, 2))
    dead_end = Grammar("lark", 'start: "b" NEVER\nNEVER: /a/ & /b/')
    stuck = engine.stream(HELLO, SamplingParams(grammar=dead_end))
    other = engine.stream(HELLO, SamplingParams(grammar=Grammar.choice("fine")))

    with pytest.raises(GenerationFailed, match="failed for this request"):
        list(stuck)
    assert text_of(other) == ("fine", "stop")


def test_an_impossible_grammar_is_refused_before_it_queues(start: Start, decoder: Decoder) -> None:
    engine = start(constrained_runner(decoder, 1))

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


@pytest.mark.parametrize(
    ("params", "answer"),
    [
        (SamplingParams(stop_token_ids=(HELLO[4],)), ("hell", "stop")),
        (SamplingParams(ignore_eos=True, max_tokens=8), ("hellohe", "length")),
        (SamplingParams(stop=("l",), min_tokens=4), ("hel", "stop")),
        (SamplingParams(stop=("l",), min_tokens=5, max_tokens=5), ("hello", "length")),
    ],
)
def test_what_ends_an_answer(start: Start, params: SamplingParams, answer: tuple[str, str]) -> None:
    assert text_of(start(FakeRunner([*HELLO, EOS])).stream([1], params)) == answer


def test_a_seed_repeats_whatever_else_runs(start: Start, decoder: Decoder) -> None:
    engine = start(real_runner(decoder, 4), max_batch=4)
    params = SamplingParams(max_tokens=20, temperature=1.0, seed=5, presence_penalty=0.5)

    alone = ids_of(engine.stream(HELLO, params))
    others = [engine.stream([i], SamplingParams(max_tokens=20, temperature=1.0)) for i in range(3)]
    among_others = ids_of(engine.stream(HELLO, params))
    [ids_of(other) for other in others]

    assert among_others == alone
