"""The HTTP API: the verticals' operations, OpenAI's routes, health, metrics. Ignores how answers are made."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict
from functools import cache
from importlib.metadata import version
from typing import Any

import anyio.to_thread
from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from prometheus_client import CollectorRegistry
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route

from service import (
    audit_api,
    customer_keys_api,
    dicomweb_api,
    embeddings_api,
    me_api,
    models_api,
    openai_api,
    problems,
    responses_api,
    rollouts_api,
)
from service.admission import MAX_STREAMS, Admission
from service.callers import Authenticated
from service.envelope import RequestEnvelope
from service.evals.routes import router as evals_router
from service.fast_path import FastPath, fast_operations
from service.following import Follower
from service.grouping import MAX_GROUP
from service.health import health_router
from service.idempotency import IdempotencyKeys
from service.kit import Kit
from service.mcp_http import McpEndpoint
from service.monitoring import Metrics
from service.operations.notices import Notices
from service.operations.routes import router as operations_router
from service.operations.rules import read_rules
from service.operations.signals import SIGNALS
from service.operations.watcher import Watcher
from service.queries import only_declared
from service.rate_limits import RateLimits
from service.recovery import Recovery
from service.routes import vertical_router
from service.streams import LiveStreams, StreamLimits
from service.turns import Turns
from service.webhooks.hub import WebhookHub
from service.webhooks.routes import router as webhooks_router

# What a page of a named origin may send and read. Never credentials: who calls is in a header, not in a cookie.
CROSS_ORIGIN: Mapping[str, Any] = {
    "allow_methods": ["GET", "POST", "PUT", "DELETE"],
    "allow_headers": ["Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID"],
    "expose_headers": [
        *("x-request-id", "retry-after", "idempotent-replayed", "content-disposition"),
        *("x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
    ],
}


GROUPED_PLACES = 4 * MAX_GROUP  # of the fast path: two groups of one tenant, while others find room


def create_app(kit: Kit) -> FastAPI:
    """The application over a built kit; closing the application closes the kit."""
    mcp, recovery, fast = McpEndpoint(kit), Recovery(kit), fast_operations(kit)
    follower = Follower(kit.rollouts.refresh)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        # Each place and each stream has its thread, and so do streams that go on unheard: none waits for another's.
        anyio.to_thread.current_default_thread_limiter().total_tokens = 2 * (kit.settings.max_running + MAX_STREAMS)
        async with mcp.run():
            app.state.webhooks.start()
            recovery.start()
            follower.start()
            watcher.start()
            for operation in fast.values():
                operation.grouping.start()
            yield
            for operation in fast.values():
                await anyio.to_thread.run_sync(operation.grouping.stop)
            await anyio.to_thread.run_sync(follower.stop)
            await anyio.to_thread.run_sync(watcher.stop)
            await anyio.to_thread.run_sync(recovery.stop)
            await anyio.to_thread.run_sync(app.state.webhooks.stop)
            app.state.streams.close()
        kit.close()

    app = FastAPI(
        title="Trivium",
        version=version("trivium"),
        description="One Mixture-of-Experts core, three professions: finance, medicine, customer support.",
        lifespan=lifespan,
        dependencies=[Depends(only_declared)],
        responses=problems.documented("application/problem+json"),
    )
    app.state.kit = kit
    app.state.rate_limits = RateLimits(kit.settings.requests_per_minute)
    app.state.idempotency_keys = IdempotencyKeys(kit.sessions)
    app.state.streams = LiveStreams(StreamLimits(idle_s=kit.settings.stream_idle_s))
    app.state.webhooks = WebhookHub(kit)
    metrics = Metrics(CollectorRegistry())
    if hasattr(kit.resources.engine, "stats"):
        metrics.watch_engine(kit.resources.engine.stats)
    if hasattr(kit.resources.engine, "expert_counts"):
        metrics.watch_experts(kit.resources.engine.expert_counts)
    if hasattr(kit.resources.engine, "replicas"):
        metrics.watch_replicas(kit.resources.engine.replicas.stats)
    metrics.watch_models(lambda: kit.rollouts.faults)
    rules = read_rules(kit.settings.alarm_rules, signals=tuple(SIGNALS))
    watcher = app.state.watcher = Watcher(kit, metrics, rules, Notices(kit.settings, kit.sessions))
    problems.install(app)
    for vertical in kit.verticals.values():
        app.include_router(vertical_router(kit, vertical))
    for router in (openai_api.router, responses_api.router, embeddings_api.router):
        app.include_router(router, responses=problems.documented("application/json"))
    app.include_router(customer_keys_api.router)
    app.include_router(me_api.router)
    app.include_router(dicomweb_api.router)
    app.include_router(rollouts_api.router)
    app.include_router(models_api.router)
    app.include_router(audit_api.router)
    app.include_router(evals_router)
    app.include_router(webhooks_router)
    app.include_router(operations_router)
    app.router.routes.append(Route(mcp.path, mcp))
    app.state.draining = threading.Event()
    app.include_router(health_router(kit, app.version, app.state.draining))
    _add_service_routes(app, kit, metrics)
    _write_openapi_once(app)
    limits = kit.settings
    turns = Turns(places=limits.max_running, waiting=limits.max_waiting, wait_s=limits.max_wait_s)
    grouped = Turns(places=GROUPED_PLACES, waiting=limits.max_waiting, wait_s=limits.max_wait_s)
    app.add_middleware(Admission, turns=turns, keys=kit.keys, tokens=kit.tokens)
    app.add_middleware(FastPath, operations=fast, keys=kit.keys, rate_limits=app.state.rate_limits, turns=grouped)
    if origins := kit.settings.allowed_origins:
        app.add_middleware(CORSMiddleware, allow_origins=origins, **CROSS_ORIGIN)
    app.add_middleware(
        RequestEnvelope, metrics=metrics, settings=kit.settings, verticals=kit.verticals, tracing=kit.tracing
    )
    return app


def _add_service_routes(app: FastAPI, kit: Kit, metrics: Metrics) -> None:
    @app.get("/", include_in_schema=False)
    def root() -> Response:
        return RedirectResponse("/docs")

    @app.get("/metrics", include_in_schema=False)
    def prometheus() -> Response:
        body, media_type = metrics.render()
        return Response(body, media_type=media_type)

    @app.get("/v1/verticals", tags=["service"], summary="The verticals, their operations and schemas")
    def verticals(caller: Authenticated) -> list[dict[str, Any]]:
        return [
            {
                "name": vertical.name,
                "title": vertical.title,
                "summary": vertical.summary,
                "operations": [
                    {
                        "name": operation.name,
                        "summary": operation.summary,
                        "method": operation.method,
                        "path": f"/v1/{vertical.name}{operation.path}",
                        "streaming": operation.streaming,
                        "request": operation.request.model_json_schema(),
                        "examples": operation.examples,
                    }
                    for operation in vertical.operations
                ],
            }
            for vertical in kit.verticals.values()
        ]

    @app.get("/v1/models/registered", tags=["service"], summary="The card of every model in force")
    def models(caller: Authenticated) -> list[dict[str, Any]]:
        return [asdict(card) for card in kit.registry.cards()]


def _write_openapi_once(app: FastAPI) -> None:
    """A route before FastAPI's own, which writes the schema out for each request, on the event loop.

    It takes a second of processor time, so of many who ask first one writes it.
    """
    writing = threading.Lock()

    @cache
    def written(root_path: str) -> bytes | memoryview:
        servers = {"servers": [{"url": root_path}]} if root_path else {}
        return JSONResponse(app.openapi() | servers).body

    def openapi(request: Request) -> Response:
        with writing:
            body = written(request.scope.get("root_path", "").rstrip("/"))
        return Response(body, media_type="application/json")

    app.router.routes.insert(0, Route(str(app.openapi_url), openapi, include_in_schema=False))
