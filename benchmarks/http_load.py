"""Load on one HTTP path, by one asyncio process. Ignores which server answers.

Two ways: `as_fast_as_answered` keeps connections that each ask again when they are answered (closed loop: how much can
it do), `at_rate` asks at given times whatever comes back, and counts the wait from when a request was due, also when
no connection was free (open loop: what a client sees at that rate; no coordinated omission).
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

WARM_UP_S = 1.0
TICK_S = 0.0005  # how often due requests are sent


@dataclass(frozen=True)
class Target:
    """What is asked: a request's head without its length, and bodies in turn."""

    port: int
    pid: int  # of the server, whose processor time is read
    head: bytes
    bodies: Sequence[bytes]


@dataclass(frozen=True)
class Load:
    """What came back in the time that counts."""

    per_s: float
    p50_ms: float
    p99_ms: float
    server_us: float  # processor time an answer
    client_us: float
    failures: int


@dataclass
class Tally:
    """What the connections saw."""

    target: Target
    due: deque[float] | None = None  # times of requests that wait for a connection; None: ask again at once
    idle: list[Asker] = field(default_factory=list)
    latencies_s: list[float] = field(default_factory=list)
    failures: int = 0
    asked: int = 0
    counting: bool = False
    going_on: bool = True

    def next_request(self) -> bytes:
        """The next body with its head."""
        body = self.target.bodies[self.asked % len(self.target.bodies)]
        self.asked += 1
        return self.target.head + b"content-length: %d\r\n\r\n" % len(body) + body


class Asker(asyncio.Protocol):
    """A connection with at most one request on its way."""

    def __init__(self, tally: Tally) -> None:
        self._tally, self._received, self._wanted = tally, b"", 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the first time, or wait to be sent."""
        self._transport: Any = transport
        self._go_on()

    def ask(self, since_s: float) -> None:
        """Send the next request, which was due at `since_s`."""
        self._received, self._wanted, self._since_s = b"", 0, since_s
        self._transport.write(self._tally.next_request())

    def data_received(self, data: bytes) -> None:
        """Wait for the whole answer."""
        self._received += data
        if not self._wanted:
            at = self._received.find(b"\r\n\r\n")
            if at < 0:
                return
            head = self._received[:at].lower()
            length = head[head.index(b"content-length: ") + 16 :].split(b"\r\n", 1)[0]
            self._wanted = at + 4 + int(length)
        if len(self._received) < self._wanted:
            return
        if self._tally.counting:
            self._tally.latencies_s.append(time.perf_counter() - self._since_s)
            self._tally.failures += not self._received.startswith(b"HTTP/1.1 200")
        self._go_on()

    def _go_on(self) -> None:
        tally = self._tally
        if not tally.going_on:
            self._transport.close()
        elif tally.due is None:
            self.ask(time.perf_counter())
        elif tally.due:
            self.ask(tally.due.popleft())
        else:
            tally.idle.append(self)


async def as_fast_as_answered(target: Target, *, connections: int, seconds: float) -> Load:
    """Each connection asks again when it is answered."""
    tally = Tally(target)
    await _connect(tally, connections)
    await asyncio.sleep(WARM_UP_S)
    return await _count(tally, seconds)


async def at_rate(target: Target, per_s: float, *, connections: int, seconds: float) -> Load:
    """`per_s` requests a second, evenly spread; those that find no idle connection wait, and the wait counts."""
    tally = Tally(target, deque())
    await _connect(tally, connections)
    sender = asyncio.create_task(_send(tally, per_s))
    await asyncio.sleep(WARM_UP_S)
    found = await _count(tally, seconds)
    sender.cancel()
    return found


async def _send(tally: Tally, per_s: float) -> None:
    assert tally.due is not None
    started, sent = time.perf_counter(), 0
    while True:
        while (due_s := started + sent / per_s) <= time.perf_counter():
            sent += 1
            if tally.idle:
                tally.idle.pop().ask(due_s)
            else:
                tally.due.append(due_s)
        await asyncio.sleep(TICK_S)


async def _connect(tally: Tally, connections: int) -> None:
    loop = asyncio.get_running_loop()
    for _ in range(100):
        try:
            await loop.create_connection(lambda: Asker(tally), "127.0.0.1", tally.target.port)
            break
        except ConnectionRefusedError:
            await asyncio.sleep(0.1)
    for _ in range(connections - 1):
        await loop.create_connection(lambda: Asker(tally), "127.0.0.1", tally.target.port)


async def _count(tally: Tally, seconds: float) -> Load:
    pid = tally.target.pid
    tally.counting, started = True, time.perf_counter()
    server_s, client_s = _processor_s(pid), time.process_time()
    await asyncio.sleep(seconds)
    tally.counting, took_s = False, time.perf_counter() - started
    server_s, client_s = _processor_s(pid) - server_s, time.process_time() - client_s
    tally.going_on = False
    await asyncio.sleep(0.2)
    p50, p99 = np.percentile(np.array(tally.latencies_s) * 1e3, [50, 99])
    count = len(tally.latencies_s)
    return Load(
        per_s=count / took_s,
        p50_ms=float(p50),
        p99_ms=float(p99),
        server_us=server_s / count * 1e6,
        client_us=client_s / count * 1e6,
        failures=tally.failures,
    )


def _processor_s(pid: int) -> float:
    """Processor time of a process so far: it means something on a busy machine too. Linux."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
