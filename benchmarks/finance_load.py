"""Full decisions a second over HTTP, beside a reply that is a constant, and beside FastAPI with LightGBM the usual way.

    python -m benchmarks.finance_load [--seconds 8] [--rounds 3] [--connections 32]
    python -m benchmarks.finance_load --rates 250 500 1000 [--seconds 8]

Servers, each a process of its own under uvicorn (uvloop, httptools, one worker), asked in turn by the same client:

decision    the service's own application: key, rate limit, validation, scorecard and challenger, reasons, policy,
            row and audit entry on disk (SQLite, WAL, synchronous=FULL) before the answer; log and metrics as always.
stub        the same FastAPI, with the same envelope (request id, log line, metrics), whose route gives a constant
            answer of the same bytes: no key, no rate limit, no validation, no scoring, no audit, the body unread.
bare stub   no framework at all: an ASGI function that reads the body and gives the same constant.
usual way   FastAPI with a pydantic model, a one-row DataFrame, LightGBM's predict_proba; no key, no reasons, no audit.

The client shares the cores with the server: one asyncio process (uvloop), connections that are kept open and each ask
again as soon as they are answered; with --rates they ask at given times, `decision` alone. The log goes to a file.
Ratios are of the medians over rounds, each with its range.
Applications are random over all that the schema accepts (benchmarks/finance_setting.py).
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import uvicorn
import uvloop

from benchmarks.finance_setting import TENANT, open_finance, open_kit, random_applications
from benchmarks.http_load import Load, Target, as_fast_as_answered, at_rate
from verticals.finance import schemas

PATH = "/v1/finance/score"


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


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# --- measuring ------------------------------------------------------------------------------------------------------


@contextmanager
def target_of(name: str, home: Path, bodies: list[bytes]) -> Iterator[Target]:
    """A running server with the head of its requests."""
    with running(name, home) as (port, key, pid):
        head = f"POST {PATH} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        yield Target(port, pid, f"{head}authorization: Bearer {key}\r\n".encode(), bodies)


def print_table(found: dict[str, list[Load]]) -> None:
    """Medians over rounds, the rate with its range."""
    per_s = {name: statistics.median(load.per_s for load in loads) for name, loads in found.items()}
    for name, loads in found.items():
        all_per_s = [load.per_s for load in loads]
        ratio = "" if "stub" not in per_s else f"  {per_s[name] / per_s['stub']:.2f} of the stub"
        print(
            f"{name:10} {per_s[name]:7,.0f}/s ({min(all_per_s):,.0f} to {max(all_per_s):,.0f})  "
            f"p50 {statistics.median(load.p50_ms for load in loads):.1f} ms  "
            f"p99 {statistics.median(load.p99_ms for load in loads):.1f} ms  "
            f"server {statistics.median(load.server_us for load in loads):.0f} us, "
            f"client {statistics.median(load.client_us for load in loads):.0f} us an answer  "
            f"{sum(load.failures for load in loads)} failures{ratio}"
        )


def main() -> None:
    """Print a table, or with --rates a line a rate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--only", nargs="+", choices=list(SERVERS), default=list(SERVERS))
    parser.add_argument("--rates", nargs="+", type=float, help="open loop: decisions a second that are asked for")
    asked = parser.parse_args()
    bodies = [r.model_dump_json(exclude={"application_id"}).encode() for r in random_applications(2000, seed=7)]
    options: dict[str, Any] = {"connections": asked.connections, "seconds": asked.seconds}
    found: dict[str, list[Load]] = {name: [] for name in asked.only}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        with open_finance(home):
            pass  # trains
        if asked.rates:
            with target_of("decision", home, bodies) as target:
                for rate in asked.rates:
                    load = uvloop.run(at_rate(target, rate, **options))
                    print(f"{rate:,.0f}/s: {load.per_s:,.0f}/s  p50 {load.p50_ms:.1f} ms  p99 {load.p99_ms:.1f} ms")
            return
        for _ in range(asked.rounds):
            for name, loads in found.items():
                with target_of(name, home, bodies) as target:
                    loads.append(uvloop.run(as_fast_as_answered(target, **options)))
        with open_finance(home) as finance:
            check = finance.audit.verify(TENANT)
    print(f"{asked.connections} connections, {asked.seconds:g} s, {asked.rounds} rounds; audit chain: {check}")
    print_table(found)


if __name__ == "__main__":
    main()
