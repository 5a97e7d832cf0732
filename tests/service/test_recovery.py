"""The service starts: each vertical is asked once to finish what is left, in the tenants' audit trails."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

from fastapi.testclient import TestClient

from service.api import create_app
from service.recovery import ACTOR
from tests.fake_kit import make_kit
from tests.service.conftest import PARCELS
from verticals.contract import ContextOf, Decision, Resources


def test_a_start_asks_each_vertical_once_and_audits_as_the_service(tmp_path: Path) -> None:
    asked, done = [], threading.Event()

    def recover(resources: Resources, context_of: ContextOf) -> int:
        asked.append(resources)
        context_of("acme").record(Decision("parcels.finish", "parcel-1", "0" * 64, {}, "none"))
        done.set()
        return 1

    def fails(resources: Resources, context_of: ContextOf) -> int:
        raise RuntimeError("Jane Doe's secret")

    verticals = {"broken": replace(PARCELS, name="broken", recover=fails), "parcels": replace(PARCELS, recover=recover)}
    kit = make_kit(tmp_path, verticals)

    with TestClient(create_app(kit)) as client:
        assert done.wait(10)
        assert client.get("/healthz").status_code == 200
        (entry,) = kit.audit.entries("acme")

    assert asked == [kit.resources]
    assert (entry["kind"], entry["actor"]) == ("parcels.finish", ACTOR)
