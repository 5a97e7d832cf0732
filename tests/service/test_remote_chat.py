"""A remote server's chats: against our own server, and against one that fails as it is told to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from core_model.chat_model import EngineChatModel
from core_model.generation import EngineBusy, EngineStopped, GenerationFailed
from core_model.openai_engine import OpenAIEngine
from core_model.replicas import Replicas
from service.kit import Kit
from service.remote_chat import RemoteChatModel
from service.settings import Settings
from service.wiring import build
from tests.core_model.fake_completions import Reply, serving
from tests.core_model.tiny import make_engine, make_tokenizer
from tests.fake_kit import make_kit
from tests.service.conftest import PARCELS


def replica(handler: Callable[[httpx.Request], httpx.Response]) -> Replicas:
    return Replicas(["http://model/v1"], api_key="hunter2", max_retries=0, transport=httpx.MockTransport(handler))


def remote(handler: Callable[[httpx.Request], httpx.Response]) -> RemoteChatModel:
    return RemoteChatModel.over(replica(handler), "m", timeout_s=5)


def test_it_says_what_our_own_server_says(tmp_path: Path, serve: Callable[[Kit], str]) -> None:
    with make_engine() as engine:
        local = EngineChatModel(engine=engine, tokenizer=make_tokenizer())
        kit = make_kit(tmp_path, {"parcels": PARCELS}, chat_model=local)
        key = kit.keys.issue(tenant="acme", label="test")
        urls = [f"{serve(kit)}/v1", f"{serve(kit)}/v1"]
        there = RemoteChatModel.over(Replicas(urls, api_key=key), "trivium-core", timeout_s=60)
        options: dict[str, Any] = {"max_tokens": 8, "temperature": 1.0, "seed": 1, "extra_body": {"min_p": 0.01}}

        expected = local.invoke("Hi", **options)

        assert there.invoke("Hi", **options).content == expected.content
        streamed = list(there.stream("Hi", **options))
        assert "".join(str(chunk.content) for chunk in streamed) == expected.content
        usage = [chunk.usage_metadata for chunk in streamed if chunk.usage_metadata][-1]
        assert usage["output_tokens"] == 8
        assert asyncio.run(there.ainvoke("Hi", **options)).content == expected.content


def test_a_busy_server_is_a_503_that_does_not_tell_it_who_asked_and_shows_in_the_metrics(
    tmp_path: Path, serve: Callable[[Kit], str]
) -> None:
    sent: list[bytes] = []

    def refuse(request: httpx.Request) -> httpx.Response:
        sent.append(request.content)
        return httpx.Response(503)

    replicas = replica(refuse)
    chat_model = RemoteChatModel.over(replicas, "m", timeout_s=5)
    kit = make_kit(tmp_path, {"parcels": PARCELS}, chat_model=chat_model, engine=OpenAIEngine(replicas, "m"))
    headers = {"Authorization": f"Bearer {kit.keys.issue(tenant='acme-bank', label='chat')}"}
    body = {"model": "trivium-core", "messages": [{"role": "user", "content": "Hi"}]}

    url = serve(kit)
    answer = httpx.post(f"{url}/v1/chat/completions", json=body, headers=headers, trust_env=False)

    assert answer.status_code == 503
    assert b"Hi" in sent[0]
    assert b"acme-bank" not in sent[0]
    metrics = httpx.get(f"{url}/metrics", trust_env=False).text
    assert 'trivium_replica_requests_total{outcome="busy",replica="model"} 1.0' in metrics


def test_a_server_that_dies_in_mid_answer_is_a_failure_and_the_next_question_goes_elsewhere() -> None:
    def chunk(text: str, reason: str | None = None) -> str:
        choice = {"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": reason}
        return f"data: {json.dumps({'id': 'c', 'object': 'chat.completion.chunk', 'choices': [choice]})}\n\n"

    dying, well = Reply(lines=[chunk("Hel")], hang_up=True), Reply(lines=[chunk("Hello"), chunk("", "stop")])
    with serving(dying) as one, serving(dying) as other:
        replicas = Replicas([one.url, other.url])
        model = RemoteChatModel.over(replicas, "m", timeout_s=5)
        pieces = model.stream("Hi")
        first = next(pieces)
        (one if other.asked else other).replies = [well]
        with pytest.raises(GenerationFailed, match="broke off"):
            list(pieces)

        assert first.content == "Hel"
        assert "".join(str(piece.content) for piece in model.stream("Hi")) == "Hello"
        replicas.close()


@pytest.mark.parametrize(
    ("status", "error", "message"),
    [
        (400, ValueError, r"params: the model server refuses the request \(400, top_p\)"),
        (401, EngineStopped, r"refuses key, model or address \(401\)"),
        (404, EngineStopped, r"refuses key, model or address \(404\)"),
        (429, EngineBusy, r"busy \(429\)"),
        (500, GenerationFailed, r"failed \(500\)"),
        (503, EngineBusy, r"busy \(503\)"),
    ],
)
@pytest.mark.parametrize("way", ["invoke", "stream"])
def test_a_refusal_is_one_of_our_engines(status: int, error: type[Exception], message: str, way: str) -> None:
    body = {"error": {"message": "Jane Doe, key hunter2", "param": "top_p"}}
    model = remote(lambda request: httpx.Response(status, json=body))

    with pytest.raises(error, match=message) as failure:
        list(getattr(model, way)("Hi"))

    assert "Jane" not in str(failure.value)
    assert "hunter2" not in str(failure.value) + repr(model)


def test_no_connection_is_a_stopped_engine() -> None:
    def nowhere(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("nowhere", request=request)

    with pytest.raises(EngineStopped, match="no connection"):
        remote(nowhere).invoke("Hi")


def test_settings_choose_the_remote_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(
        home=tmp_path, demo=False, engine="openai", openai_base_url="http://a/v1, http://b/v1", openai_model="big-moe"
    )

    kit = build(settings, on_progress=lambda what, done: None)

    assert kit.resources.model_version == kit.resources.engine.model_version == "big-moe"
    assert isinstance(kit.resources.chat_model, RemoteChatModel)
    assert [stats.name for stats in kit.resources.engine.replicas.stats()] == ["a", "b"]  # type: ignore[attr-defined]
    kit.close()
