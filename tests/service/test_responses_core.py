"""`/v1/responses` over a real engine: random weights, so that only what the API passes on makes an answer fit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal

import openai
import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from pydantic import BaseModel

from core_model.chat_model import EngineChatModel
from service.api import create_app
from tests.conftest import served
from tests.core_model.tiny import make_engine, make_tokenizer
from tests.fake_kit import make_kit
from tests.service.openai_clients import ask, connect, fits_openais_types, langchain_model

CITY = {
    "type": "object",
    "properties": {"city": {"enum": ["Bern", "Rome"]}},
    "required": ["city"],
    "additionalProperties": False,
}
WEATHER = {"type": "function", "name": "weather", "parameters": CITY, "strict": True}


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Iterator[openai.OpenAI]:
    with make_engine() as engine:
        chat_model = EngineChatModel(engine=engine, tokenizer=make_tokenizer())
        kit = make_kit(tmp_path_factory.mktemp("core"), {}, chat_model=chat_model, engine=engine)
        with served(create_app(kit)) as url:
            yield connect(url, kit)


def test_a_demanded_function_is_called_and_its_answer_told(core: openai.OpenAI) -> None:
    options: dict[str, Any] = {"model": "trivium-core", "tools": [WEATHER]}
    first = ask(core, "Weather in Bern?", tool_choice={"type": "function", "name": "weather"}, **options)
    events = [*ask(core, "Weather in Bern?", tool_choice="required", stream=True, **options)]

    (call,) = first.output
    streamed = events[-1].response.output[0]
    deltas = [event.delta for event in events if event.type == "response.function_call_arguments.delta"]
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    told = ask(core, [output], previous_response_id=first.id, max_output_tokens=16, **options)
    assert (call.type, call.name) == ("function_call", "weather")
    assert json.loads(call.arguments)["city"] in ("Bern", "Rome")
    assert fits_openais_types(events)
    assert "".join(deltas) == streamed.arguments == call.arguments
    assert told.usage.input_tokens > first.usage.input_tokens


@pytest.mark.parametrize("responses", [True, False])
def test_langchain_calls_a_tool(core: openai.OpenAI, responses: bool) -> None:
    tool = {"name": "weather", "description": "Weather", "parameters": CITY}
    model = langchain_model(core, "trivium-core", responses=responses).bind_tools([tool], tool_choice="weather")

    (call,) = model.invoke("Weather in Bern?").tool_calls

    assert (call["name"], call["args"]["city"] in ("Bern", "Rome")) == ("weather", True)


def test_langchain_tells_a_tools_answer(core: openai.OpenAI) -> None:
    tool = {"name": "weather", "description": "Weather", "parameters": CITY}
    model = langchain_model(core, "trivium-core", responses=True).bind_tools([tool])
    asked = HumanMessage("Weather in Bern?")
    call = model.invoke([asked], tool_choice={"type": "function", "name": "weather"})

    told = model.invoke([asked, call, ToolMessage("sunny", tool_call_id=call.tool_calls[0]["id"])])

    assert told.usage_metadata["input_tokens"] > call.usage_metadata["input_tokens"]


def test_openais_parser_gets_what_it_asked_for(core: openai.OpenAI) -> None:
    class Weather(BaseModel):
        city: Literal["Bern", "Rome"]

    answer = core.responses.parse(model="trivium-core", input="Weather in Bern?", text_format=Weather)

    assert answer.output_parsed is not None
    assert answer.output_parsed.city in ("Bern", "Rome")


def test_a_cut_response_is_incomplete(core: openai.OpenAI) -> None:
    events = [*ask(core, model="trivium-core", max_output_tokens=3, stream=True)]

    assert events[-1].type == "response.incomplete"
    assert events[-1].response.incomplete_details.reason == "max_output_tokens"


def test_a_schema_is_kept(core: openai.OpenAI) -> None:
    wanted = {"type": "json_schema", "name": "weather", "schema": CITY, "strict": True}

    answer = ask(core, model="trivium-core", text={"format": wanted})

    assert json.loads(answer.output_text)["city"] in ("Bern", "Rome")


def test_a_rule_of_the_engine_names_the_field_as_it_is_called_here(core: openai.OpenAI) -> None:
    with pytest.raises(openai.UnprocessableEntityError) as refusal:
        ask(core, "x " * 5_000, model="trivium-core")

    assert refusal.value.param == "input"
