"""The unmodified `openai` client talks to the server, whole and streaming."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import openai
import pytest

from core_model.chat_model import EngineChatModel
from service.api import create_app
from service.kit import Kit
from tests.conftest import served
from tests.core_model.tiny import make_engine, make_tokenizer
from tests.core_model.tiny_adapters import write_lora
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
    with pytest.raises(openai.UnprocessableEntityError, match="best_of"):
        ask(client, extra_body={"best_of": 2})


def test_a_bad_key_is_an_authentication_error(client: openai.OpenAI) -> None:
    with pytest.raises(openai.AuthenticationError, match="unknown, expired or revoked"):
        ask(client.with_options(api_key="tvm_a_b"))


# --- over a real engine: random weights, so that only what the API passes on makes an answer fit ---


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Iterator[openai.OpenAI]:
    with make_engine() as engine:
        chat_model = EngineChatModel(engine=engine, tokenizer=make_tokenizer())
        engine.load_adapter("polite", write_lora(tmp_path_factory.mktemp("adapters") / "polite", seed=1))
        kit = make_kit(tmp_path_factory.mktemp("core"), {"parcels": PARCELS}, chat_model=chat_model, engine=engine)
        key = kit.keys.issue(tenant="acme", label="test")
        with served(create_app(kit)) as url:
            yield openai.OpenAI(
                base_url=f"{url}/v1", api_key=key, http_client=httpx.Client(trust_env=False), max_retries=0
            )


WEATHER = {
    "type": "object",
    "properties": {"city": {"enum": ["Bern", "Rome"]}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "function": {"name": "weather", "description": "Weather", "parameters": WEATHER}}


def test_an_adapter_is_a_model_of_its_own(core: openai.OpenAI) -> None:
    plain, polite = ask(core, max_tokens=8), ask(core, model="trivium-core:polite", max_tokens=8)

    assert "trivium-core:polite" in [model.id for model in core.models.list()]
    assert polite.choices[0].message.content != plain.choices[0].message.content
    assert polite.usage.prompt_tokens == plain.usage.prompt_tokens
    with pytest.raises(openai.NotFoundError, match=r"must be one of .*trivium-core:polite"):
        ask(core, model="trivium-core:rude")


def test_a_schema_is_kept(core: openai.OpenAI) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "weather", "schema": WEATHER, "strict": True}}

    answer = ask(core, response_format=wanted)

    assert json.loads(answer.choices[0].message.content)["city"] in ("Bern", "Rome")
    assert answer.choices[0].finish_reason == "stop"


def test_a_demanded_tool_is_called_whole_and_streamed(core: openai.OpenAI) -> None:
    choice = {"type": "function", "function": {"name": "weather"}}
    whole = ask(core, tools=[TOOL], tool_choice=choice).choices[0]
    chunks = [chunk.choices[0] for chunk in ask(core, tools=[TOOL], tool_choice="required", stream=True)]

    (call,) = whole.message.tool_calls
    parts = [part for chunk in chunks for part in chunk.delta.tool_calls or []]
    assert (call.type, call.function.name, whole.finish_reason) == ("function", "weather", "tool_calls")
    assert json.loads(call.function.arguments)["city"] in ("Bern", "Rome")
    assert "".join(part.function.arguments for part in parts) == call.function.arguments
    assert [part.function.name for part in parts if part.function.name] == ["weather"]
    assert chunks[-1].finish_reason == "tool_calls"


def test_a_tools_answer_can_be_told(core: openai.OpenAI) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Bern"}'}}
    messages = [
        {"role": "user", "content": "Weather in Bern?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "sunny"},
    ]

    answer = core.chat.completions.create(model="trivium-core", messages=messages, max_tokens=3)  # type: ignore[arg-type]

    assert answer.usage.prompt_tokens > len('<tool_call>{"name":"weather","arguments":{"city":"Bern"}}sunny')  # type: ignore[union-attr]


@pytest.mark.parametrize("stream", [False, True])
def test_logprobs_come_for_every_token(core: openai.OpenAI, stream: bool) -> None:
    answer = ask(core, logprobs=True, top_logprobs=2, max_tokens=4, stream=stream)
    choices = [chunk.choices[0] for chunk in answer] if stream else answer.choices

    entries = [entry for choice in choices if choice.logprobs for entry in choice.logprobs.content]
    assert len(entries) == 4
    assert all(len(entry.top_logprobs) == 2 and entry.logprob <= 0 for entry in entries)
    assert entries[0].logprob == entries[0].top_logprobs[0].logprob  # greedy


def test_sampling_values_reach_the_engine(core: openai.OpenAI) -> None:
    def text(**options: object) -> str:
        return ask(core, max_tokens=12, **options).choices[0].message.content

    biased = text(logit_bias={"5": 100})
    one = make_tokenizer().decode([5])
    assert biased == one * 12
    assert text(logit_bias={"5": 100}, stop=[one * 3]) == ""
    assert text(logit_bias={"5": 20}, frequency_penalty=2, presence_penalty=2) != biased
    assert text(temperature=1, seed=3) == text(temperature=1, seed=3)
    assert text(temperature=1, seed=3, extra_body={"min_p": 1.0}) == text()
    assert text(temperature=1, seed=3, extra_body={"top_k": 1}) == text()


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"n": 2}, "n"),
        ({"presence_penalty": 3}, "presence_penalty"),
        ({"logit_bias": {"999": 1}}, "logit_bias"),
        ({"logit_bias": {"the": 1}}, "logit_bias"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"extra_body": {"min_p": 2}}, "min_p"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "no"}}}}, None),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "fly"}}}, "tool_choice"),
        ({"tools": [TOOL], "response_format": {"type": "json_object"}}, "response_format"),
        ({"stop": [""]}, "stop"),
    ],
)
def test_an_unsupported_value_is_refused_in_openais_form(
    core: openai.OpenAI, options: dict[str, object], param: str | None
) -> None:
    with pytest.raises(openai.UnprocessableEntityError) as refusal:
        ask(core, **options)

    assert refusal.value.param == (param or "response_format")
    assert refusal.value.type == "invalid_request_error"


def test_the_support_agent_refuses_what_it_does_not_honour(core: openai.OpenAI) -> None:
    with pytest.raises(openai.UnprocessableEntityError, match="not honoured by the support agent") as refusal:
        ask(core, model="trivium-support", logprobs=True)

    assert refusal.value.param == "logprobs"
