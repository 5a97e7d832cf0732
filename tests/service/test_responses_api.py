"""The unmodified `openai` client and LangChain ask `/v1/responses`: whole, streaming, chained, resumed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import httpx
import openai
import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI
from openai.types.responses import ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter

from core_model.chat_model import EngineChatModel
from service.api import create_app
from service.kit import Kit
from tests.conftest import served, wait_for
from tests.core_model.tiny import make_engine, make_tokenizer
from tests.fake_kit import make_kit
from tests.service.fake_support import FakeSupport


@pytest.fixture
def support() -> FakeSupport:
    return FakeSupport()


@pytest.fixture
def kit(tmp_path: Path, support: FakeSupport) -> Kit:
    return make_kit(tmp_path, {"support": support.vertical()}, settings={"stream_idle_s": 0.2})


def connect(
    url: str, kit: Kit, *, tenant: str = "acme", scopes: tuple[str, ...] = ("*",), customer: str | None = None
) -> openai.OpenAI:
    key = kit.keys.issue(tenant=tenant, label="test", scopes=scopes, customer=customer)
    return openai.OpenAI(base_url=f"{url}/v1", api_key=key, http_client=httpx.Client(trust_env=False), max_retries=0)


@pytest.fixture
def client(url: str, kit: Kit) -> openai.OpenAI:
    return connect(url, kit)


def ask(client: openai.OpenAI, said: Any = "hi", **options: Any) -> Any:
    return client.responses.create(**{"model": "trivium-support", "input": said, **options})


def test_a_whole_response(client: openai.OpenAI) -> None:
    answer = ask(client, metadata={"channel": "web"})

    assert answer.output_text == "You said: hi"
    assert (answer.status, answer.usage.input_tokens, answer.usage.total_tokens) == ("completed", 3, 8)
    assert answer.metadata == {"channel": "web"}
    assert answer.model_extra["trivium"]["answered"] is True


def test_a_streamed_response_tells_every_step_in_order(client: openai.OpenAI) -> None:
    events = [*ask(client, stream=True)]

    kinds = [event.type.removeprefix("response.") for event in events]
    deltas = [event for event in events if event.type == "response.output_text.delta"]
    assert [kind for kind in kinds if kind != "output_text.delta"] == [
        *("created", "in_progress", "output_item.added", "content_part.added"),
        *("output_text.done", "content_part.done", "output_item.done", "completed"),
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert fits_openais_types(events)
    assert "".join(event.delta for event in deltas) == "You said: hi" == events[-1].response.output_text


def fits_openais_types(events: list[Any]) -> bool:
    """Whether every event is valid by the schema that OpenAI's client was generated from."""
    schema: TypeAdapter[ResponseStreamEvent] = TypeAdapter(ResponseStreamEvent)
    return all(schema.validate_python(event.to_dict()).type == event.type for event in events)


def test_a_response_goes_on_from_a_stored_one(client: openai.OpenAI, support: FakeSupport) -> None:
    first = ask(client, "my name is Ada")

    ask(client, "what is it?", previous_response_id=first.id)

    said = [message.content for message in support.asked[-1].messages]
    assert said == ["my name is Ada", "You said: my name is Ada", "what is it?"]
    assert support.asked[-1].conversation_id == "conv-1"


def test_a_stored_response_can_be_read_and_deleted(client: openai.OpenAI) -> None:
    made = ask(client)

    assert client.responses.retrieve(made.id).output_text == "You said: hi"
    client.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError, match="no such response"):
        client.responses.retrieve(made.id)


def test_a_response_that_is_not_stored_is_gone(client: openai.OpenAI) -> None:
    made = ask(client, store=False)

    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made.id)


def test_someone_elses_response_does_not_exist(client: openai.OpenAI, url: str, kit: Kit) -> None:
    made = ask(client)
    other = connect(url, kit, tenant="evil")

    for attempt in (
        lambda: other.responses.retrieve(made.id),
        lambda: other.responses.delete(made.id),
        lambda: ask(other, previous_response_id=made.id),
    ):
        with pytest.raises(openai.NotFoundError, match="no such response"):
            attempt()


def test_a_customers_response_exists_for_that_customer_alone(client: openai.OpenAI, url: str, kit: Kit) -> None:
    ada, bob = (connect(url, kit, customer=customer) for customer in ("ada", "bob"))
    made = ask(ada)

    assert ada.responses.retrieve(made.id).id == made.id
    for other in (bob, client):
        with pytest.raises(openai.NotFoundError, match="no such response"):
            other.responses.retrieve(made.id)
    with pytest.raises(openai.PermissionDeniedError):
        ask(ada, model="trivium-core")


def test_a_key_reads_only_responses_of_models_that_it_covers(client: openai.OpenAI, url: str, kit: Kit) -> None:
    made = ask(client)

    with pytest.raises(openai.PermissionDeniedError):
        connect(url, kit, scopes=("core.generate",)).responses.retrieve(made.id)


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"reasoning": {"effort": "low"}}, "reasoning"),
        ({"extra_body": {"colour": "mauve"}}, "colour"),
        ({"temperature": 3}, "temperature"),
        ({"background": True}, "background"),
        ({"truncation": "auto"}, "truncation"),
        ({"tools": [{"type": "web_search"}]}, "tools.0.type"),
        ({"top_p": 0.5}, "top_p"),
        ({"input": []}, "input"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]}, None),
    ],
)
def test_what_is_not_honoured_is_refused_by_name(
    client: openai.OpenAI, options: dict[str, Any], param: str | None
) -> None:
    with pytest.raises(openai.UnprocessableEntityError) as refusal:
        ask(client, **options)

    assert refusal.value.param == param or (param is None and refusal.value.param.startswith("input.0"))


def test_a_body_over_the_limit_is_413(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIStatusError, match="512 KiB") as refusal:
        ask(client, "x" * 1_000_000)

    assert refusal.value.status_code == 413


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b'{"model": ', 422),
        (b'{"model": "trivium-support", "input": "\xff"}', 400),
        (b'{"model": "trivium-support", "input": "\\ud800"}', 422),
        (b"[]", 422),
    ],
)
def test_a_broken_body_is_refused_in_openais_form(client: openai.OpenAI, content: bytes, status: int) -> None:
    headers = {"Authorization": f"Bearer {client.api_key}", "Content-Type": "application/json"}

    refused = httpx.post(f"{client.base_url}responses", content=content, headers=headers, trust_env=False)

    assert refused.status_code == status
    assert refused.json()["error"]["type"] == "invalid_request_error"


def langchain_model(client: openai.OpenAI, model: str, *, responses: bool) -> ChatOpenAI:
    """LangChain's model over the same server."""
    return ChatOpenAI(
        base_url=str(client.base_url),
        api_key=client.api_key,  # type: ignore[arg-type]
        model=model,
        use_responses_api=responses,
        http_client=httpx.Client(trust_env=False),
        max_retries=0,
    )


@pytest.mark.parametrize("responses", [True, False])
def test_langchain_asks_and_streams(client: openai.OpenAI, responses: bool) -> None:
    model = langchain_model(client, "trivium-support", responses=responses)

    assert model.invoke("hello").text == "You said: hello"
    assert "".join(chunk.text for chunk in model.stream("hello")) == "You said: hello"


def test_langchains_whole_conversation_is_read(client: openai.OpenAI, support: FakeSupport) -> None:
    model = langchain_model(client, "trivium-support", responses=True)

    first = model.invoke("my name is Ada")
    model.invoke([HumanMessage("my name is Ada"), first, HumanMessage("what is it?")])

    said = [message.content for message in support.asked[-1].messages]
    assert said == ["my name is Ada", "You said: my name is Ada", "what is it?"]


def test_openais_streaming_helper_gathers_the_response(client: openai.OpenAI) -> None:
    with client.responses.stream(model="trivium-support", input="hi") as stream:
        assert stream.get_final_response().output_text == "You said: hi"


def test_an_answer_that_breaks_off_fails_without_telling_why(client: openai.OpenAI) -> None:
    events = [*ask(client, "break", stream=True)]

    assert events[-1].type == "response.failed"
    assert events[-1].response.error.code == "server_error"
    assert "Jane" not in events[-1].response.error.message
    assert fits_openais_types(events)
    assert client.responses.retrieve(events[0].response.id).status == "failed"
    with pytest.raises(openai.InternalServerError):
        ask(client, "break")


# --- connections that break ---


def test_generation_stops_when_the_listener_leaves(client: openai.OpenAI, support: FakeSupport) -> None:
    stream = ask(client, "endless", stream=True)
    next(stream)
    stream.close()

    assert support.stopped.wait(10)


@pytest.mark.parametrize("route", ["responses", "chat/completions"])
def test_generation_stops_when_who_waits_for_the_whole_leaves(
    client: openai.OpenAI, support: FakeSupport, route: str
) -> None:
    headers = {"Authorization": f"Bearer {client.api_key}"}
    message = {"role": "user", "content": "endless"}
    body = {"model": "trivium-support", "input" if route == "responses" else "messages": [message]}

    with pytest.raises(httpx.ReadTimeout, match="timed out"):
        httpx.post(f"{client.base_url}{route}", json=body, headers=headers, timeout=0.5, trust_env=False)

    assert support.stopped.wait(10)


def test_a_background_stream_is_taken_up_where_it_broke(client: openai.OpenAI, support: FakeSupport) -> None:
    support.gate.clear()
    stream = ask(client, "a b c d", stream=True, background=True)
    seen = [next(stream) for _ in range(5)]
    stream.close()
    support.gate.set()

    rest = [*client.responses.retrieve(seen[0].response.id, stream=True, starting_after=seen[-1].sequence_number)]

    assert [event.sequence_number for event in rest] == list(range(5, 5 + len(rest)))
    assert rest[-1].response.output_text == "You said: a b c d"
    assert client.responses.retrieve(seen[0].response.id).output_text == "You said: a b c d"


def test_a_background_stream_ends_when_nobody_comes_back(client: openai.OpenAI, support: FakeSupport) -> None:
    stream = ask(client, "endless", stream=True, background=True)
    made = next(stream).response.id
    stream.close()

    with pytest.raises(openai.ConflictError, match="is being made"):
        client.responses.retrieve(made)
    assert support.stopped.wait(10)
    assert wait_for(lambda: _status(client, made)) == "cancelled"


def test_a_stream_of_another_tenant_cannot_be_taken_up(client: openai.OpenAI, url: str, kit: Kit) -> None:
    made = next(ask(client, stream=True, background=True)).response.id

    with pytest.raises(openai.NotFoundError):
        connect(url, kit, tenant="evil").responses.retrieve(made, stream=True)


def _status(client: openai.OpenAI, response_id: str) -> str | None:
    try:
        return client.responses.retrieve(response_id).status
    except openai.ConflictError:
        return None


# --- over a real engine ---

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
