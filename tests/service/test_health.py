"""A supervisor sees a process that lives, a balancer one that is ready; a stop begins by being unready."""

from __future__ import annotations

import signal
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path

import httpx
import uvicorn
from fastapi.testclient import TestClient

from service.api import create_app
from service.health import DrainingServer
from service.storage import open_database
from tests.fake_kit import make_kit
from tests.service.conftest import PARCELS


def test_a_process_whose_database_is_gone_lives_and_is_not_ready(tmp_path: Path) -> None:
    gone = open_database("postgresql+psycopg://nobody:secret@127.0.0.1:1/none")
    kit = make_kit(tmp_path, {"parcels": PARCELS})
    with TestClient(create_app(kit)) as client:
        assert (client.get("/livez").status_code, client.get("/healthz").status_code) == (200, 200)
    client = TestClient(create_app(replace(kit, database=gone)))

    ready = client.get("/healthz")

    assert client.get("/livez").json() == {"status": "alive"}
    assert (ready.status_code, ready.json()["status"]) == (503, "database unreachable")
    assert ready.headers["retry-after"] == "1"
    assert "secret" not in ready.text


def test_after_sigterm_it_answers_on_unready_and_then_stops(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    app = create_app(make_kit(tmp_path, {"parcels": PARCELS}))
    config = uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None)
    server = DrainingServer(config, app.state.draining, drain_s=3600)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            while not server.started:
                time.sleep(0.01)
            assert client.get("/healthz").status_code == 200

            server.handle_exit(signal.SIGTERM, None)

            assert (client.get("/healthz").json()["status"], client.get("/livez").status_code) == ("draining", 200)
            assert client.get("/v1/verticals").status_code == 401  # it answers, and asks for a key as ever
    finally:
        server.handle_exit(signal.SIGTERM, None)  # the second one does not wait
        thread.join(30)
    assert not thread.is_alive()


def test_without_a_drain_a_signal_stops_at_once(tmp_path: Path) -> None:
    app = create_app(make_kit(tmp_path, {"parcels": PARCELS}))
    for drain_s, sig in ((0, signal.SIGTERM), (3600, signal.SIGINT)):
        server = DrainingServer(uvicorn.Config(app), threading.Event(), drain_s=drain_s)

        server.handle_exit(sig, None)

        assert server.should_exit
