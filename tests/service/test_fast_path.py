"""The fast path gives FastAPI's answers and errors; groups are durable before they are answered, also under kill -9."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from pydantic import BaseModel
from sqlalchemy.exc import OperationalError

from benchmarks.finance_setting import TENANT, open_finance, open_kit, random_applications
from service.api import create_app
from service.audit import AuditLog
from service.fast_path import FastPath
from service.grouping import Grouping
from service.kit import Kit
from service.storage import make_sessions, open_database
from tests.ports import free_port
from verticals.contract import Context
from verticals.finance import VERTICAL
from verticals.grouped import Grouped

PATH = "/v1/finance/score"
STRAINED = dict(next(o for o in VERTICAL.operations if o.name == "score").examples["strained"])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with trained models."""
    found = tmp_path_factory.mktemp("home")
    with open_finance(found):
        return found


@pytest.fixture
def kit(home: Path) -> Iterator[Kit]:
    found = open_kit(home)
    yield found
    found.close()


@pytest.fixture
def client(kit: Kit) -> Iterator[TestClient]:
    with TestClient(create_app(kit)) as found:
        yield found


def both_ways(client: TestClient, kit: Kit, **request: Any) -> list[httpx.Response]:
    """The same request by FastAPI's way (the key is not known yet) and by the fast one (it is)."""
    key = kit.keys.issue(tenant=TENANT, label="both")
    headers = {"Authorization": f"Bearer {key}"} | request.pop("headers", {})
    answers = [client.post(PATH, headers=headers, **request)]
    client.post(PATH, headers={"Authorization": f"Bearer {key}"}, json=STRAINED)
    assert kit.keys.recent(key)
    return [*answers, client.post(PATH, headers=headers, **request)]


def told(answer: httpx.Response) -> Any:
    body = answer.json()
    body.pop("request_id", None)
    return answer.status_code, body, answer.headers["content-type"]


GOOD = [
    {"json": STRAINED},
    {"json": STRAINED | {"duration_months": "48", "credit_amount_dm": 7500.0}},
    {"json": STRAINED | {"savings": None}},
    {"content": json.dumps(STRAINED).encode("utf-16"), "headers": {"content-type": "application/json"}},
    {"content": b"\n " + json.dumps(STRAINED).encode(), "headers": {"content-type": "application/json"}},
    {"content": json.dumps(STRAINED), "headers": {"content-type": "application/json; charset=utf-8"}},
    {
        "content": json.dumps(STRAINED)[:-1] + ',"age_years":18,"age_years":30}',
        "headers": {"content-type": "application/json"},
    },
]
BAD = [
    {"json": STRAINED | {"duration_months": 0}},
    {"json": STRAINED | {"purpose": "yacht"}},
    {"json": STRAINED | {"sex": "female"}},
    {"json": STRAINED | {"age_years": True}},
    {"json": STRAINED | {"application_id": "Jane Doe"}},
    {"json": {k: v for k, v in STRAINED.items() if k != "savings"}},
    {"json": STRAINED, "params": {"dry_run": "1"}},
    {"json": [STRAINED]},
    {"json": None},
    {"content": b"", "headers": {"content-type": "application/json"}},
    {"content": b"{", "headers": {"content-type": "application/json"}},
    {"content": b"\xff\xfe\x00", "headers": {"content-type": "application/json"}},
    {"content": json.dumps(STRAINED | {"age_years": float("nan")}), "headers": {"content-type": "application/json"}},
    {"content": json.dumps(STRAINED), "headers": {"content-type": "text/plain"}},
    {"json": STRAINED, "headers": {"Authorization": "Bearer nonsense"}},
    {"json": STRAINED, "headers": {"Authorization": "Basic abc"}},
]


@pytest.mark.parametrize("request_", GOOD)
def test_good_requests_get_the_same_answer_both_ways(client: TestClient, kit: Kit, request_: dict[str, Any]) -> None:
    slow, fast = both_ways(client, kit, **request_)

    assert slow.status_code == 200, slow.text
    assert told(slow) == told(fast)
    assert {"x-request-id", "x-ratelimit-remaining-requests"} <= set(slow.headers) & set(fast.headers)


@pytest.mark.parametrize("request_", BAD)
def test_bad_requests_get_the_same_error_both_ways(client: TestClient, kit: Kit, request_: dict[str, Any]) -> None:
    slow, fast = both_ways(client, kit, **request_)

    assert slow.status_code >= 400
    assert told(slow) == told(fast)


def test_a_known_key_without_the_scope_is_refused(client: TestClient, kit: Kit) -> None:
    key = kit.keys.issue(tenant=TENANT, label="narrow", scopes=["finance.model"])
    kit.keys.authenticate(key)
    answer = client.post(PATH, headers={"Authorization": f"Bearer {key}"}, json=STRAINED)

    assert (answer.status_code, answer.json()["value"]) == (403, "finance.score")


def test_a_revoked_key_is_refused_at_once(client: TestClient, kit: Kit) -> None:
    key = kit.keys.issue(tenant=TENANT, label="lost")
    headers = {"Authorization": f"Bearer {key}"}
    assert [client.post(PATH, headers=headers, json=STRAINED).status_code for _ in range(2)] == [200, 200]
    kit.keys.revoke(key.split("_")[1])

    assert client.post(PATH, headers=headers, json=STRAINED).status_code == 401


def test_an_idempotency_key_is_honoured(client: TestClient, kit: Kit) -> None:
    key = kit.keys.issue(tenant=TENANT, label="once")
    headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": "k-1"}
    first, second = (client.post(PATH, headers=headers, json=STRAINED) for _ in range(2))

    assert first.json() == second.json()
    assert second.headers["Idempotent-Replayed"] == "true"


def test_the_request_is_counted_once_in_rate_limits(client: TestClient, kit: Kit) -> None:
    slow, fast = both_ways(client, kit, json=STRAINED)
    left = [int(a.headers["x-ratelimit-remaining-requests"]) for a in (slow, fast)]

    assert left[0] - left[1] <= 2  # the one between them and this one; the bucket refills


def test_openapi_documents_the_operation(client: TestClient) -> None:
    assert "ScoreResponse" in json.dumps(client.get("/openapi.json").json()["paths"][PATH])


def test_only_operations_that_take_groups_are_answered_here(kit: Kit) -> None:
    app = create_app(kit)
    [middleware] = [m for m in app.user_middleware if m.cls is FastPath]

    assert list(middleware.kwargs["operations"]) == [PATH]


# --- groups -----------------------------------------------------------------------------------------------------------


class Number(BaseModel):
    """A request or an answer."""

    n: int


class Echo:
    """Answers numbers; refuses 13, and waits for its first group to be released."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.groups: list[list[int]] = []
        self.go_on = threading.Event()
        self.failure = failure

    def answer_all(self, asked: Sequence[tuple[Any, Context]], record: Any) -> list[bytes]:
        self.groups.append([request.n for request, _ in asked])
        self.go_on.wait(10)
        if self.failure:
            raise self.failure
        if any(request.n == 13 for request, _ in asked):
            raise ValueError("13 is refused")
        return [request.model_dump_json().encode() for request, _ in asked]


def ask_all(echo: Echo, numbers: Sequence[int]) -> list[Any]:
    grouping = Grouping(Grouped(Number, echo.answer_all), lambda entries, session: None)
    nobody: Any = None

    async def all_of_them() -> list[Any]:
        first = asyncio.create_task(grouping.ask(Number(n=0), nobody))
        while not echo.groups:
            await asyncio.sleep(0.001)
        rest = [asyncio.create_task(grouping.ask(Number(n=n), nobody)) for n in numbers]
        await asyncio.sleep(0)
        echo.go_on.set()
        return await asyncio.gather(first, *rest, return_exceptions=True)

    grouping.start()
    found = asyncio.run(all_of_them())
    grouping.stop()
    return found


def test_what_waits_is_answered_together() -> None:
    echo = Echo()
    found = ask_all(echo, range(1, 6))

    assert echo.groups == [[0], [1, 2, 3, 4, 5]]
    assert found == [b'{"n":%d}' % n for n in range(6)]


def test_one_that_fails_does_not_take_the_others_with_it() -> None:
    found = ask_all(Echo(), [1, 13, 2])

    assert [f for f in found if isinstance(f, bytes)] == [b'{"n":0}', b'{"n":1}', b'{"n":2}']
    assert str(found[2]) == "13 is refused"


def test_when_the_database_is_away_all_are_told_without_trying_one_by_one() -> None:
    echo = Echo(OperationalError("select", {}, Exception("locked")))
    found = ask_all(echo, [1, 2])

    assert all(isinstance(f, OperationalError) for f in found)
    assert echo.groups == [[0], [1, 2]]


# --- crash ------------------------------------------------------------------------------------------------------------


def serve(home: str, port: int, key: Any) -> None:
    """A server in a process of its own."""
    import uvicorn

    kit = open_kit(Path(home))
    key.send(kit.keys.issue(tenant="crash", label="crash"))
    uvicorn.run(create_app(kit), host="127.0.0.1", port=port, log_config=None)


@pytest.mark.slow
def test_every_acknowledged_decision_survives_kill_9(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # a spawned process runs its parent's main file again; a page's test may have left its own script there
    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))
    acknowledged: set[str] = set()
    for attempt in range(2):
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        port = free_port()
        process = context.Process(target=serve, args=(str(home), port, theirs))
        process.start()
        theirs.close()  # so that a server that ends before it has a key ends the wait
        acknowledged |= asyncio.run(_ask_until_killed(process, port, _key_from(process, ours), attempt))
    engine = open_database(f"sqlite:///{next(home.glob('*.db'))}")
    audit = AuditLog(make_sessions(engine))
    kept = {entry["subject"] for entry in audit.of_kind("crash", "finance.score")}
    check = audit.verify("crash")
    engine.dispose()

    assert len(acknowledged) > 50
    assert acknowledged <= kept
    assert check.broken_at is None


def _key_from(process: Any, sent: Any) -> str:
    """The server's first word."""
    try:
        return str(sent.recv())
    except EOFError:
        process.join()
        raise AssertionError(f"the server ended with exit code {process.exitcode} before it was ready") from None


async def _ask_until_killed(process: Any, port: int, key: str, attempt: int) -> set[str]:
    """Ask on 16 connections until the server is killed in mid-work; the ids that were answered.

    However slow it is: a wait that ended by itself would leave a server that nobody kills.
    """
    answered: set[str] = set()
    bodies = [r.model_dump(mode="json") for r in random_applications(50, seed=8)]
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {key}"}, timeout=None
    ) as http:
        while process.is_alive():
            try:
                await http.get("/healthz")
                break
            except httpx.ConnectError:
                await asyncio.sleep(0.05)

        async def ask(connection: int) -> None:
            number = 0
            while True:
                name = f"c{attempt}-{connection}-{number}"
                try:
                    answer = await http.post(PATH, json=bodies[number % 50] | {"application_id": name})
                except httpx.TransportError:
                    return
                assert answer.status_code == 200, answer.text
                answered.add(name)
                number += 1
                if len(answered) == 40:
                    os.kill(process.pid, signal.SIGKILL)

        await asyncio.gather(*(ask(connection) for connection in range(16)))
    process.join()
    assert process.exitcode == -signal.SIGKILL
    return answered
