"""What is done around every request: id, body limit, log line, metrics. Ignores what is asked."""

from __future__ import annotations

import random
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import structlog
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.monitoring import Metrics
from service.scope import SCOPE, SERVICE, RequestScope
from service.settings import Settings

if TYPE_CHECKING:
    from service.tracing import Tracing

KIB = 1024
UNTRACED = ("/livez", "/healthz", "/metrics")  # asked every few seconds: neither logged nor traced
CHAT_ROUTES = ("/v1/chat/", "/v1/responses", "/webhooks/", "/mcp")  # words, no files: their bodies are small
BATCH_ROUTES = (  # files that stream: none is held in memory
    "/v1/finance/score/batch",
    "/v1/medical/studies/batch",
    "/v1/medical/dicomweb/studies",
)


class RequestEnvelope:
    """Around every request: an id, a body limit, one log line and the metrics. Bodies are never logged."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: Metrics,
        settings: Settings,
        verticals: Collection[str] = (),
        tracing: Tracing | None = None,
    ) -> None:
        self._app, self._metrics, self._settings, self._tracing = app, metrics, settings, tracing
        self._scopes = {name: RequestScope(name, metrics, tracing) for name in (*verticals, SERVICE)}
        self._random = random.Random()  # noqa: S311  (its own: nobody seeds it)
        self._log = structlog.get_logger().bind()  # bound once, not at each line

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = f"{self._random.getrandbits(128):032x}"  # unique, no secret
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        started, status = time.perf_counter(), 500

        async def tagged(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                added = {"x-request-id": request_id, **state.get("rate_limit_headers", {})}
                if models := state.get("answered_by"):
                    added["trivium-models"] = ", ".join(f"{name}@{version}" for name, version in models.items())
                headers = [(name.encode(), value.encode()) for name, value in added.items()]
                message["headers"] = [*message.get("headers", ()), *headers]
            await send(message)

        own = self._scope_of(scope["path"])
        with structlog.contextvars.bound_contextvars(request_id=request_id), self._traced(scope, own) as current:
            try:
                await self._app(scope, self._limited(receive, path=scope["path"]), tagged)
            finally:
                duration_s = time.perf_counter() - started
                route = getattr(scope.get("route"), "path", "unmatched")
                self._metrics.observe_request(
                    vertical=own.vertical, route=route, method=scope["method"], status=status, duration_s=duration_s
                )
                if current is not None:
                    current.update_name(f"{scope['method']} {route}")
                    current.set_attributes({"http.route": route, "http.response.status_code": status})
                if route not in UNTRACED:
                    self._log.info(
                        "request",
                        method=scope["method"],
                        route=route,
                        status=status,
                        duration_ms=round(duration_s * 1e3, 1),
                    )

    def _scope_of(self, path: str) -> RequestScope:
        """The vertical that a path belongs to."""
        _, version, name, *_ = (*path.split("/", 3), "", "")
        return self._scopes.get(name if version == "v1" else SERVICE, self._scopes[SERVICE])

    @contextmanager
    def _traced(self, scope: Scope, own: RequestScope) -> Iterator[Any]:
        """The request's scope in force, and its span; None where nothing is traced."""
        token = SCOPE.set(own)
        try:
            if self._tracing is None or scope["path"] in UNTRACED:
                yield None
                return
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            about = {
                "http.request.method": scope["method"],
                "trivium.vertical": own.vertical,
                "trivium.request_id": scope["state"]["request_id"],
            }
            with self._tracing.request(headers, about) as current:
                yield current
        finally:
            SCOPE.reset(token)

    def _limit(self, path: str) -> tuple[int, str]:
        """The most bytes that a body may have, and how to say so."""
        if path.startswith(CHAT_ROUTES):
            return self._settings.max_chat_kb * KIB, f"{self._settings.max_chat_kb} KiB (TRIVIUM_MAX_CHAT_KB)"
        if path.startswith(BATCH_ROUTES):
            return self._settings.max_batch_mb * KIB * KIB, f"{self._settings.max_batch_mb} MiB (TRIVIUM_MAX_BATCH_MB)"
        return self._settings.max_upload_mb * KIB * KIB, f"{self._settings.max_upload_mb} MiB (TRIVIUM_MAX_UPLOAD_MB)"

    def _limited(self, receive: Receive, *, path: str) -> Receive:
        """`receive` that refuses a body over the limit as it arrives, whatever Content-Length says.

        FastAPI's own `max_body_size` answers in plain text; ours must be a problem like every other.
        """
        limit, rule = self._limit(path)
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                raise HTTPException(413, f"body: may hold {rule}")
            return message

        return counted
