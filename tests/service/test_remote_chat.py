"""A remote server's chats: against our own server, and against one that fails as it is told to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from core_model.chat_model import EngineChatModel
from core_model.generation import EngineBusy, EngineStopped, GenerationFailed
from service.kit import Kit
from service.remote_chat import RemoteChatModel
from service.settings import Settings
from service.wiring import build
from tests.core_model.tiny import make_engine, make_tokenizer
from tests.fake_kit import make_kit
from tests.service.conftest import PARCELS


def remote(handler: Callable[[httpx.Request], httpx.Response]) -> RemoteChatModel:
    client = httpx.Client(transport=httpx.MockTransport(handler))
    return RemoteChatModel(base_url="http://model/v1", model="m", api_key="hunter2", http_client=client, max_retries=0)


def test_it_says_what_our_own_server_says(tmp_path: Path, serve: Callable[[Kit], str]) -> None:
    with make_engine() as engine:
        local = EngineChatModel(engine=engine, tokenizer=make_tokenizer())
        kit = make_kit(tmp_path, {"parcels": PARCELS}, chat_model=local)
        key = kit.keys.issue(tenant="acme", label="test")
        there = RemoteChatModel(
            base_url=f"{serve(kit)}/v1",
            model="trivium-core",
            api_key=key,
            stream_usage=True,
            http_client=httpx.Client(trust_env=False),
        )
        options: dict[str, Any] = {"max_tokens": 8, "temperature": 1.0, "seed": 1, "extra_body": {"min_p": 0.01}}

        expected = local.invoke("Hi", **options)

        assert there.invoke("Hi", **options).content == expected.content
        streamed = list(there.stream("Hi", **options))
        assert "".join(str(chunk.content) for chunk in streamed) == expected.content
        usage = [chunk.usage_metadata for chunk in streamed if chunk.usage_metadata][-1]
        assert usage["output_tokens"] == 8


def test_it_is_not_told_whose_request_it_is(tmp_path: Path, serve: Callable[[Kit], str]) -> None:
    sent: list[bytes] = []

    def refuse(request: httpx.Request) -> httpx.Response:
        sent.append(request.content)
        return httpx.Response(503)

    kit = make_kit(tmp_path, {"parcels": PARCELS}, chat_model=remote(refuse))
    headers = {"Authorization": f"Bearer {kit.keys.issue(tenant='acme-bank', label='chat')}"}
    body = {"model": "trivium-core", "messages": [{"role": "user", "content": "Hi"}]}

    answer = httpx.post(f"{serve(kit)}/v1/chat/completions", json=body, headers=headers, trust_env=False)

    assert answer.status_code == 503
    assert b"Hi" in sent[0]
    assert b"acme-bank" not in sent[0]


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
        home=tmp_path, demo=False, engine="openai", openai_base_url="http://model/v1", openai_model="big-moe"
    )

    kit = build(settings, on_progress=lambda what, done: None)

    assert kit.resources.model_version == kit.resources.engine.model_version == "big-moe"
    assert isinstance(kit.resources.chat_model, RemoteChatModel)
    kit.close()
