"""The schema shows how to ask: every route of the agent API that takes a body has an example that it accepts."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from jsonschema import ValidationError, validate
from pydantic import BaseModel

from service.api import create_app
from service.openai_schemas import CompletionRequest, EmbeddingRequest
from service.responses_schemas import ResponseRequest
from service.webhooks.generic import GenericMessage
from service.webhooks.routes import RasaMessage
from tests.fake_kit import make_kit

BODIES = {
    "/v1/chat/completions": CompletionRequest,
    "/v1/responses": ResponseRequest,
    "/v1/embeddings": EmbeddingRequest,
    "/webhooks/rest/webhook": RasaMessage,
    "/webhooks/{channel}": GenericMessage,
}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    home: Path = tmp_path_factory.mktemp("openapi")
    return create_app(make_kit(home, {}))


@pytest.fixture(scope="module")
def schema(app: FastAPI) -> dict[str, Any]:
    return app.openapi()


@pytest.mark.parametrize(("path", "model"), BODIES.items())
def test_every_example_is_accepted(schema: dict[str, Any], path: str, model: type[BaseModel]) -> None:
    body = schema["paths"][path]["post"]["requestBody"]["content"]["application/json"]

    assert body["examples"]
    for example in body["examples"].values():
        model.model_validate(example["value"])


def test_the_schema_is_written_out_once_and_names_the_path_it_is_served_under(
    app: FastAPI, schema: dict[str, Any]
) -> None:
    http, behind_proxy = TestClient(app), TestClient(app, root_path="/trivium")
    first = http.get("/openapi.json")
    assert (first.headers["content-type"], first.json()) == ("application/json", schema)
    assert behind_proxy.get("/openapi.json").json() == schema | {"servers": [{"url": "/trivium"}]}

    schema["info"]["title"] = "what would be written now"

    assert http.get("/openapi.json").content == first.content


def test_every_operation_documents_its_refusals_and_what_it_answers_with(schema: dict[str, Any]) -> None:
    found = {
        (path, method): {code: set(answer.get("content", ())) for code, answer in operation["responses"].items()}
        for path, operations in schema["paths"].items()
        for method, operation in operations.items()
    }

    assert all({"4XX", "5XX"} <= set(answers) for answers in found.values())
    assert found["/v1/audit/verify", "get"]["4XX"] == {"application/problem+json"}
    assert found["/v1/embeddings", "post"]["4XX"] == {"application/json"}  # OpenAI's form
    assert found["/v1/chat/completions", "post"]["200"] == {"application/json", "text/event-stream"}
    assert {"text/csv", "application/fhir+ndjson"} <= found["/v1/audit/export", "get"]["200"]


def test_many_who_ask_for_the_schema_at_once_have_it_written_once(tmp_path: Path) -> None:
    app, num_written = create_app(make_kit(tmp_path, {})), 0

    def write() -> dict[str, Any]:
        nonlocal num_written
        num_written += 1
        time.sleep(0.05)
        return {"paths": {}}

    app.openapi = write  # type: ignore[method-assign]  (as FastAPI's manual says)

    async def ask() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as http:
            return await asyncio.gather(*(http.get("/openapi.json") for _ in range(4)))

    assert {answer.text for answer in asyncio.run(ask())} == {'{"paths":{}}'}
    assert num_written == 1


def test_a_pair_is_told_in_words_that_programs_which_read_schemas_have(schema: dict[str, Any]) -> None:
    answer = schema["paths"]["/v1/operations/trends"]["get"]["responses"]["200"]["content"]["application/json"]
    series = answer["schema"]["additionalProperties"]["items"]

    validate([["2026-11-30T12:00:00+00:00", 0.5]], {"type": "array", "items": series})
    with pytest.raises(ValidationError, match="too short"):
        validate([["2026-11-30T12:00:00+00:00"]], {"type": "array", "items": series})
    assert "prefixItems" not in json.dumps(schema)
