"""Several servers as one, over real sockets: who is asked, who is asked next, and who is left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest

from core_model.generation import EngineBusy, EngineStopped, GenerationFailed, SamplingParams
from core_model.openai_engine import OpenAIEngine
from core_model.replicas import Replicas
from tests.core_model.fake_completions import FakeServer, Reply, said, serving

HELLO = Reply(lines=said("Hel", "lo!"))
PARAMS = SamplingParams(max_tokens=5)


@contextmanager
def two(first: Reply, second: Reply = HELLO, **options: Any) -> Iterator[tuple[OpenAIEngine, FakeServer, FakeServer]]:
    """An engine over two servers; prompt [1] goes to the one that answers `first`."""
    with serving(HELLO) as one, serving(HELLO) as other:
        replicas = Replicas([one.url, other.url], **{"sleep": lambda _: None, "clock": lambda: 0.0, **options})
        engine = OpenAIEngine(replicas, "big-moe")
        text_of(engine)
        mine, its = (one, other) if one.asked else (other, one)
        mine.replies, its.replies = [first], [second]
        mine.asked.clear()
        yield engine, mine, its
        engine.close()


def text_of(engine: OpenAIEngine, prompt: Sequence[int] = (1,)) -> str:
    return "".join(chunk.text for chunk in engine.stream(prompt, PARAMS))


def up(engine: OpenAIEngine, server: FakeServer) -> bool:
    return {stats.name: stats.is_up for stats in engine.replicas.stats()}[httpx.URL(server.url).netloc.decode()]


def test_the_same_beginning_goes_to_the_same_server_and_others_elsewhere() -> None:
    with two(HELLO) as (engine, mine, its):
        for _ in range(3):
            text_of(engine)
        for number in range(20):
            text_of(engine, [number])

    assert len(mine.asked) >= 3
    assert len(its.asked) >= 3
    assert all(asked["prompt"] != [1] for asked in its.asked)


def test_a_server_that_breaks_in_the_middle_is_an_error_once_and_then_left_out() -> None:
    with two(Reply(lines=said("Hel", "lo")[:1], hang_up=True)) as (engine, mine, its):
        chunks = engine.stream([1], PARAMS)
        first = next(chunks)
        with pytest.raises(GenerationFailed, match="broke off"):
            next(chunks)

        assert (first.text, len(mine.asked), its.asked) == ("Hel", 1, [])
        assert (text_of(engine), len(mine.asked), len(its.asked)) == ("Hello!", 1, 1)
        assert (up(engine, mine), up(engine, its)) == (False, True)


def test_a_server_that_breaks_before_it_says_a_word_is_made_good_by_another() -> None:
    with two(Reply(hang_up=True)) as (engine, mine, its):
        assert text_of(engine) == "Hello!"
        assert (len(mine.asked), len(its.asked), up(engine, mine)) == (1, 1, False)


def test_a_whole_answer_that_breaks_off_is_asked_for_again_elsewhere() -> None:
    body = Reply(lines=['{"choices":', " []}"], headers={"Content-Type": "application/json"})
    broken = Reply(lines=body.lines[:1], headers=body.headers, hang_up=True)
    with two(broken, body) as (engine, mine, its), engine.replicas.client(5) as client:
        answer = client.post("completions", json={"model": "big-moe", "prompt": [1]})

        assert answer.json() == {"choices": []}
        assert (len(mine.asked), len(its.asked)) == (1, 1)


def test_a_server_that_is_gone_comes_back_once_a_check_finds_it() -> None:
    with ExitStack() as stack:
        there = stack.enter_context(serving(HELLO))
        with serving(HELLO) as gone:
            pass
        engine = OpenAIEngine(Replicas([there.url, gone.url]), "big-moe")
        stack.callback(engine.close)

        assert {text_of(engine, [number]) for number in range(8)} == {"Hello!"}
        assert (up(engine, there), up(engine, gone)) == (True, False)
        engine.replicas.check()
        assert not up(engine, gone)

    with two(Reply(hang_up=True)) as (engine, mine, _):
        text_of(engine)
        mine.replies = [HELLO]
        engine.replicas.check()
        text_of(engine)

        assert (up(engine, mine), len(mine.asked)) == (True, 2)


def test_a_busy_server_is_spared_for_as_long_as_it_asks() -> None:
    waits: list[float] = []
    busy = Reply(503, headers={"Retry-After": "9"})
    with two(busy, sleep=waits.append) as (engine, mine, its):
        assert [text_of(engine) for _ in range(3)] == ["Hello!"] * 3

        assert (len(mine.asked), len(its.asked), waits, up(engine, mine)) == (1, 3, [], True)


def test_when_all_are_busy_the_first_to_be_free_is_waited_for() -> None:
    waits: list[float] = []
    with two(Reply(429, headers={"Retry-After": "9"}), Reply(503), sleep=waits.append) as (engine, mine, its):
        its.replies = [Reply(503), HELLO]

        assert text_of(engine) == "Hello!"
        assert (len(mine.asked), len(its.asked)) == (1, 2)
        assert waits == [0.5]


def test_servers_that_stay_busy_are_a_busy_engine() -> None:
    with two(Reply(503), Reply(429)) as (engine, mine, its):
        with pytest.raises(EngineBusy, match="busy"):
            engine.stream([1], PARAMS)

        assert len(mine.asked) + len(its.asked) == 5  # each, and three retries
        assert sum(stats.busy_total for stats in engine.replicas.stats()) == 5


def test_a_draining_server_ends_what_it_runs_and_gets_nothing_new() -> None:
    with two(HELLO) as (engine, mine, its):
        chunks = engine.stream([1], PARAMS)
        mine.health = 503
        engine.replicas.check()

        assert not up(engine, mine)
        assert text_of(engine) == "Hello!"
        assert (len(mine.asked), len(its.asked)) == (1, 1)
        assert "".join(chunk.text for chunk in chunks) == "Hello!"
        mine.health = 200
        engine.replicas.check()
        assert up(engine, mine)


def test_a_server_without_a_health_page_is_asked_for_its_models() -> None:
    with two(HELLO) as (engine, mine, _):
        mine.health = 404
        engine.replicas.check()

        assert mine.looked_at == ["/health", "/healthz", "/v1/models"]
        assert up(engine, mine)


def test_a_slow_server_gets_no_more_than_its_share() -> None:
    slow = Reply(lines=said("Hel", "lo")[:1], stall=True)
    with two(slow) as (engine, mine, its), ExitStack() as stack:
        for _ in range(12):
            chunks = engine.stream([1], PARAMS)
            stack.callback(chunks.close)  # type: ignore[attr-defined]
            if mine.asked[3:]:
                its.replies = [slow]

        assert len(mine.asked) + len(its.asked) == 12
        assert len(mine.asked) <= 8
        assert sum(stats.running for stats in engine.replicas.stats()) == 12
    assert sum(stats.running for stats in engine.replicas.stats()) == 0


def test_one_that_keeps_silent_is_not_asked_a_second_time_elsewhere() -> None:
    asked: list[str] = []

    def silent(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        raise httpx.ReadTimeout("silence", request=request)

    replicas = Replicas(["http://a/v1", "http://b/v1"], transport=httpx.MockTransport(silent))
    with pytest.raises(GenerationFailed, match="did not answer"):
        OpenAIEngine(replicas, "m").stream([1], PARAMS)

    assert len(asked) == 1
    assert all(stats.is_up for stats in replicas.stats())


def test_two_checks_without_an_answer_leave_a_server_out() -> None:
    def silent(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("silence", request=request)

    replicas = Replicas(["http://a/v1"], transport=httpx.MockTransport(silent))
    replicas.check()
    before = replicas.stats()[0].is_up
    replicas.check()

    assert (before, replicas.stats()[0].is_up) == (True, False)


def test_when_all_are_gone_all_are_tried_and_the_engine_is_stopped() -> None:
    with serving(HELLO) as one, serving(HELLO) as other:
        urls = [one.url, other.url]
    engine = OpenAIEngine(Replicas(urls), "m")

    for _ in range(2):
        with pytest.raises(EngineStopped, match="no connection"):
            engine.stream([1], PARAMS)
    assert [stats.failed_total for stats in engine.replicas.stats()] == [2, 2]


@pytest.mark.parametrize("urls", [[], ["http://a/v1", "http://a/v1/"], ["a:80/v1"], ["http://a:port/v1"]])
def test_addresses_that_cannot_be_are_refused(urls: list[str]) -> None:
    with pytest.raises(ValueError, match="urls: must be"):
        Replicas(urls)
