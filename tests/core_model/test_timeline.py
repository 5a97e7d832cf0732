"""Whoever watches the engine is told of each request once, with its times and tokens, and in its asker's context."""

from __future__ import annotations

from collections.abc import Iterator
from contextvars import ContextVar, copy_context

import pytest

from core_model.engine import Engine
from core_model.generation import GenerationFailed, SamplingParams
from core_model.timeline import Timeline
from tests.core_model.fake_runner import POISON, FakeRunner
from tests.core_model.tiny import make_tokenizer, wait_until

TOKENIZER = make_tokenizer()
HELLO = TOKENIZER.encode("hello")
WHO: ContextVar[str] = ContextVar("who", default="nobody")


class Seen:
    """What an observer was told."""

    def __init__(self) -> None:
        self.timelines: list[Timeline] = []
        self.who: list[str] = []

    def __call__(self, timeline: Timeline) -> None:
        self.timelines.append(timeline)
        self.who.append(WHO.get())
        raise RuntimeError("an observer that fails")  # which must not matter


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def engine(seen: Seen) -> Iterator[Engine]:
    with Engine(
        FakeRunner(HELLO), TOKENIZER, model_version="m", eos_ids=frozenset(), max_context=100, observe=seen
    ) as engine:
        yield engine


def test_a_request_is_told_with_its_tokens_and_in_order_of_time(engine: Engine, seen: Seen) -> None:
    list(engine.stream([1, 2, 3], SamplingParams(max_tokens=4)))
    wait_until(lambda: bool(seen.timelines))

    (t,) = seen.timelines
    assert (t.num_prompt, t.num_cached, t.num_generated) == (3, 0, 4)
    assert 0 < t.queued_ns <= t.started_ns <= t.first_token_ns <= t.ended_ns


def test_the_observer_runs_in_the_context_of_who_asked(engine: Engine, seen: Seen) -> None:
    def ask(who: str) -> None:
        WHO.set(who)
        list(engine.stream([1], SamplingParams(max_tokens=1)))

    for who in ("ana", "bo"):
        copy_context().run(ask, who)
    wait_until(lambda: len(seen.who) == 2)

    assert seen.who == ["ana", "bo"]


def test_a_request_that_fails_is_told_too(engine: Engine, seen: Seen) -> None:
    with pytest.raises(GenerationFailed, match="generation failed"):
        list(engine.stream([POISON], SamplingParams()))
    wait_until(lambda: bool(seen.timelines))

    assert (seen.timelines[0].first_token_ns, seen.timelines[0].num_generated) == (0, 0)
    assert seen.timelines[0].ended_ns > 0
