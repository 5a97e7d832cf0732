"""The HTTP API: the verticals' operations, OpenAI's routes, health, metrics, audit. Ignores how answers are made."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from importlib.metadata import version
from typing import Annotated, Any

import structlog
from fastapi import FastAPI, Query
from fastapi.responses import RedirectResponse, Response
from prometheus_client import CollectorRegistry
from sqlalchemy import text
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import customer_keys_api, embeddings_api, models_api, openai_api, problems
from service.evals.routes import router as evals_router
from service.kit import Kit
from service.monitoring import Metrics
from service.routes import Authenticated, vertical_router

MIB = 1024 * 1024
_log = structlog.get_logger()


def create_app(kit: Kit) -> FastAPI:
    """The application over a built kit; closing the application closes the kit."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        kit.close()

    app = FastAPI(
        title="Trivium",
        version=version("trivium"),
        description="One Mixture-of-Experts core, three professions: finance, medicine, customer support.",
        lifespan=lifespan,
    )
    app.state.kit = kit
    metrics = Metrics(CollectorRegistry())
    if hasattr(kit.resources.engine, "stats"):
        metrics.watch_engine(kit.resources.engine.stats)
    if hasattr(kit.resources.engine, "expert_counts"):
        metrics.watch_experts(kit.resources.engine.expert_counts)
    problems.install(app)
    for vertical in kit.verticals.values():
        app.include_router(vertical_router(kit, vertical))
    app.include_router(openai_api.router)
    app.include_router(embeddings_api.router)
    app.include_router(customer_keys_api.router)
    app.include_router(models_api.router)
    app.include_router(evals_router)
    _add_service_routes(app, kit, metrics)
    app.add_middleware(RequestEnvelope, metrics=metrics, max_body_bytes=kit.settings.max_upload_mb * MIB)
    return app


def _add_service_routes(app: FastAPI, kit: Kit, metrics: Metrics) -> None:
    @app.get("/", include_in_schema=False)
    def root() -> Response:
        return RedirectResponse("/docs")

    @app.get("/healthz", tags=["service"], summary="Whether the parts work")
    def health() -> dict[str, Any]:
        with kit.database.connect() as connection:
            connection.execute(text("SELECT 1"))
        return {
            "status": "ok",
            "version": app.version,
            "model": kit.resources.model_version,
            "verticals": list(kit.verticals),
        }

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

    @app.get("/v1/audit/verify", tags=["service"], summary="Recompute this tenant's audit chain")
    def verify(caller: Authenticated) -> dict[str, Any]:
        caller.require("audit.verify")
        return asdict(kit.audit.verify(caller.tenant))

    @app.get("/v1/audit/entries", tags=["service"], summary="This tenant's decisions, newest first")
    def entries(
        caller: Authenticated,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        before: Annotated[int | None, Query(ge=1)] = None,
    ) -> list[dict[str, Any]]:
        caller.require("audit.read")
        return kit.audit.entries(caller.tenant, limit=limit, before=before)


class RequestEnvelope:
    """Around every request: an id, a body limit, one log line and the metrics. Bodies are never logged."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, max_body_bytes: int) -> None:
        self._app = app
        self._metrics = metrics
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        started, status = time.perf_counter(), 500

        async def tagged(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id.encode())]
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, self._limited(receive), tagged)
            finally:
                duration_s = time.perf_counter() - started
                route = getattr(scope.get("route"), "path", "unmatched")
                self._metrics.observe_request(route=route, method=scope["method"], status=status, duration_s=duration_s)
                if route not in ("/healthz", "/metrics"):
                    _log.info(
                        "request",
                        method=scope["method"],
                        route=route,
                        status=status,
                        duration_ms=round(duration_s * 1e3, 1),
                    )

    def _limited(self, receive: Receive) -> Receive:
        """`receive` that refuses a body over the limit as it arrives, whatever Content-Length says.

        FastAPI's own `max_body_size` answers in plain text; ours must be a problem like every other.
        """
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._max_body_bytes:
                raise HTTPException(413, f"body: may hold {self._max_body_bytes // MIB} MiB (TRIVIUM_MAX_UPLOAD_MB)")
            return message

        return counted
