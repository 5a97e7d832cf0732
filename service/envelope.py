"""What is done around every request: id, headers, body limit, log line, metrics. Ignores what is asked."""

from __future__ import annotations

import random
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import anyio.to_thread
import structlog
from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import problems
from service.callers import caller_of
from service.monitoring import Metrics
from service.scope import CORE, SCOPE, SERVICE, RequestScope
from service.settings import Settings
from verticals.contract import TooLarge, TriviumError

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
# First part of a path -> whose it is, where that is not its name: OpenAI's routes, channels, the support agent's tools.
BELONGS_TO = {"chat": CORE, "responses": CORE, "embeddings": CORE, "webhooks": "support", "mcp": "support"}
BEHIND_KEYS = "/v1/"  # webhooks are signed instead, over the whole body
HEADERS = {  # of every answer, unless its route has its own; transport security is for the proxy that ends TLS
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"content-security-policy": b"frame-ancestors 'none'",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
    b"cache-control": b"no-store",  # answers hold what customers and patients said
}


class RequestEnvelope:
    """Around every request: an id, a body limit, one log line and the metrics. Bodies are never logged.

    A failure that nothing else answered is answered here, so that it has the same headers.
    """

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
        self._scopes = {name: RequestScope(name, metrics, tracing) for name in (*verticals, CORE, SERVICE)}
        self._random = random.Random()  # noqa: S311  (its own: nobody seeds it)
        self._log = structlog.get_logger().bind()  # bound once, not at each line

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = f"{self._random.getrandbits(128):032x}"  # unique, no secret
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        started, status = time.perf_counter(), 0

        async def tagged(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                given = {name.lower(): value for name, value in message.get("headers", ())}
                added = {"x-request-id": request_id, **state.get("rate_limit_headers", {})}
                if models := state.get("answered_by"):
                    added["trivium-models"] = ", ".join(f"{name}@{version}" for name, version in models.items())
                headers = [(name.encode(), value.encode()) for name, value in added.items()]
                headers += [(name, value) for name, value in HEADERS.items() if name not in given]
                message["headers"] = [*message.get("headers", ()), *headers]
            await send(message)

        own = self._scope_of(scope["path"])
        with structlog.contextvars.bound_contextvars(request_id=request_id), self._traced(scope, own) as current:
            try:
                await self._app(scope, self._limited(receive, scope), tagged)
            except Exception as error:
                if status:  # the answer has begun: who listens learns by its end
                    raise
                await problems.of_failure(Request(scope), error)(scope, receive, tagged)
            finally:
                self._tell(scope, SCOPE.get() or own, current, status or 500, time.perf_counter() - started)

    def _tell(self, scope: Scope, own: RequestScope, current: Any, status: int, duration_s: float) -> None:
        """Metrics, the span's name and the log line."""
        route, method = getattr(scope.get("route"), "path", "unmatched"), scope["method"]
        self._metrics.observe_request(
            vertical=own.vertical, route=route, method=method, status=status, duration_s=duration_s
        )
        if current is not None:
            current.update_name(f"{method} {route}")
            about = {"http.route": route, "http.response.status_code": status, "trivium.vertical": own.vertical}
            current.set_attributes(about)
        if route not in UNTRACED:
            self._log.info("request", method=method, route=route, status=status, duration_ms=round(duration_s * 1e3, 1))

    def _scope_of(self, path: str) -> RequestScope:
        """The vertical that a path belongs to; `count_for` may know better."""
        _, first, second, *_ = (*path.split("/", 3), "", "")
        name = BELONGS_TO.get(second, second) if first == "v1" else BELONGS_TO.get(first, SERVICE)
        return self._scopes.get(name, self._scopes[SERVICE])

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
                "trivium.request_id": scope["state"]["request_id"],
            }
            with self._tracing.request(headers, about) as current:
                yield current
        finally:
            SCOPE.reset(token)

    def _limit(self, path: str) -> tuple[int, str, str]:
        """The most bytes that a body may have, how to say so, and the setting."""
        settings = self._settings
        if path.startswith(CHAT_ROUTES):
            return settings.max_chat_kb * KIB, f"{settings.max_chat_kb} KiB", "TRIVIUM_MAX_CHAT_KB"
        if path.startswith(BATCH_ROUTES):
            return settings.max_batch_mb * KIB * KIB, f"{settings.max_batch_mb} MiB", "TRIVIUM_MAX_BATCH_MB"
        return settings.max_upload_mb * KIB * KIB, f"{settings.max_upload_mb} MiB", "TRIVIUM_MAX_UPLOAD_MB"

    def _limited(self, receive: Receive, scope: Scope) -> Receive:
        """`receive` that refuses a body over the limit as it arrives, whatever Content-Length says.

        FastAPI's own `max_body_size` answers in plain text; ours must be a problem like every other.
        """
        limit, most, setting = self._limit(scope["path"])
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            if message.get("body") and seen == 0:
                await _check_sender(scope)
            seen += len(message.get("body", b""))
            if seen > limit:
                remedy = f"Send less, or have {setting} raised."
                raise HTTPException(413) from TooLarge(f"may hold {most}", field="body", remedy=remedy)
            return message

        return counted


async def _check_sender(scope: Scope) -> None:
    """Refuse who may not send before the body is taken in; the framework asks only after.

    Raises:
        HTTPException: from what `caller_of` raises; the framework passes on no other.
    """
    if not scope["path"].startswith(BEHIND_KEYS) or scope["state"].get("is_known"):
        return
    try:
        await anyio.to_thread.run_sync(caller_of, Request(scope))
    except TriviumError as error:
        raise HTTPException(error.status) from error
