"""A service that is full says so with 503 and Retry-After, to whoever floods it, and still answers who watches it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import BaseModel
from starlette.types import Message, Receive, Scope, Send

from service.admission import Admission
from service.api import create_app
from service.kit import Kit
from service.oidc import SigningKeys, TokenVerifier
from service.turns import Turns
from tests.fake_kit import make_kit
from tests.service.conftest import PARCELS, Counted, Weigh, handlers
from tests.service.fake_issuer import ISSUER, SETTINGS, FakeIssuer
from verticals.contract import Context, Handler, Operation, Resources, Vertical

ISSUED = FakeIssuer()


class Tare(BaseModel):
    """Needs nothing to be told."""


@dataclass
class Gate:
    """Holds every request until it is opened."""

    opened: threading.Event = field(default_factory=threading.Event)
    entered: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def vertical(self) -> Vertical:
        """Parcels; `weigh` waits at the gate, `wait` streams an event before and one after it, `tare` takes no body."""

        def build(resources: Resources) -> dict[str, Handler]:
            found = dict(handlers(resources))
            weigh = found["weigh"]

            def held(request: Weigh, context: Context) -> object:
                self.entered.release()
                assert self.opened.wait(30)
                return weigh(request, context)

            def wait(_request: Weigh, _context: Context) -> Iterator[Counted]:
                yield Counted(1)
                self.entered.release()
                assert self.opened.wait(30)
                yield Counted(2)

            return found | {"weigh": held, "wait": wait, "tare": lambda _request, _context: Counted(0)}

        tare = Operation("tare", Tare, Counted, "Tare", "/tare")
        wait = Operation("wait", Weigh, Counted, "Wait", "/wait", streaming=True)
        return replace(PARCELS, build=build, operations=(*PARCELS.operations, tare, wait))


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.opened.set()


@pytest.fixture
def kit(gate: Gate, tmp_path: Path) -> Kit:
    limits = {"max_running": 2, "max_waiting": 1, "max_wait_s": 60}
    made = make_kit(tmp_path, {"parcels": gate.vertical()}, settings=limits | SETTINGS)
    return replace(made, tokens=TokenVerifier(made.settings, SigningKeys(ISSUER, transport=ISSUED.transport)))


@pytest.fixture
def app(kit: Kit) -> Iterator[FastAPI]:
    app = create_app(kit)
    with TestClient(app):
        yield app


def client_of(app: FastAPI, kit: Kit, tenant: str, *, by: str = "key") -> httpx.AsyncClient:
    """With a key or a person's token that was checked a moment ago."""
    if by == "token":
        assert kit.tokens
        kit.tokens.authenticate(credential := ISSUED.token(tenant=tenant))
    else:
        kit.keys.authenticate(credential := kit.keys.issue(tenant=tenant, label="test"))
    headers = {"Authorization": f"Bearer {credential}"}
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test", headers=headers)


WEIGH, TARE = "/v1/parcels/weigh", "/v1/parcels/tare"
BODY = {"weight_kg": 1}


async def until_entered(gate: Gate) -> None:
    assert await asyncio.to_thread(gate.entered.acquire, timeout=20)


@pytest.mark.parametrize("by", ["key", "token"])
def test_a_full_service_refuses_the_flood_lets_others_in_and_recovers(
    app: FastAPI, kit: Kit, gate: Gate, by: str
) -> None:
    async def run() -> tuple[httpx.Response, list[int], list[int]]:
        async with client_of(app, kit, "flood", by=by) as flood, client_of(app, kit, "small", by=by) as small:
            first = asyncio.create_task(flood.post(WEIGH, json=BODY))
            await until_entered(gate)
            second = asyncio.create_task(flood.post(WEIGH, json=BODY))  # waits
            await asyncio.sleep(0.05)
            refused = await flood.post(WEIGH, json=BODY)
            also_refused = await flood.get("/v1/verticals")  # one without a body
            dodging = [
                await flood.request(*route, content="unread") for route in (("GET", "/v1/verticals"), ("POST", TARE))
            ]
            watched = await flood.get("/livez")
            other = asyncio.create_task(small.post(WEIGH, json=BODY))
            await until_entered(gate)
            gate.opened.set()
            done = [answer.status_code for answer in await asyncio.gather(first, second, other)]
            again = await flood.post(WEIGH, json=BODY)
        assert also_refused.headers["retry-after"] == "60"
        return refused, [answer.status_code for answer in (also_refused, *dodging, watched)], [*done, again.status_code]

    refused, side, done = asyncio.run(run())

    assert (refused.status_code, refused.headers["retry-after"]) == (503, "60")
    assert refused.headers["content-type"] == "application/problem+json"
    assert "more is asked" in refused.json()["detail"]
    assert side == [503, 503, 503, 200]
    assert done == [200, 200, 200, 200]


def test_streams_that_wait_hold_no_place(app: FastAPI, kit: Kit, gate: Gate) -> None:
    async def run() -> list[int]:
        async with client_of(app, kit, "acme") as http:
            streams = []
            for _ in range(3):
                streams.append(asyncio.create_task(http.post("/v1/parcels/wait", json=BODY)))
                await until_entered(gate)
            quick = await http.get("/v1/parcels/parcels/abc")
            gate.opened.set()
            return [quick.status_code, *[answer.status_code for answer in await asyncio.gather(*streams)]]

    assert asyncio.run(run()) == [200, 200, 200, 200]


@pytest.mark.parametrize("stuck_at", ["http.response.start", "http.response.body"])  # the first: pipelined requests
def test_an_answer_that_nobody_reads_holds_no_place(kit: Kit, stuck_at: str) -> None:
    async def answer_at_once(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"long"})

    async def run() -> list[object]:
        admission = Admission(answer_at_once, turns=Turns(places=2, waiting=1, wait_s=60), keys=kit.keys)
        scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
        seen: list[object] = []

        async def unread(message: Message) -> None:
            if message["type"] == stuck_at:
                await asyncio.Event().wait()

        async def read(message: Message) -> None:
            seen.append(message.get("status") or message["body"])

        async def nothing() -> Message:
            return {"type": "http.disconnect"}

        stuck = [asyncio.create_task(admission(scope, nothing, unread)) for _ in range(3)]
        await asyncio.sleep(0.01)
        await asyncio.wait_for(admission(scope, nothing, read), 10)
        for task in stuck:
            task.cancel()
        return seen

    assert asyncio.run(run()) == [200, b"long"]
