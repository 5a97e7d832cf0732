"""The remote engine over a real socket: what it sends, what it makes of good, slow, busy and broken servers."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from core_model.generation import (
    EngineBusy,
    EngineStopped,
    GenerationFailed,
    Grammar,
    SamplingParams,
    TokenChunk,
)
from core_model.openai_engine import OpenAIEngine
from core_model.replicas import Replicas
from tests.core_model.fake_completions import FakeServer, Reply, said, serving

HELLO = Reply(lines=said("Hel", "lo!"))


def engine_of(server: FakeServer, **options: Any) -> OpenAIEngine:
    return OpenAIEngine(Replicas([server.url], **{"sleep": lambda _: None, "clock": lambda: 0.0, **options}), "big-moe")


def test_an_answer_comes_in_pieces_and_ends_with_its_reason() -> None:
    with serving(HELLO) as server:
        chunks = list(engine_of(server).stream([1, 2], SamplingParams(max_tokens=5)))

    assert chunks == [TokenChunk((), "Hel"), TokenChunk((), "lo!", "stop")]
    assert server.asked == [{"model": "big-moe", "prompt": [1, 2], "stream": True, "max_tokens": 5, "temperature": 0.0}]


def test_every_value_that_is_set_is_sent() -> None:
    params = SamplingParams(
        max_tokens=7,
        temperature=0.5,
        top_k=4,
        top_p=0.9,
        min_p=0.1,
        repetition_penalty=1.1,
        presence_penalty=0.2,
        frequency_penalty=0.3,
        logit_bias=((7, -1.0),),
        seed=3,
        stop=("x",),
        stop_token_ids=(9,),
        grammar=Grammar.json_schema({"type": "integer"}),
    )
    with serving(HELLO) as server:
        list(engine_of(server).stream([1], params))

    assert server.asked[0] == {
        **{"model": "big-moe", "prompt": [1], "stream": True, "max_tokens": 7, "temperature": 0.5, "top_k": 4},
        **{"top_p": 0.9, "min_p": 0.1, "repetition_penalty": 1.1, "presence_penalty": 0.2, "frequency_penalty": 0.3},
        **{"logit_bias": {"7": -1.0}, "seed": 3, "stop": ["x"], "stop_token_ids": [9]},
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "strict": True, "schema": {"type": "integer"}},
        },
    }


def test_the_key_is_sent_and_never_shown() -> None:
    with serving(Reply(401, ['{"error": {"message": "bad key hunter2"}}'])) as server:
        engine = engine_of(server, api_key="hunter2")
        with pytest.raises(EngineStopped, match=r"refuses the key \(401\)") as failure:
            engine.stream([1], SamplingParams())

    assert server.keys == ["Bearer hunter2"]
    assert "hunter2" not in f"{failure.value!r} {vars(engine)!r} {engine._client.headers!r}"


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_asked_again_with_growing_waits(status: int) -> None:
    waits: list[float] = []
    busy = Reply(status)
    with serving(busy, busy, Reply(status, headers={"Retry-After": "7"}), HELLO) as server:
        chunks = list(engine_of(server, sleep=waits.append).stream([1], SamplingParams()))

    assert "".join(chunk.text for chunk in chunks) == "Hello!"
    assert waits == [0.5, 1.0, 7.0]


def test_a_server_that_stays_busy_is_busy() -> None:
    waits: list[float] = []
    with serving(Reply(429, headers={"Retry-After": "3600"})) as server:
        engine = engine_of(server, max_retries=2, sleep=waits.append)
        with pytest.raises(EngineBusy, match=r"busy \(429\). Try again later"):
            engine.stream([1], SamplingParams())

    assert len(server.asked) == 3
    assert waits == [10.0, 10.0]


@pytest.mark.parametrize(
    ("reply", "error", "message"),
    [
        (Reply(400, ['{"error": {"param": "top_k", "message": "Jane"}}']), ValueError, r"refuses .*\(400, top_k\)"),
        (Reply(422, ["not JSON"]), ValueError, r"refuses the request \(422\)"),
        (Reply(404), EngineStopped, "knows no such model"),
        (Reply(500, ["Jane Doe"]), GenerationFailed, r"the model server failed \(500\)"),
    ],
)
def test_a_refusal_comes_from_stream_at_once_and_is_not_repeated(
    reply: Reply, error: type[Exception], message: str
) -> None:
    with serving(reply) as server, pytest.raises(error, match=message) as failure:
        engine_of(server).stream([1], SamplingParams())

    assert len(server.asked) == 1
    assert "Jane" not in str(failure.value)


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (Reply(lines=said("Hel", "lo")[:1], hang_up=True), "the answer broke off"),
        (Reply(lines=said("Hel", "lo")[:1]), "ended without a finish reason"),
        (Reply(lines=[*said("Hel", "lo")[:1], "data: [DONE]\n\n"]), "ended without a finish reason"),
        (Reply(lines=[*said("Hel", "lo")[:1], "data: {oops\n\n"]), "sent what is no completion"),
        (Reply(lines=[*said("Hel", "lo")[:1], 'data: {"choices": [{}]}\n\n']), "sent what is no completion"),
        (Reply(lines=[*said("Hel", "lo")[:1], 'data: {"error": {"message": "x"}}\n\n']), "failed in the middle"),
    ],
)
def test_a_broken_stream_is_an_error_after_what_came_and_is_not_repeated(reply: Reply, message: str) -> None:
    with serving(reply) as server:
        chunks = engine_of(server).stream([1], SamplingParams())
        first = next(chunks)
        with pytest.raises(GenerationFailed, match=message):
            next(chunks)

    assert first == TokenChunk((), "Hel")
    assert list(chunks) == []
    assert len(server.asked) == 1


def test_a_silent_server_times_out() -> None:
    def silent(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("silence", request=request)

    engine = OpenAIEngine(Replicas(["http://model/v1"], transport=httpx.MockTransport(silent)), "m")

    with pytest.raises(GenerationFailed, match=r"did not answer \(ReadTimeout\)"):
        engine.stream([1], SamplingParams())


def test_an_absent_server_is_a_stopped_engine() -> None:
    with serving(HELLO) as server:
        gone = server.url

    with pytest.raises(EngineStopped, match="no connection to the model server"):
        OpenAIEngine(Replicas([gone]), "m").stream([1], SamplingParams())


def test_leaving_a_stream_hangs_up() -> None:
    with serving(Reply(lines=said("Hel", "lo")[:1], stall=True)) as server:
        chunks = engine_of(server).stream([1], SamplingParams())
        next(chunks)
        chunks.close()  # type: ignore[attr-defined]

        assert server.hung_up.wait(10)
    assert list(chunks) == []


def test_token_ids_are_handed_on_where_the_server_tells_them() -> None:
    event = {"choices": [{"text": "Hi", "token_ids": [4, 5], "finish_reason": "length"}]}
    with serving(Reply(lines=[f"data: {json.dumps(event)}\n\n"])) as server:
        assert list(engine_of(server).stream([1], SamplingParams())) == [TokenChunk((4, 5), "Hi", "length")]


def test_a_closed_engine_is_stopped() -> None:
    with serving(HELLO) as server:
        engine = engine_of(server)
        engine.close()
        with pytest.raises(EngineStopped, match="engine: closed"):
            engine.stream([1], SamplingParams())


@pytest.mark.parametrize(
    ("prompt", "params", "message"),
    [
        ([], SamplingParams(), "prompt_ids: must not be empty"),
        ([1], SamplingParams(top_k=-1), "top_k: must be 0"),
        ([1], SamplingParams(logprobs=2), "logprobs: servers tell no token ids"),
        ([1], SamplingParams(grammar=Grammar("regex", "a")), "grammar: servers agree on json_schema only"),
    ],
)
def test_what_cannot_be_sent_is_refused_before_it_is(prompt: list[int], params: SamplingParams, message: str) -> None:
    with serving(HELLO) as server, pytest.raises(ValueError, match=message):
        engine_of(server).stream(prompt, params)

    assert server.asked == []
