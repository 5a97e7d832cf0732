"""The engine: streams, cancels, bounds its queue, and keeps one request's trouble from the others."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from core_model.engine import Engine
from core_model.generation import (
    EngineBusy,
    EngineStopped,
    GenerationFailed,
    RequestOptions,
    SamplingParams,
    TokenChunk,
)
from core_model.kv_cache import PagedCache
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
        ([1], SamplingParams(json_schema="bad"), "json_schema: not JSON"),
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

    with pytest.raises(ValueError, match=r"adapter: not loaded \(got 'rude'; loaded: polite\)"):
        engine.stream([1], SamplingParams(), options=RequestOptions(adapter="rude"))
    assert text_of(engine.stream([1], SamplingParams(), options=RequestOptions(adapter="polite"))) == ("", "stop")


# --- over a real, tiny decoder ---


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
