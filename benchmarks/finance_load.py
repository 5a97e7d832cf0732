"""Full decisions a second over HTTP, beside a reply that is a constant, and beside FastAPI with LightGBM the usual way.

    python -m benchmarks.finance_load [--seconds 8] [--rounds 3] [--connections 32]

Servers, each a process of its own under uvicorn (uvloop, httptools, one worker), asked in turn by the same client:

decision    the service's own application: key, rate limit, validation, scorecard and challenger, reasons, policy,
            row and audit entry on disk (SQLite, WAL, synchronous=FULL) before the answer; log and metrics as always.
stub        the same FastAPI, with the same envelope (request id, log line, metrics), whose route gives a constant
            answer of the same bytes: no key, no rate limit, no validation, no scoring, no audit, the body unread.
bare stub   no framework at all: an ASGI function that reads the body and gives the same constant.
usual way   FastAPI with a pydantic model, a one-row DataFrame, LightGBM's predict_proba; no key, no reasons, no audit.

The client shares the cores with the server: one asyncio process (uvloop), connections that are kept open and each ask
again as soon as they are answered. The log goes to a file. Ratios are of the medians over rounds, each with its range.
Applications are random over all that the schema accepts (benchmarks/finance_setting.py).
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
import uvloop

from benchmarks.finance_setting import TENANT, open_finance, open_kit, random_applications
from verticals.finance import schemas

PATH = "/v1/finance/score"
WARM_UP_S = 1.0


# --- servers --------------------------------------------------------------------------------------------------------


def decision_app(home: Path) -> tuple[Any, str]:
    """The service's own application, and a key for it."""
    from service.api import create_app

    kit = open_kit(home)
    return create_app(kit), kit.keys.issue(tenant=TENANT, label="load")


def stub_app(home: Path) -> tuple[Any, str]:
    """FastAPI and the envelope, with a constant answer."""
    from fastapi import FastAPI
    from fastapi.responses import Response
    from prometheus_client import CollectorRegistry

    from service.envelope import RequestEnvelope
    from service.monitoring import Metrics

    answer, app = _constant(home), FastAPI()

    @app.post(PATH)
    async def score() -> Response:
        return Response(answer, media_type="application/json")

    app.add_middleware(RequestEnvelope, metrics=Metrics(CollectorRegistry()), settings=open_kit(home).settings)
    return app, "none"


def bare_app(home: Path) -> tuple[Any, str]:
    """A constant answer without a framework."""
    answer = _constant(home)
    headers = [(b"content-length", str(len(answer)).encode()), (b"content-type", b"application/json")]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    return app, "none"


def usual_app(home: Path) -> tuple[Any, str]:
    """FastAPI with LightGBM as in many a tutorial."""
    import lightgbm
    import pandas as pd
    from fastapi import FastAPI

    from verticals.finance.challenger import PARAMS, ROUNDS
    from verticals.finance.data import load_german

    frame, default = load_german()
    kinds = {name: frame[name].astype("category").dtype for name in frame if frame[name].dtype == object}
    options = {k: v for k, v in PARAMS.items() if k != "monotone_constraints"}
    model = lightgbm.LGBMClassifier(n_estimators=ROUNDS, **options).fit(frame.astype(kinds), default)
    app = FastAPI()

    @app.post(PATH)
    def score(application: schemas.ScoreRequest) -> dict[str, float]:
        row = pd.DataFrame([application.model_dump(mode="json")])[list(frame)].astype(kinds)
        return {"prob_default": float(model.predict_proba(row)[0, 1])}

    return app, "none"


SERVERS: dict[str, Callable[[Path], tuple[Any, str]]] = {
    "decision": decision_app,
    "stub": stub_app,
    "bare stub": bare_app,
    "usual way": usual_app,
}


def _constant(home: Path) -> bytes:
    """An answer of the operation."""
    with open_finance(home) as finance:
        asked = random_applications(1, seed=1)[0]
        return finance.handlers["score"](asked, finance.context).model_dump_json().encode()  # type: ignore[union-attr]


def _serve(name: str, home: Path, port: int, told: Connection) -> None:
    from service.memory import settle
    from service.monitoring import configure_logging

    with (home / f"{name}.log").open("w") as log:
        os.dup2(log.fileno(), sys.stderr.fileno())
        configure_logging("info", json=True)
        app, key = SERVERS[name](home)
        settle()  # as `trivium up` does
        server = uvicorn.Server(
            uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None, access_log=False, loop="uvloop")
        )
        told.send(key)
        server.run()


@contextmanager
def running(name: str, home: Path) -> Any:
    """A server while the block runs; gives its port and a key."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    port = _free_port()
    process = context.Process(target=_serve, args=(name, home, port, theirs))
    process.start()
    yield port, ours.recv(), process.pid
    process.terminate()
    process.join()


def _processor_s(pid: int) -> float:
    """Processor time of a process so far: it means something on a busy machine too. Linux."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# --- client ---------------------------------------------------------------------------------------------------------


@dataclass
class Tally:
    """What the connections saw."""

    bodies: list[bytes]
    head: bytes
    latencies_s: list[float]
    failures: int = 0
    asked: int = 0
    counting: bool = False
    going_on: bool = True

    def next_request(self) -> bytes:
        """The next application with its head."""
        body = self.bodies[self.asked % len(self.bodies)]
        self.asked += 1
        return self.head + b"content-length: %d\r\n\r\n" % len(body) + body


class Asker(asyncio.Protocol):
    """A connection that asks again when it is answered."""

    def __init__(self, tally: Tally) -> None:
        self._tally, self._received, self._wanted = tally, b"", 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the first time."""
        self._transport: Any = transport
        self._ask()

    def _ask(self) -> None:
        self._received, self._wanted = b"", 0
        self._sent_s = time.perf_counter()
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
            self._tally.latencies_s.append(time.perf_counter() - self._sent_s)
            self._tally.failures += not self._received.startswith(b"HTTP/1.1 200")
        if self._tally.going_on:
            self._ask()
        else:
            self._transport.close()


@dataclass(frozen=True)
class Load:
    """One server, asked for a while."""

    per_s: float
    p50_ms: float
    p99_ms: float
    server_us: float  # processor time an answer
    failures: int


async def _load(port: int, key: str, pid: int, bodies: list[bytes], connections: int, seconds: float) -> Load:
    head = (
        f"POST {PATH} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\nauthorization: Bearer {key}\r\n"
    )
    tally = Tally(bodies, head.encode(), [])
    loop = asyncio.get_running_loop()
    for _ in range(100):
        try:
            await loop.create_connection(lambda: Asker(tally), "127.0.0.1", port)
            break
        except ConnectionRefusedError:
            await asyncio.sleep(0.1)
    for _ in range(connections - 1):
        await loop.create_connection(lambda: Asker(tally), "127.0.0.1", port)
    await asyncio.sleep(WARM_UP_S)
    tally.counting, started, cpu_s = True, time.perf_counter(), _processor_s(pid)
    await asyncio.sleep(seconds)
    tally.counting, took_s, cpu_s = False, time.perf_counter() - started, _processor_s(pid) - cpu_s
    tally.going_on = False
    await asyncio.sleep(0.2)
    p50, p99 = np.percentile(np.array(tally.latencies_s) * 1e3, [50, 99])
    count = len(tally.latencies_s)
    return Load(count / took_s, float(p50), float(p99), cpu_s / count * 1e6, tally.failures)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--only", nargs="+", choices=list(SERVERS), default=list(SERVERS))
    asked = parser.parse_args()
    bodies = [r.model_dump_json(exclude={"application_id"}).encode() for r in random_applications(2000, seed=7)]
    found: dict[str, list[Load]] = {name: [] for name in asked.only}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        with open_finance(home):
            pass  # trains
        for _ in range(asked.rounds):
            for name, loads in found.items():
                with running(name, home) as (port, key, pid):
                    loads.append(uvloop.run(_load(port, key, pid, bodies, asked.connections, asked.seconds)))
        with open_finance(home) as finance:
            check = finance.audit.verify(TENANT)
    print(f"{asked.connections} connections, {asked.seconds:g} s, {asked.rounds} rounds; audit chain: {check}")
    per_s = {name: statistics.median(load.per_s for load in loads) for name, loads in found.items()}
    for name, loads in found.items():
        all_per_s = [load.per_s for load in loads]
        ratio = "" if "stub" not in per_s else f"  {per_s[name] / per_s['stub']:.2f} of the stub"
        print(
            f"{name:10} {per_s[name]:7,.0f}/s ({min(all_per_s):,.0f} to {max(all_per_s):,.0f})  "
            f"p50 {statistics.median(load.p50_ms for load in loads):.1f} ms  "
            f"p99 {statistics.median(load.p99_ms for load in loads):.1f} ms  "
            f"server {statistics.median(load.server_us for load in loads):.0f} us an answer  "
            f"{sum(load.failures for load in loads)} failures{ratio}"
        )


if __name__ == "__main__":
    main()
