"""Whether this process lives, is ready for requests, or drains before it stops. Ignores what requests ask.

Alive: the event loop turns; a supervisor restarts what is not. Ready: the database answers and no stop was asked for; a
balancer sends requests elsewhere meanwhile. A database that is gone must not end a process that will serve again.
"""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType
from typing import Any

import uvicorn
from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from service.kit import Kit
from service.patience import look

RETRY_AFTER = {"Retry-After": "1"}


def health_router(kit: Kit, version: str, draining: threading.Event) -> APIRouter:
    """`/livez` and `/healthz`; neither needs a key, and neither says more than a prober may know."""
    router = APIRouter(tags=["service"])

    @router.get("/livez", summary="Whether the process lives")
    async def alive() -> dict[str, str]:
        return {"status": "alive"}

    @router.get("/healthz", summary="Whether it is ready for requests: 503 while it is not")
    def ready() -> Response:
        status = "draining" if draining.is_set() else _database_state(kit)
        known: dict[str, Any] = {"model": kit.resources.model_version, "verticals": list(kit.verticals)}
        if degraded := sorted(kit.rollouts.faults):  # it serves, by a version that is not the one in force
            known["degraded"] = degraded
        is_ready = status == "ok"
        body = {"status": status, "version": version, **known}
        return JSONResponse(body, status_code=200 if is_ready else 503, headers=None if is_ready else RETRY_AFTER)

    return router


def _database_state(kit: Kit) -> str:
    try:
        with kit.database.connect() as connection:
            connection.execute(text("SELECT 1"))
    except SQLAlchemyError:
        return "database unreachable"
    return "ok"


class DrainingServer(uvicorn.Server):
    """uvicorn's server, which after SIGTERM is unready but goes on answering for `drain_s`, and then stops in order.

    Who balances requests needs a moment to look elsewhere. A second signal, or Ctrl-C, stops at once. Connections whose
    clients stand still are closed.
    """

    def __init__(self, config: uvicorn.Config, draining: threading.Event, *, drain_s: float) -> None:
        super().__init__(config)
        self._draining, self._drain_s = draining, drain_s

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called by uvicorn on SIGTERM and SIGINT."""
        if sig != signal.SIGTERM or self._drain_s == 0 or self._draining.is_set():
            super().handle_exit(sig, frame)
            return
        self._draining.set()
        timer = threading.Timer(self._drain_s, super().handle_exit, (sig, frame))
        timer.daemon = True
        timer.start()

    async def on_tick(self, counter: int) -> bool:
        """Called by uvicorn ten times a second: each second, close what stands still."""
        if counter % 10 == 0:
            look(self.server_state.connections, time.monotonic())
        return await super().on_tick(counter)
