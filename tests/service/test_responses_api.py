"""The unmodified `openai` client and LangChain ask `/v1/responses`: whole, streaming, chained, resumed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from langchain_core.messages import HumanMessage

from service.api import create_app
from service.kit import Kit
from tests.conftest import served, wait_for
from tests.fake_kit import make_kit
from tests.service.fake_support import FakeSupport
from tests.service.openai_clients import ask, connect, fits_openais_types, langchain_model


@pytest.fixture(scope="module")
def support() -> FakeSupport:
    return FakeSupport()


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory, support: FakeSupport) -> Kit:
    home = tmp_path_factory.mktemp("responses")
    return make_kit(home, {"support": support.vertical()}, settings={"stream_idle_s": 0.2})


@pytest.fixture(scope="module")
def url(kit: Kit) -> Iterator[str]:
    with served(create_app(kit)) as running:
        yield running


@pytest.fixture
def client(url: str, kit: Kit) -> openai.OpenAI:
    return connect(url, kit)


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
