"""Whatever 200 requests do, no page is lost and each finished answer is what it would have been alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core_model.engine import Engine
from core_model.generation import GenerationFailed, RequestOptions, SampledToken, SamplingParams, TokenChunk
from core_model.kv_cache import PagedCache
from core_model.model import Decoder
from core_model.runner import ModelRunner
from core_model.runs_model import Runner
from core_model.scheduler import Work
from tests.core_model.tiny import make_decoder, make_tokenizer

NUM_REQUESTS, MAX_CONTEXT, PAGE_SIZE = 200, 64, 4
POISON = 299  # a token whose request fails in the model
TOKENIZER = make_tokenizer()


@dataclass(frozen=True)
class Plan:
    """One request, and how its reader behaves."""

    prompt: tuple[int, ...]
    max_tokens: int
    options: RequestOptions
    leave_after: int | None  # chunks read before the reader leaves; None stays

    @property
    def fails(self) -> bool:
        return POISON in self.prompt


class Poisonable(ModelRunner):
    """Fails the whole step when a poisoned token is in it, as a device would."""

    def step(self, batch: Sequence[Work]) -> list[list[SampledToken] | Exception]:
        if any(POISON in work.request.token_ids[: work.request.num_prompt] for work in batch):
            raise RuntimeError("poisoned")
        return super().step(batch)


BEGINNINGS = [tuple(range(10 * i, 10 * i + 19)) for i in range(3)]  # shared, to the middle of a page


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    beginning = draw(st.sampled_from([(), *BEGINNINGS]))
    cut = draw(st.integers(0, len(beginning)))
    rest = draw(st.lists(st.integers(0, 5), min_size=1, max_size=8))
    poison = (POISON,) * draw(st.sampled_from([0] * 19 + [1]))
    options = RequestOptions(
        tenant=draw(st.sampled_from(["a", "b", "c"])),
        priority=draw(st.integers(-1, 1)),
        cache_salt=draw(st.sampled_from(["", "", "own"])),
    )
    leave_after = draw(st.sampled_from([None, None, None, 0, 1, 3]))
    return Plan((*beginning[:cut], *rest, *poison), draw(st.integers(1, 12)), options, leave_after)


def read(stream: Iterator[TokenChunk], plan: Plan) -> list[int] | None:
    """The whole answer; None for a reader that left or was told of a failure."""
    tokens: list[int] = []
    try:
        for i, chunk in enumerate(stream):
            tokens += chunk.token_ids
            if i == plan.leave_after:
                stream.close()  # type: ignore[attr-defined]
                return None
    except GenerationFailed:
        assert plan.fails
        return None
    assert not plan.fails
    return tokens


def make_engine(runner: Runner, *, max_batch: int) -> Engine:
    return Engine(
        runner,
        TOKENIZER,
        model_version="v1",
        eos_ids=TOKENIZER.eos_ids,
        max_context=MAX_CONTEXT,
        max_batch=max_batch,
        max_waiting=NUM_REQUESTS,
        max_unread=2,
        step_tokens=16,
    )


def make_runner(decoder: Decoder, *, num_pages: int, host_pages: int = 0) -> Poisonable:
    rows, width = decoder.config.cache_entry
    page_bytes = decoder.config.num_hidden_layers * PAGE_SIZE * rows * width * 4
    cache = PagedCache(
        decoder.config,
        num_pages=num_pages,
        page_size=PAGE_SIZE,
        dtype=decoder.dtype,
        device=decoder.device,
        host_bytes=host_pages * page_bytes,
    )
    return Poisonable(decoder, cache)


class Alone(dict[tuple[tuple[int, ...], int], list[int]]):
    """Answers of an engine that runs one request at a time, and of which nothing is kept for the next."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder

    def __missing__(self, key: tuple[tuple[int, ...], int]) -> list[int]:
        prompt, max_tokens = key
        with make_engine(make_runner(self._decoder, num_pages=16), max_batch=1) as engine:
            self[key] = [t for chunk in engine.stream(prompt, SamplingParams(max_tokens)) for t in chunk.token_ids]
        return self[key]


DECODER = make_decoder("fp32")
ALONE = Alone(DECODER)


@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data(), st.sampled_from([11, 24]), st.sampled_from([0, 9]))
def test_no_page_is_lost_and_every_answer_is_right(data: st.DataObject, num_pages: int, host_pages: int) -> None:
    requests = data.draw(st.lists(plans(), min_size=NUM_REQUESTS, max_size=NUM_REQUESTS))
    runner = make_runner(DECODER, num_pages=num_pages, host_pages=host_pages)
    with make_engine(runner, max_batch=6) as engine, ThreadPoolExecutor(8) as pool:
        streams = [engine.stream(r.prompt, SamplingParams(r.max_tokens), options=r.options) for r in requests]
        answers = list(pool.map(read, streams, requests))
        list(engine.stream([1], SamplingParams(max_tokens=1)))  # so that the last to leave has been seen to leave
    stats = engine.stats()

    for request, answer in zip(requests, answers, strict=True):
        if answer is not None:
            assert answer == ALONE[request.prompt, request.max_tokens]
    assert (stats.running, stats.waiting, stats.paused) == (0, 0, 0)
    assert stats.pages_free + stats.pages_cached == stats.pages_total == num_pages
    assert stats.requests_total == NUM_REQUESTS + 1
    assert stats.failed_total <= sum(request.fails for request in requests)
