"""The unmodified `openai` client talks to the server, whole and streaming."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import openai
import pytest

from service.kit import Kit
from tests.fake_kit import make_kit
from tests.service.conftest import PARCELS


@pytest.fixture
def client(tmp_path: Path, serve: Callable[[Kit], str]) -> openai.OpenAI:
    kit = make_kit(tmp_path, {"parcels": PARCELS}, replies=["Hello from the core."] * 3)
    key = kit.keys.issue(tenant="acme", label="test")
    return openai.OpenAI(
        base_url=f"{serve(kit)}/v1", api_key=key, http_client=httpx.Client(trust_env=False), max_retries=0
    )


def ask(client: openai.OpenAI, **options: object) -> object:
    messages = [{"role": "user", "content": "hi"}]
    return client.chat.completions.create(**{"model": "trivium-core", "messages": messages, **options})  # type: ignore[call-overload]


def test_the_models_are_listed(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["trivium-support", "trivium-core"]


def test_a_whole_answer(client: openai.OpenAI) -> None:
    answer = ask(client)

    assert answer.choices[0].message.content == "Hello from the core."
    assert answer.choices[0].finish_reason == "stop"


def test_a_streamed_answer_has_the_same_text(client: openai.OpenAI) -> None:
    chunks = [*ask(client, stream=True, stream_options={"include_usage": True})]

    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "Hello from the core."
    assert chunks[-1].usage is not None


def test_an_unknown_model_is_not_found_in_openais_error_form(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="must be one of trivium-support, trivium-core"):
        ask(client, model="gpt-99")


def test_an_option_that_is_not_honoured_is_refused_by_name(client: openai.OpenAI) -> None:
    with pytest.raises(openai.UnprocessableEntityError, match="logprobs"):
        ask(client, logprobs=True)


def test_a_bad_key_is_an_authentication_error(client: openai.OpenAI) -> None:
    with pytest.raises(openai.AuthenticationError, match="unknown, expired or revoked"):
        ask(client.with_options(api_key="tvm_a_b"))
