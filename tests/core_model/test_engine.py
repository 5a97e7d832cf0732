"""The engine: streams, cancels, bounds its queue, and keeps one request's trouble from the others."""

from __future__ import annotations

import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core_model.engine import Engine
from core_model.generation import (
    EngineBusy,
    EngineStopped,
    GenerationFailed,
    Grammar,
    RequestOptions,
    SamplingParams,
)
from tests.core_model.fake_runner import BAD_SAMPLE, NO_SLOT, POISON, FakeRunner
from tests.core_model.tiny import make_tokenizer, text_of, wait_until

TOKENIZER = make_tokenizer()
EOS = min(TOKENIZER.eos_ids)
HELLO = TOKENIZER.encode("hello")

Start = Callable[..., Engine]


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


def test_a_reader_that_stops_reading_pauses_its_request_and_no_other(start: Start) -> None:
    engine = start(FakeRunner(HELLO), max_unread=8, max_context=10**6)
    slow = engine.stream([1], SamplingParams(max_tokens=200))
    wait_until(lambda: engine.stats().paused == 1)
    generated = engine.stats().generated_tokens_total
    neighbour = text_of(engine.stream([2], SamplingParams(max_tokens=7)))

    assert generated <= 8 + 1
    assert engine.stats().generated_tokens_total == generated + 7
    assert neighbour == ("hellohe", "length")
    assert text_of(slow) == ("hello" * 40, "length")


def test_paused_requests_leave_their_places_to_others(start: Start) -> None:
    engine = start(FakeRunner(HELLO), max_batch=1, max_unread=2, max_context=10**6)
    slow = [engine.stream([1], SamplingParams(max_tokens=50)) for _ in range(3)]
    wait_until(lambda: engine.stats().paused == 3)

    assert text_of(engine.stream([2], SamplingParams(max_tokens=50))) == ("hello" * 10, "length")
    assert [text_of(stream) for stream in slow] == [("hello" * 10, "length")] * 3


@pytest.mark.parametrize("leave", ["close", "drop"])
def test_leaving_a_paused_stream_frees_its_slot(start: Start, leave: str) -> None:
    runner = FakeRunner(HELLO)
    engine = start(runner, max_unread=2, max_context=10**9)
    stream = engine.stream([1], SamplingParams(max_tokens=10**9))
    wait_until(lambda: engine.stats().paused == 1)

    if leave == "close":
        stream.close()  # type: ignore[attr-defined]
    else:
        del stream
        gc.collect()
    wait_until(lambda: engine.stats().running == 0)

    assert runner.open_slots == set()


def test_a_tenants_full_queue_leaves_room_for_others(start: Start) -> None:
    runner = FakeRunner([EOS])
    runner.gate.clear()
    engine = start(runner, max_batch=1, max_waiting_per_tenant=1)
    a, b = RequestOptions(tenant="a"), RequestOptions(tenant="b")
    streams = [engine.stream([1], SamplingParams(), options=a)]
    wait_until(lambda: engine.stats().running == 1)
    streams.append(engine.stream([1], SamplingParams(), options=a))

    with pytest.raises(EngineBusy, match="1 requests of this tenant wait already"):
        engine.stream([1], SamplingParams(), options=a)
    streams.append(engine.stream([1], SamplingParams(), options=b))
    runner.gate.set()
    assert [text_of(stream) for stream in streams] == [("", "stop")] * 3


def test_an_adapter_that_is_not_loaded_is_refused(start: Start) -> None:
    engine = start(FakeRunner([EOS]))
    engine.load_adapter("polite", Path("polite"))

    with pytest.raises(ValueError, match=r"adapter: not loaded \(got 'rude'; loaded: polite\)"):
        engine.stream([1], SamplingParams(), options=RequestOptions(adapter="rude"))
    assert text_of(engine.stream([1], SamplingParams(), options=RequestOptions(adapter="polite"))) == ("", "stop")


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
