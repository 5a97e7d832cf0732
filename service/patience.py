"""Connections whose client does nothing are closed, and no more are taken than the process may open. Ignores requests.

uvicorn waits for ever for a head that comes a byte a minute, for the rest of a body, and for a reader that does not
read. Each second the server looks at its connections (`look`): one look at all costs less than a timer at each.
"""

from __future__ import annotations

import asyncio
import resource
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application

HEAD_S = 15.0  # from the connection, or the first byte of a further request, to the end of the head
STALLED_S = 30.0  # without a byte of a body that comes, or of an answer that is read
KEPT_S = 100  # between two requests: longer than nginx, AWS (60 s) and Go (90 s) keep theirs, so that they close it
KEPT_FILES = 512  # that are not connections: database, models, pipes
FULL = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
RESET = struct.pack("ii", 1, 0)  # or the kernel would keep for minutes what is unread, 4 MB a connection
_log = structlog.get_logger()


@dataclass
class _Wait:
    """What a connection was seen waiting for, and since when."""

    what: str
    progress: object
    since_s: float


class PatientProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which knows when it heard last and is refused when there are too many."""

    max_connections = 2**31
    num_received = 0
    _wait: _Wait | None = None
    _answered: RequestResponseCycle | None = None  # uvicorn's `cycle` is the newest, which may wait behind it

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take it, or say that the process is full."""
        super().connection_made(transport)
        if len(self.connections) > self.max_connections:
            transport.write(FULL)
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever is being answered, too."""
        super().connection_lost(exc)
        if self._answered is not None:
            self._answered.disconnected = True
            self._answered.message_event.set()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answered = cycle
        super()._start_asgi_task(cycle, app)

    def data_received(self, data: bytes) -> None:
        """Count, and go on."""
        self.num_received += 1
        super().data_received(data)

    def look(self, now_s: float) -> None:
        """Close it if what it waits for has not moved for too long."""
        what, progress, limit_s = self._waits_for()
        if self._wait is None or (self._wait.what, self._wait.progress) != (what, progress):
            self._wait = _Wait(what, progress, now_s)
        elif what and now_s - self._wait.since_s > limit_s:
            _log.info("a connection was closed", why=f"its {what} stood still")
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self.transport.abort()  # closing would wait for the reader

    def _waits_for(self) -> tuple[str, object, float]:
        cycle = self.cycle
        if self.flow.write_paused:
            return "reader", (cycle, self.transport.get_write_buffer_size()), STALLED_S
        if cycle is None or cycle.response_complete:
            if self.timeout_keep_alive_task is not None:  # uvicorn closes it
                return "", None, 0
            return "head", cycle, HEAD_S
        if cycle.more_body and not self.flow.read_paused:
            return "body", (cycle, self.num_received), STALLED_S
        return "", None, 0


def look(connections: Iterable[object], now_s: float) -> None:
    """Look at each connection of a server."""
    for connection in [*connections]:
        if isinstance(connection, PatientProtocol):
            connection.look(now_s)


def open_as_many_files_as_allowed() -> int:
    """Raise the soft limit of open files to the hard one; gives how many connections that leaves room for."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return max(hard - KEPT_FILES, KEPT_FILES)
