"""A traced request: its parts as spans of one trace, its caller's trace taken up, and no word of what was said."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextvars import copy_context
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry
from pydantic import BaseModel

from core_model.chat_model import EngineChatModel
from core_model.config import parse_config
from core_model.engine import Engine
from core_model.generation import SamplingParams
from core_model.kv_cache import PagedCache
from core_model.model import Decoder
from core_model.openai_engine import OpenAIEngine
from core_model.replicas import Replicas
from core_model.runner import ModelRunner
from core_model.weights import Weights
from service.api import create_app
from service.monitoring import Metrics
from service.scope import SCOPE, RequestScope, carry_trace, observe_generation, span, trace_headers
from service.tracing import TracedSearch, Tracing
from tests.core_model.tiny import LLAMA, make_tokenizer, random_llama
from tests.fake_kit import make_kit
from tests.service.conftest import PARCELS
from verticals.contract import Decision, Operation

SECRET = "Jane Doe owes 4711"
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Ask(BaseModel):
    text: str


class Said(BaseModel):
    text: str
    traceparent: str = ""


class Shelf:
    """A knowledge base with one book."""

    size = 1

    def search(self, query: str, *, tenant: str, k: int = 5) -> list[str]:
        return ["hit"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, InMemorySpanExporter, Tracing]]:
    exporter = InMemorySpanExporter()
    tracing, shelf = Tracing(exporter, version="test"), TracedSearch(Shelf())
    decoder = Decoder(parse_config(LLAMA), Weights(random_llama(), precision="fp32"))
    cache = PagedCache(decoder.config, num_pages=8, dtype=decoder.dtype, device=decoder.device)
    tokenizer = make_tokenizer()
    engine = Engine(
        ModelRunner(decoder, cache), tokenizer, model_version="m", eos_ids=frozenset(), max_context=128,
        observe=observe_generation,
    ).start()  # fmt: skip
    chat = EngineChatModel(engine=engine, tokenizer=tokenizer)

    def answer(request: Ask, context: Any) -> Said:
        shelf.search(request.text, tenant=context.tenant, k=3)
        if request.text == "fail":
            raise RuntimeError(SECRET)
        said = chat.invoke(request.text, max_tokens=3)
        context.record(Decision("parcels.ask", "a", "0" * 64, {}, "m"))
        return Said(text=str(said.text), traceparent=trace_headers().get("traceparent", ""))

    def stream(request: Ask, _context: Any) -> Iterator[Said]:
        for chunk in chat.stream(request.text, max_tokens=3):
            yield Said(text=str(chunk.text))

    asks = replace(
        PARCELS,
        operations=(
            Operation("ask", Ask, Said, "Ask", "/ask"),
            Operation("stream", Ask, Said, "Stream", "/stream", streaming=True),
        ),
        build=lambda _: {"ask": answer, "stream": stream},
    )
    kit = replace(make_kit(tmp_path_factory.mktemp("traced"), {"parcels": asks}), tracing=tracing)
    with TestClient(create_app(kit), raise_server_exceptions=False) as client:
        client.headers["Authorization"] = f"Bearer {kit.keys.issue(tenant='acme', label='x')}"
        yield client, exporter, tracing
    engine.close()
    tracing.close()


def spans(world: tuple[TestClient, InMemorySpanExporter, Tracing]) -> dict[str, ReadableSpan]:
    """The spans that ended since the last call, by name."""
    _, exporter, tracing = world
    tracing.flush()
    found = {one.name: one for one in exporter.get_finished_spans()}
    exporter.clear()
    return found


World = tuple[TestClient, InMemorySpanExporter, Tracing]


def test_a_request_is_traced_to_its_tokens_within_its_callers_trace(world: World) -> None:
    answer = world[0].post("/v1/parcels/ask", json={"text": SECRET}, headers={"traceparent": PARENT})

    found = spans(world)
    root = found["POST /v1/parcels/ask"]
    assert set(found) == {
        *("POST /v1/parcels/ask", "auth", "parcels.ask", "retrieval", "queue", "prefill", "decode", "audit")
    }
    assert {f"{one.context.trace_id:032x}" for one in found.values()} == {PARENT.split("-")[1]}
    assert f"{root.parent.span_id:016x}" == PARENT.split("-")[2]
    handler = found["parcels.ask"].context.span_id
    assert all(found[name].parent.span_id == handler for name in ("retrieval", "queue", "prefill", "decode", "audit"))
    assert answer.json()["traceparent"].startswith(PARENT[:36])  # handed on, from within


def test_spans_tell_counts_and_times_in_order(world: World) -> None:
    world[0].post("/v1/parcels/ask", json={"text": "hello"})

    found = spans(world)
    assert found["decode"].attributes == {"trivium.tokens.generated": 3}
    assert found["prefill"].attributes["trivium.tokens.prompt"] > 5
    assert found["retrieval"].attributes == {"trivium.k": 3, "trivium.hits": 1}
    ends = [found[name] for name in ("queue", "prefill", "decode")]
    assert [one.end_time for one in ends[:2]] == [one.start_time for one in ends[1:]]
    root = found["POST /v1/parcels/ask"].attributes
    assert (root["http.response.status_code"], root["trivium.vertical"]) == (200, "parcels")


def test_a_stream_is_traced_to_its_end(world: World) -> None:
    with world[0].stream("POST", "/v1/parcels/stream", json={"text": "hello"}) as answer:
        answer.read()

    found = spans(world)
    assert {"parcels.stream", "decode", "auth"} <= set(found)
    assert found["decode"].parent.span_id == found["parcels.stream"].context.span_id


def test_no_span_holds_a_word_of_what_was_said_also_where_it_fails(world: World) -> None:
    world[0].post("/v1/parcels/ask", json={"text": SECRET})
    world[0].post("/v1/parcels/ask", json={"text": "fail"})
    world[0].get(f"/v1/parcels/ask?name={SECRET}")
    _, exporter, tracing = world
    tracing.flush()

    told = json.dumps([json.loads(one.to_json()) for one in exporter.get_finished_spans()])
    assert "error.type" in told
    assert "Jane" not in told
    assert "acme" not in told
    exporter.clear()


def test_probes_are_not_traced(world: World) -> None:
    world[0].get("/healthz")
    world[0].get("/metrics")

    assert spans(world) == {}


def test_tokens_are_counted_for_the_vertical_that_asked(world: World) -> None:
    world[0].post("/v1/parcels/ask", json={"text": "hello"})

    assert 'trivium_tokens_total{kind="generated",vertical="parcels"}' in world[0].get("/metrics").text


def test_a_remote_engine_is_told_the_trace(world: World) -> None:
    seen: list[str] = []

    def refuse(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("traceparent", ""))
        return httpx.Response(400)

    replicas = Replicas(["http://model/v1"], transport=httpx.MockTransport(refuse), on_request=carry_trace)
    remote = OpenAIEngine(replicas, "m")

    def ask() -> None:
        SCOPE.set(RequestScope("parcels", Metrics(CollectorRegistry()), world[2]))
        with world[2].request({"traceparent": PARENT}, {}), pytest.raises(ValueError, match="refuses the request"):
            remote.stream([1], SamplingParams())

    copy_context().run(ask)
    with pytest.raises(ValueError, match="refuses the request"):
        remote.stream([1], SamplingParams())

    assert (seen[0][:36], seen[1]) == (PARENT[:36], "")
    spans(world)


def test_where_nothing_is_traced_a_span_is_nothing(tmp_path: Path) -> None:
    with span("audit") as current:
        assert current is None
    assert trace_headers() == {}


def test_all_else_of_a_traced_knowledge_base_is_its_own() -> None:
    assert TracedSearch(Shelf()).size == 1
