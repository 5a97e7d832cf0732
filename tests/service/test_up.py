"""How `trivium up` serves: which keys it makes and ends, whom it believes, how the dashboards log in."""

from __future__ import annotations

import asyncio
import tomllib
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request

from service.auth import Unauthenticated
from service.settings import Settings
from service.turns import Overloaded, Turns
from service.up import demo_key, log_in_settings, server_config
from tests.fake_kit import make_kit
from tests.service.fake_issuer import ISSUER, SETTINGS

OTHERS_KEEP_S = 60  # nginx' and AWS' balancers, between two requests


def test_outside_a_demo_there_is_no_demo_key_and_an_earlier_one_has_ended(tmp_path: Path) -> None:
    key = demo_key(make_kit(tmp_path, {}))
    assert key is not None
    kit = make_kit(tmp_path, {}, settings={"demo": False})
    own = kit.keys.issue(tenant="demo", label="demo")

    assert demo_key(kit) is None
    with pytest.raises(Unauthenticated, match="revoked"):
        kit.keys.authenticate(key)
    kit.keys.authenticate(own)


def _seen(settings: Settings, *, peer: str) -> dict[str, Any]:
    """What a route sees of a request from `peer` that says it came for somebody else, over https."""
    app, seen = FastAPI(), {}

    @app.get("/")
    def look(request: Request) -> None:
        assert request.client is not None
        seen.update(client=request.client.host, scheme=request.url.scheme)

    config = server_config(app, settings)
    config.load()
    forwarded = [(b"x-forwarded-for", b"203.0.113.7"), (b"x-forwarded-proto", b"https"), (b"host", b"api")]
    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http"}
    scope |= {"path": "/", "raw_path": b"/", "query_string": b"", "root_path": "", "headers": forwarded}
    scope |= {"client": (peer, 4711), "server": ("api", 80)}

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(_message: Any) -> None: ...

    asyncio.run(config.loaded_app(scope, receive, send))  # type: ignore[arg-type]
    return seen


@pytest.mark.parametrize(
    ("trusted", "peer", "is_believed"),
    [
        ("", "127.0.0.1", False),
        ("", "10.0.0.1", False),
        ("10.0.0.1", "10.0.0.2", False),
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.0/24, 127.0.0.1", "10.0.0.9", True),
        ("10.0.0.0/24, 127.0.0.1", "127.0.0.1", True),
    ],
)
def test_only_a_named_proxy_says_who_a_request_is_from(
    monkeypatch: pytest.MonkeyPatch, trusted: str, peer: str, is_believed: bool
) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")  # uvicorn's own; the settings alone count

    seen = _seen(Settings(trusted_proxies=trusted), peer=peer)

    assert seen == ({"client": "203.0.113.7", "scheme": "https"} if is_believed else {"client": peer, "scheme": "http"})


@pytest.mark.parametrize("max_wait_s", [5, 600])
def test_who_comes_back_when_a_refusal_says_finds_its_connection_kept(max_wait_s: float) -> None:
    async def refusal() -> Overloaded:
        turns = Turns(places=2, waiting=1, wait_s=max_wait_s)
        await turns.take("a")
        first = asyncio.create_task(turns.take("a"))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded) as refused:
            await turns.take("a")
        first.cancel()
        return refused.value

    kept_s = server_config(FastAPI(), Settings(max_wait_s=max_wait_s)).timeout_keep_alive

    assert kept_s > asyncio.run(refusal()).retry_after_s + OTHERS_KEEP_S


def test_the_dashboards_log_in_with_the_issuer_and_a_secret_of_their_own() -> None:
    settings = Settings(
        **SETTINGS,
        oidc_client_id="dashboards",
        oidc_client_secret='a"b\\c',
        oidc_scope="openid profile api://trivium/use",
        dashboard_url="https://trivium.example/",
    )

    first, second = (tomllib.loads(log_in_settings(settings))["auth"] for _ in range(2))

    assert (first["client_id"], first["client_secret"]) == ("dashboards", 'a"b\\c')
    assert first["redirect_uri"] == "https://trivium.example/oauth2callback"
    assert first["server_metadata_url"] == f"{ISSUER}/.well-known/openid-configuration"
    assert (first["expose_tokens"], first["client_kwargs"]["scope"]) == (["access"], settings.oidc_scope)
    assert len(first["cookie_secret"]) > 32
    assert first["cookie_secret"] != second["cookie_secret"]


def test_without_a_client_nobody_needs_to_log_in() -> None:
    assert log_in_settings(Settings(**SETTINGS)) == ""
