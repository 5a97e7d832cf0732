"""`trivium up`: the API in this process, the dashboards in a child, both ended by one Ctrl-C. Ignores what they do."""

from __future__ import annotations

import importlib.util
import json
import math
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import httpx
import structlog
import uvicorn
from fastapi import FastAPI

from service.api import create_app
from service.health import DrainingServer
from service.kit import Kit
from service.memory import settle
from service.patience import KEPT_S, PatientProtocol, open_as_many_files_as_allowed
from service.settings import Settings
from service.wiring import DEMO_TENANT
from verticals.contract import Conflict

START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 5
DEMO_LABEL = "demo key of trivium up"
DEMO_KEY_LIFETIME = timedelta(days=1)


def check_ports(settings: Settings) -> None:
    """Fail early when another program listens where we would.

    Raises:
        Conflict: the port is taken.
    """
    for field, port in (("TRIVIUM_PORT", settings.port), ("TRIVIUM_DASHBOARD_PORT", settings.dashboard_port)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((settings.host, port))
            except OSError as error:
                raise Conflict(
                    "the port is in use by another program",
                    field=field,
                    value=port,
                    remedy=f"Stop that program, or choose another port: {field}={port + 10} make run.",
                ) from error


def serve(kit: Kit, *, dashboards: bool, on_ready: Callable[[str, str | None, str | None], None]) -> None:
    """Run until interrupted. `on_ready` gets the API's address, the dashboards' and the demo key once both answer."""
    settings = kit.settings
    api_url = settings.api_address
    key = demo_key(kit)
    settle()
    app = create_app(kit)
    PatientProtocol.max_connections = open_as_many_files_as_allowed()
    server = DrainingServer(server_config(app, settings), app.state.draining, drain_s=settings.drain_s)
    kit.resources.retriever.warm_up()
    with _dashboards(settings, api_url=api_url, key=key, wanted=dashboards) as page_url:
        waiting = threading.Thread(
            target=_announce, args=(server, api_url, page_url, lambda: on_ready(api_url, page_url, key)), daemon=True
        )
        waiting.start()
        # uvicorn shuts down in order, then raises the signal again: as an interrupt, so that the child is ended too.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with suppress(KeyboardInterrupt):
            server.run()


def server_config(app: FastAPI, settings: Settings) -> uvicorn.Config:
    """How the API is served: who is believed about where a request came from, and how long a stop may take.

    A connection that is closed as the next request is on its way loses that request, so it outlives what a refusal asks
    its client to wait.
    """
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=PatientProtocol,
        log_config=None,
        access_log=False,
        timeout_keep_alive=KEPT_S + math.ceil(settings.max_wait_s),
        timeout_graceful_shutdown=settings.stop_s,
        server_header=False,
        proxy_headers=bool(settings.proxies),  # said here, or uvicorn would believe this machine and its environment
        forwarded_allow_ips=settings.proxies,
    )


def demo_key(kit: Kit) -> str | None:
    """A new key of the demo; outside a demo none, and those that earlier demos left are ended."""
    if kit.settings.demo:
        return kit.keys.issue(
            tenant=DEMO_TENANT, label=DEMO_LABEL, scopes=["*", "models.*", "operations.*"], lifetime=DEMO_KEY_LIFETIME
        )
    if ended := kit.keys.revoke_labelled(DEMO_LABEL):
        structlog.get_logger().warning("keys of an earlier demo were ended", count=ended)
    return None


def log_in_settings(settings: Settings) -> str:
    """Streamlit's own settings of its log-in (`[auth]` of its secrets), in TOML; "" if people need not log in.

    The cookie's secret is new at each start, so a restart asks everybody to log in again.
    """
    if not settings.oidc_client_id:
        return ""
    auth = {
        "redirect_uri": f"{settings.dashboard_address}/oauth2callback",
        "cookie_secret": secrets.token_urlsafe(32),
        "client_id": settings.oidc_client_id,
        "client_secret": settings.oidc_client_secret.get_secret_value(),
        "server_metadata_url": f"{settings.oidc_issuer.rstrip('/')}/.well-known/openid-configuration",
        "expose_tokens": ["access"],
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in auth.items()]  # these are TOML's forms too
    return "\n".join(["[auth]", *lines, f"client_kwargs = {{ scope = {json.dumps(settings.oidc_scope)} }}", ""])


def _announce(server: uvicorn.Server, api_url: str, page_url: str | None, ready: Callable[[], None]) -> None:
    addresses = [f"{api_url}/healthz"] + ([f"{page_url}/_stcore/health"] if page_url else [])
    deadline = time.monotonic() + START_TIMEOUT_S
    while addresses and time.monotonic() < deadline and not server.should_exit:
        try:
            if httpx.get(addresses[0], timeout=2, trust_env=False).is_success:
                addresses.pop(0)
                continue
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    if not server.should_exit:
        ready()


@contextmanager
def _dashboards(settings: Settings, *, api_url: str, key: str | None, wanted: bool) -> Iterator[str | None]:
    """The Streamlit child while the block runs. Its secrets lie in files that only this user can read."""
    if not wanted:
        yield None
        return
    package = importlib.util.find_spec("dashboards")
    assert package is not None
    assert package.origin is not None
    app = Path(package.origin).parent / "app.py"
    log_path = settings.home / "logs" / "dashboards.log"
    log_path.parent.mkdir(parents=True, exist_ok=True)
    options = {
        "server.address": settings.host,
        "server.port": settings.dashboard_port,
        "server.headless": "true",
        "browser.gatherUsageStats": "false",
    }
    with tempfile.TemporaryDirectory(prefix="trivium-") as private, log_path.open("w") as log:
        key_file, log_in_file = Path(private) / "key", Path(private) / "secrets.toml"
        log_in = log_in_settings(settings)
        for path, text in ((key_file, "" if log_in else key or ""), (log_in_file, log_in)):
            path.touch(mode=0o600)
            path.write_text(text)
        if log_in:
            options["secrets.files"] = str(log_in_file)
        child = subprocess.Popen(  # noqa: S603  (fixed words and typed settings; no shell)
            [
                *(sys.executable, "-m", "streamlit", "run", str(app)),
                *(word for name, value in options.items() for word in (f"--{name}", str(value))),
                *("--", "--api-url", api_url, "--key-file", str(key_file)),
            ],
            cwd=app.parent,  # where Streamlit finds the pages' theme
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches only us; we stop it in order
        )
        try:
            yield f"http://{settings.host}:{settings.dashboard_port}"
        finally:
            child.terminate()
            try:
                child.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
