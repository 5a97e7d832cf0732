"""Whoever calls, tenant and rights come from the key or token alone, and every answer has its headers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import httpx
import pytest
from fastapi.testclient import TestClient
from starlette.types import Message
from structlog.testing import capture_logs

from service.api import create_app
from service.auth import KeyRing
from service.kit import Kit
from service.oidc import SigningKeys, TokenVerifier
from service.settings import Settings
from service.storage import make_sessions, open_database
from tests.fake_kit import make_kit
from tests.service.conftest import PARCELS
from tests.service.fake_issuer import ISSUER, SETTINGS, FakeIssuer

PAGE = "https://shop.example"


@pytest.fixture(scope="module")
def issuer() -> FakeIssuer:
    return FakeIssuer()


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory, issuer: FakeIssuer) -> Kit:
    settings = {**SETTINGS, "cors_origins": PAGE, "max_chat_kb": 1}
    made = make_kit(tmp_path_factory.mktemp("home"), {"parcels": PARCELS}, settings=settings)
    return replace(made, tokens=TokenVerifier(made.settings, SigningKeys(ISSUER, transport=issuer.transport)))


@pytest.fixture(scope="module")
def client(kit: Kit) -> Iterator[httpx.Client]:
    with TestClient(create_app(kit)) as found:
        yield found


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Kit:
    """Without an issuer and without origins; a caller has one request a minute."""
    return make_kit(tmp_path_factory.mktemp("plain"), {}, settings={"requests_per_minute": 1})


def _as(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_a_token_opens_its_tenant_and_nothing_in_the_request_changes_that(
    client: httpx.Client, issuer: FakeIssuer
) -> None:
    headers = {**_as(issuer.token(tenant="acme")), "X-Tenant": "other", "Tenant": "other"}

    answer = client.post("/v1/parcels/weigh", json={"weight_kg": 2}, headers=headers)
    asked = client.post("/v1/parcels/weigh?tenant=other", json={"weight_kg": 2}, headers=headers)
    refused = client.post("/v1/parcels/weigh", json={"weight_kg": 2, "tenant": "other"}, headers=headers)

    assert answer.json() == {"amount_cent": 300, "tenant": "acme"}
    for each in (asked, refused):
        assert (each.status_code, each.json()["field"]) == (422, "tenant")


def test_a_decision_is_audited_under_the_person(client: httpx.Client, issuer: FakeIssuer) -> None:
    headers = _as(issuer.token(sub="ann", tenant="audited"))
    client.post("/v1/parcels/weigh", json={"weight_kg": 2}, headers=headers)

    assert client.get("/v1/audit/entries", headers=headers).json()[0]["actor"] == "user:ann"


def test_one_tenants_token_does_not_see_anothers_trail(client: httpx.Client, issuer: FakeIssuer) -> None:
    client.post("/v1/parcels/weigh", json={"weight_kg": 2}, headers=_as(issuer.token(tenant="left")))

    assert client.get("/v1/audit/entries", headers=_as(issuer.token(tenant="right"))).json() == []


def test_a_role_opens_its_part_and_no_other(client: httpx.Client, issuer: FakeIssuer) -> None:
    headers = _as(issuer.token(roles=["auditor"]))

    assert client.get("/v1/audit/verify", headers=headers).status_code == 200
    refused = client.post("/v1/parcels/weigh", json={"weight_kg": 2}, headers=headers)
    assert (refused.status_code, refused.json()["rule"]) == (403, "your roles do not cover the operation")


def test_an_administrator_of_one_tenant_does_not_touch_what_all_share(client: httpx.Client, issuer: FakeIssuer) -> None:
    answers = [
        client.get("/v1/admin/models", headers=_as(issuer.token(roles=[role]))) for role in ("admin", "operator")
    ]

    assert answers[0].status_code == 403
    assert answers[1].status_code != 403


def test_keys_go_on_working_beside_tokens(client: httpx.Client, kit: Kit) -> None:
    key = kit.keys.issue(tenant="acme", label="machine", scopes=["parcels.*"])

    answer = client.get("/v1/me", headers=_as(key))

    assert answer.json() == {
        "tenant": "acme",
        "actor": key.split("_")[1],
        "roles": [],
        "scopes": ["parcels.*"],
        "customer": None,
    }


def test_who_one_is_comes_from_the_token(client: httpx.Client, issuer: FakeIssuer) -> None:
    answer = client.get("/v1/me", headers=_as(issuer.token(roles=["operator"])))

    assert answer.json() == {
        "tenant": "acme",
        "actor": "user:ann",
        "roles": ["operator"],
        "scopes": ["models.*", "operations.*", "evals.read"],
        "customer": None,
    }


def test_a_bad_token_is_a_problem_with_its_remedy(client: httpx.Client, issuer: FakeIssuer) -> None:
    answer = client.get("/v1/verticals", headers=_as(issuer.token(aud="payroll")))

    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.json()["rule"] == "the token is for another audience"
    assert answer.json()["remedy"] == "Log in again."


def test_without_an_issuer_no_token_opens_anything(plain: Kit, issuer: FakeIssuer) -> None:
    client = TestClient(create_app(plain))

    assert client.get("/v1/verticals", headers=_as(issuer.token())).status_code == 401


def test_an_issuer_that_cannot_be_asked_is_said_and_opens_nothing(plain: Kit) -> None:
    issuer = FakeIssuer()
    issuer.is_down = True
    tokens = TokenVerifier(Settings(**SETTINGS), SigningKeys(ISSUER, transport=issuer.transport))

    answer = TestClient(create_app(replace(plain, tokens=tokens))).get("/v1/me", headers=_as(issuer.token()))

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["field"] == "TRIVIUM_OIDC_ISSUER"


# --- headers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/v1/me", None, 200),
        ("GET", "/healthz", None, 200),
        ("GET", "/docs", None, 200),
        ("GET", "/nowhere", None, 404),
        ("DELETE", "/v1/me", None, 405),
        ("POST", "/v1/parcels/weigh", {"weight_kg": -1}, 422),
        ("POST", "/v1/chat/completions", {"x": "y" * 2000}, 413),
        ("POST", "/mcp", {"x": "y" * 2000}, 413),
        ("GET", "/v1/parcels/parcels/boom", None, 500),
        ("GET", "/v1/parcels/parcels/busy", None, 503),
    ],
)
def test_every_answer_keeps_browsers_and_caches_away(
    client: httpx.Client, issuer: FakeIssuer, method: str, path: str, body: object, status: int
) -> None:
    answer = client.request(method, path, json=body, headers=_as(issuer.token()))

    assert answer.status_code == status
    assert len(answer.headers["x-request-id"]) == 32
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-security-policy"] == "frame-ancestors 'none'"
    assert answer.headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize(("path", "status"), [("/v1/me", 200), ("/v1/parcels/parcels/lost", 404)])
def test_every_answer_to_a_caller_says_what_is_left(
    client: httpx.Client, issuer: FakeIssuer, path: str, status: int
) -> None:
    answer = client.get(path, headers=_as(issuer.token(sub="counted")))

    assert answer.status_code == status
    assert answer.headers["x-ratelimit-limit-requests"] == "6000"
    assert int(answer.headers["x-ratelimit-remaining-requests"]) >= 5990


def test_the_limit_that_is_reached_is_told_with_its_headers(plain: Kit) -> None:
    client, headers = TestClient(create_app(plain)), _as(plain.keys.issue(tenant="acme", label="busy"))
    client.get("/v1/me", headers=headers)

    answer = client.get("/v1/me", headers=headers)

    assert (answer.status_code, answer.json()["field"]) == (429, "Authorization")
    assert answer.headers["x-ratelimit-remaining-requests"] == "0"
    assert int(answer.headers["retry-after"]) in (59, 60)
    assert "TRIVIUM_REQUESTS_PER_MINUTE" in answer.json()["remedy"]


def test_a_body_over_the_limit_is_told_with_limit_and_remedy(client: httpx.Client, issuer: FakeIssuer) -> None:
    answer = client.post("/v1/parcels/weigh", content=b" " * (2**20 + 1), headers=_as(issuer.token()))
    chat = client.post("/v1/chat/completions", content=b" " * 1025, headers=_as(issuer.token()))

    assert answer.status_code == chat.status_code == 413
    assert "x-ratelimit-remaining-requests" in answer.headers
    assert {name: answer.json()[name] for name in ("field", "rule", "remedy")} == {
        "field": "body",
        "rule": "may hold 1 MiB",
        "remedy": "Send less, or have TRIVIUM_MAX_UPLOAD_MB raised.",
    }
    assert chat.json()["error"]["message"] == "body: may hold 1 KiB. Send less, or have TRIVIUM_MAX_CHAT_KB raised."


def test_who_may_not_send_a_body_is_refused_before_it_is_taken_in(kit: Kit, issuer: FakeIssuer) -> None:
    taken: list[int] = []

    async def chunks() -> AsyncIterator[bytes]:
        for number in range(100):
            taken.append(number)
            yield b"x" * 1000

    async def send(token: str) -> httpx.Response:
        transport = httpx.ASGITransport(app=create_app(kit))
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            return await client.post("/v1/parcels/weigh", content=chunks(), headers=_as(token))

    assert asyncio.run(send("nobody")).status_code == 401
    assert len(taken) <= 2
    taken.clear()
    assert asyncio.run(send(issuer.token())).status_code == 422
    assert len(taken) == 100


def test_who_goes_away_within_a_body_is_no_failure_of_ours(kit: Kit, issuer: FakeIssuer) -> None:
    begun = iter([{"type": "http.request", "body": b"{", "more_body": True}])
    headers = {**_as(issuer.token()), "Idempotency-Key": "k1"}  # the body is read before FastAPI reads it
    sent: list[Message] = []

    async def receive() -> Message:
        return next(begun, {"type": "http.disconnect"})

    async def send(message: Message) -> None:
        sent.append(message)

    path = "/v1/parcels/weigh"
    scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b""}
    scope |= {"headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()]}
    scope["headers"].append((b"content-length", b"20"))
    with capture_logs() as logged:
        asyncio.run(create_app(kit)(scope, receive, send))

    assert sent[0]["status"] == 400
    assert [event["event"] for event in logged if event["log_level"] == "error"] == []


def test_a_database_that_is_away_is_said_also_before_a_body_is_taken_in(kit: Kit) -> None:
    away = open_database("postgresql+psycopg://u@127.0.0.1:1/x")
    app = create_app(replace(kit, keys=KeyRing(make_sessions(away))))

    answer = TestClient(app).post("/v1/parcels/weigh", json={"weight_kg": 1}, headers=_as("tvm_a_b"))

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


# --- other pages ------------------------------------------------------------------------------------------------------


def _preflight(client: httpx.Client, origin: str) -> httpx.Response:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    return client.options("/v1/parcels/weigh", headers={"Origin": origin, **asked})


def test_a_page_of_a_named_origin_may_call_without_cookies(client: httpx.Client, issuer: FakeIssuer) -> None:
    asked, answer = _preflight(client, PAGE), client.get("/v1/me", headers={"Origin": PAGE, **_as(issuer.token())})

    assert asked.status_code == 200
    assert asked.headers["access-control-allow-origin"] == answer.headers["access-control-allow-origin"] == PAGE
    assert "x-ratelimit-remaining-requests" in answer.headers["access-control-expose-headers"]
    assert "access-control-allow-credentials" not in {**asked.headers, **answer.headers}


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "https://shop.example.evil.example", "http://shop.example", "null"]
)
def test_another_page_may_not(client: httpx.Client, issuer: FakeIssuer, origin: str) -> None:
    asked, answer = _preflight(client, origin), client.get("/v1/me", headers={"Origin": origin, **_as(issuer.token())})

    assert asked.status_code == 400
    assert "access-control-allow-origin" not in {**asked.headers, **answer.headers}


def test_without_the_setting_no_page_may(plain: Kit) -> None:
    answer = TestClient(create_app(plain)).get("/healthz", headers={"Origin": PAGE})

    assert "access-control-allow-origin" not in answer.headers
