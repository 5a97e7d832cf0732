"""Requests with an `Idempotency-Key` over HTTP: effects happen once, streams are taken up where they broke."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from service.api import create_app
from service.idempotency import ABANDONED, Claim, IdempotencyKeys, StoredAnswer
from service.kit import Kit
from tests.fake_kit import make_kit
from tests.service.conftest import PARCELS
from tests.service.fake_scales import scales_kit
from tests.service.fake_support import FakeSupport

TICKET = {"messages": [{"role": "user", "content": "a person please"}]}
KEYED = {"Idempotency-Key": "key-1"}


@pytest.fixture
def support() -> FakeSupport:
    return FakeSupport()


@pytest.fixture
def kit(tmp_path: Path, support: FakeSupport) -> Kit:
    verticals = {"support": support.vertical(), "parcels": PARCELS}
    return make_kit(tmp_path, verticals, settings={"stream_idle_s": 0.2}, replies=["one", "two"])


@pytest.fixture
def client(url: str, key: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, trust_env=False) as opened:
        yield opened


def test_a_ticket_is_opened_once(client: httpx.Client, support: FakeSupport) -> None:
    first, second = (client.post("/v1/support/tickets", json=TICKET, headers=KEYED) for _ in range(2))

    assert first.json() == second.json()
    assert len(support.tickets) == 1
    assert second.headers["idempotent-replayed"] == "true"


def test_a_chat_completion_is_generated_once(client: httpx.Client) -> None:
    body = {"model": "trivium-core", "messages": [{"role": "user", "content": "hi"}]}

    answers = [client.post("/v1/chat/completions", json=body, headers=KEYED).json() for _ in range(2)]

    assert [answer["choices"][0]["message"]["content"] for answer in answers] == ["one", "one"]


def test_another_body_under_the_key_is_422(client: httpx.Client) -> None:
    client.post("/v1/support/tickets", json=TICKET, headers=KEYED)

    refused = client.post("/v1/support/tickets", json={"messages": []}, headers=KEYED)

    assert (refused.status_code, refused.json()["field"]) == (422, "Idempotency-Key")


def test_a_request_that_another_process_carries_out_is_409_with_the_time_to_wait(
    client: httpx.Client, kit: Kit, key: str
) -> None:
    body = b'{"weight_kg": 1}'
    key_id = kit.keys.authenticate(key).key_id
    IdempotencyKeys(kit.sessions).begin("acme", key_id, "key-1", b"/v1/parcels/weigh?\n" + body)

    refused = client.post("/v1/parcels/weigh", content=body, headers=KEYED | {"Content-Type": "application/json"})

    assert (refused.status_code, refused.headers["retry-after"]) == (409, "1")
    assert list(kit.audit.of_kind("acme", "parcels.weigh")) == []


def test_a_refused_request_leaves_the_key_free(client: httpx.Client) -> None:
    assert client.post("/v1/parcels/weigh", json={"weight_kg": -1}, headers=KEYED).status_code == 422
    assert client.post("/v1/parcels/weigh", json={"weight_kg": 1}, headers=KEYED).status_code == 200


def test_no_key_opens_a_route_by_way_of_anothers_answer(client: httpx.Client, url: str, kit: Kit) -> None:
    client.post("/v1/support/tickets", json=TICKET, headers=KEYED)
    narrow = {"Authorization": f"Bearer {kit.keys.issue(tenant='acme', label='n', scopes=['parcels.*'])}"}

    refused = httpx.post(f"{url}/v1/support/tickets", json=TICKET, headers=narrow | KEYED, trust_env=False)

    assert refused.status_code == 403


def test_a_file_answer_is_not_kept_but_happens_once(client: httpx.Client) -> None:
    body = {"content": b"--b\r\nContent-Disposition: form-data; name=file; filename=a\r\n\r\nx\r\n--b--\r\n"}
    headers = KEYED | {"Content-Type": "multipart/form-data; boundary=b"}

    assert client.post("/v1/parcels/label", headers=headers, **body).content == b"x"
    assert client.post("/v1/parcels/label", headers=headers, **body).status_code == 409


def test_a_keyed_stream_is_taken_up_after_the_last_event(client: httpx.Client, support: FakeSupport) -> None:
    body = {"messages": [{"role": "user", "content": "a b c"}]}
    support.gate.clear()
    with client.stream("POST", "/v1/support/chat", json=body, headers=KEYED) as broken:
        seen = [line for _, line in zip(range(6), broken.iter_lines(), strict=False)]
    support.gate.set()

    rest = client.post("/v1/support/chat", json=body, headers=KEYED | {"Last-Event-ID": "1"}).text
    again = client.post("/v1/support/chat", json=body, headers=KEYED).text

    assert [line for line in seen if line.startswith("id: ")] == ["id: 0", "id: 1"]
    assert rest.startswith("id: 2\ndata: ")
    assert again.endswith(rest)
    assert rest.endswith("data: [DONE]\n\n")
    assert len(support.asked) == 1


def test_a_keyed_stream_that_nobody_comes_back_to_is_stopped(client: httpx.Client, support: FakeSupport) -> None:
    body = {"messages": [{"role": "user", "content": "endless"}]}
    with client.stream("POST", "/v1/support/chat", json=body, headers=KEYED) as broken:
        next(broken.iter_lines())

    assert support.stopped.wait(10)


def test_the_place_to_go_on_from_is_a_number(client: httpx.Client) -> None:
    refused = client.post("/v1/support/chat", json=TICKET, headers=KEYED | {"Last-Event-ID": "second"})

    assert (refused.status_code, refused.json()["field"]) == (422, "Last-Event-ID")


def test_a_field_called_as_a_place_in_the_request_is_named(client: httpx.Client) -> None:
    assert client.post("/v1/support/search", json={}).json()["field"] == "query"


class Killed(BaseException):
    """Stands for kill -9: what comes after it in the process never happens."""


class DiesBeforeItStores(IdempotencyKeys):
    """The effect is there, the answer is not stored, and nobody tidies up."""

    def finish(self, claim: Claim, answer: StoredAnswer | None) -> None:
        raise Killed


class DiesBeforeItCommits(IdempotencyKeys):
    """The process is killed within the transaction."""

    def record(self, claim: Claim, session: Session) -> None:
        super().record(claim, session)
        raise Killed


@pytest.mark.parametrize(
    ("dies", "status", "num_recorded"), [(DiesBeforeItCommits, 200, 1), (DiesBeforeItStores, 409, 1)]
)
def test_a_request_of_one_transaction_is_carried_out_once_whenever_its_process_is_killed(
    tmp_path: Path, dies: type[IdempotencyKeys], status: int, num_recorded: int
) -> None:
    with scales_kit(tmp_path) as kit:
        headers = KEYED | {"Authorization": f"Bearer {kit.keys.issue(tenant='acme', label='test')}"}
        app = create_app(kit)
        app.state.idempotency_keys = dies(kit.sessions)
        with suppress(BaseException), TestClient(app, raise_server_exceptions=False) as dying:
            dying.post("/v1/scales/weigh-fast", headers=headers, json={"amount": 3})

        restarted = create_app(kit)
        in_progress = TestClient(restarted).post("/v1/scales/weigh-fast", headers=headers, json={"amount": 3})
        restarted.state.idempotency_keys = IdempotencyKeys(kit.sessions, now=lambda: datetime.now(UTC) + 2 * ABANDONED)
        again = TestClient(restarted).post("/v1/scales/weigh-fast", headers=headers, json={"amount": 3})

    assert (in_progress.status_code, in_progress.headers["retry-after"]) == (409, "1")
    assert again.status_code == status
    assert again.json().get("product") == (6 if status == 200 else None)
    assert len(list(kit.audit.of_kind("acme", "scales.weigh"))) == num_recorded


FILE = b"--b\r\nContent-Disposition: form-data; name=file; filename=a\r\n\r\nx\r\n--b--\r\n"
CHAT = {"model": "trivium-core", "messages": [{"role": "user", "content": "hi"}]}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "an operation": ("/v1/support/tickets", {"json": TICKET}),
    "an upload": (
        "/v1/parcels/label",
        {"content": FILE, "headers": {"Content-Type": "multipart/form-data; boundary=b"}},
    ),
    "a stream": ("/v1/support/chat", {"json": {"messages": [{"role": "user", "content": "a person please"}]}}),
    "a chat completion": ("/v1/chat/completions", {"json": CHAT}),
    "a response": ("/v1/responses", {"json": {"model": "trivium-core", "input": "hi"}}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_done_before_its_process_was_killed_is_not_done_again(
    kit: Kit, key: str, support: FakeSupport, kind: str
) -> None:
    path, sent = KINDS[kind]
    headers = KEYED | {"Authorization": f"Bearer {key}"} | sent.get("headers", {})
    body = {name: value for name, value in sent.items() if name != "headers"}
    app = create_app(kit)
    app.state.idempotency_keys = DiesBeforeItStores(kit.sessions)
    with suppress(BaseException), TestClient(app, raise_server_exceptions=False) as dying:
        dying.post(path, headers=headers, **body)
    done = len(support.tickets), len(support.asked), len(kit.audit.entries("acme"))
    assert done > (0, 0, 1)  # beside the entry of the key

    restarted = create_app(kit)
    restarted.state.idempotency_keys = IdempotencyKeys(kit.sessions, now=lambda: datetime.now(UTC) + 2 * ABANDONED)
    again = TestClient(restarted).post(path, headers=headers, **body)

    assert again.status_code == 409
    assert "carried out" in again.text
    assert "take a new key" in again.text
    assert (len(support.tickets), len(support.asked), len(kit.audit.entries("acme"))) == done
