"""The watch over a real small mixture of experts: it sees, alarms, rebalances and says so, also after a restart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry

from core_model.chat_model import EngineChatModel
from core_model.models import ModelPool
from service.api import create_app
from service.evals.tables import EvalRun
from service.kit import Kit
from service.monitoring import Metrics
from service.operations.notes import hold, release
from service.operations.notices import Notices
from service.operations.rules import Rule
from service.operations.watcher import Watcher
from tests.fake_kit import make_kit
from tests.service.conftest import PARCELS
from tests.service.operations.conftest import at, make_rule
from tests.service.test_models_api import open_tiny
from verticals.contract import Metric
from verticals.watched import Distribution, Period, Watch

UNEVEN = make_rule(
    name="uneven-experts",
    signal="expert_utilisation_sd",
    threshold={"kind": "fixed", "on": 0.02, "off": 0.01},
    action="rebalance",
)


def moved(_resources: Any, period: Period) -> Watch:
    """Parcels are heavier than they were, wherever they come from."""
    heavier = Distribution("weight", "input", "earlier", ("light", "heavy"), (900, 100), (400, 600))
    few = Distribution("country", "input", "earlier", ("here", "there"), (9, 1), (4, 6))
    return Watch((heavier, few), (Metric("liked", 0.7, 0.6, 0.8, 100),))


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kit]:
    home = tmp_path_factory.mktemp("watched")
    (home / "models" / "a").mkdir(parents=True)
    broken = replace(PARCELS, name="broken", watch=lambda *_: 1 / 0)
    verticals = {"parcels": replace(PARCELS, watch=moved), "broken": broken}
    with ModelPool(open_tiny) as pool:
        core = pool.load("core", home / "models" / "a")
        yield make_kit(home, verticals, chat_model=EngineChatModel(engine=core), models=pool)


def watcher(kit: Kit, *rules: Rule) -> Watcher:
    return Watcher(kit, Metrics(CollectorRegistry()), rules, Notices(kit.settings, kit.sessions))


def values(watch: Watcher) -> dict[str, float]:
    return {signal.key: signal.value for signal in watch.exported.newest}


def test_uneven_experts_turn_rebalancing_on_and_even_ones_off(kit: Kit) -> None:
    watch, now_s = watcher(kit, UNEVEN), 0.0

    def look(*, asks: int) -> list[Any]:
        nonlocal now_s
        for i in range(asks):
            kit.resources.chat_model.invoke(f"words {i} to count experts by", max_tokens=4)
        now_s += 30
        return watch.look(at(now_s))

    changed = [look(asks=2) for _ in range(6)]
    (alarm,) = [alarm for one in changed for alarm in one]
    with kit.sessions() as session:
        (on,) = watch.book.firing(session)

    assert (on.rule, on.subject, on.state) == ("uneven-experts", "core", "firing")
    assert "bias rebalancing is on: 2 layers changed, model version a+bias-" in on.actions[-1]["done"]
    assert kit.resources.model_version.startswith("a+bias-")
    (entry,) = kit.audit.entries("operations")
    assert (entry["kind"], entry["actor"]) == ("models.rebalance", "operations")
    assert set(alarm.evidence["expert_counts"]) == {"0", "1"}

    calm = UNEVEN.model_copy(update={"threshold": UNEVEN.threshold.model_copy(update={"on": 0.9, "off": 0.9})})
    again = watcher(kit, calm)  # a restart, with a rule that its signal is within
    release(kit.sessions, watch._holder)
    watch = again
    ended = [alarm for _ in range(5) for alarm in look(asks=2)]

    assert [alarm.state for alarm in ended] == ["resolved"]
    with kit.sessions() as session:
        actions = session.get_one(type(alarm), alarm.alarm_id).actions
    assert actions[-1]["done"] == "bias rebalancing is off"


def test_signals_are_gathered_stored_and_exported(kit: Kit) -> None:
    watch = watcher(kit)
    release(kit.sessions, "anybody")
    hold(kit.sessions, watch._holder, now=at(10_000), for_s=1)

    watch.look(at(10_030))
    found = values(watch)

    assert found["drift|parcels/weight"] > 0.5
    assert "drift|parcels/country" not in found  # too few
    assert found["feedback|parcels/liked"] == pytest.approx(0.3)
    assert {"memory_bytes|process", "waiting_requests|core", "quantization_error|core"} <= set(found)
    assert not any("broken" in key for key in found)


def test_the_newest_nightly_that_ended_is_a_signal(kit: Kit) -> None:
    with kit.sessions.begin() as session:
        for name, status, code, hours in (
            ("old", "completed", 1, 30),
            ("new", "completed", 0, 5),
            ("on", "running", None, 1),
        ):
            ended = at(40_000 - 3600 * hours)
            session.add(
                EvalRun(
                    **{"id": name, "tenant": "demo", "status": status, "exit_code": code, "models": {}, "machine": {}},
                    **{"started_at": ended, "finished_at": ended if code is not None else None},
                )
            )
    watch = watcher(kit)

    watch.look(at(40_000))

    found = values(watch)
    assert (found["nightly_exit_code|all"], found["nightly_age_h|all"]) == (0, 5)


def test_one_of_two_processes_watches(kit: Kit) -> None:
    first, second = watcher(kit, UNEVEN), watcher(kit, UNEVEN)
    first.look(at(50_000))
    second.look(at(50_000))
    assert "drift|parcels/weight" in values(first)
    assert "drift|parcels/weight" not in values(second)
    assert "memory_bytes|process" in values(second)  # of its own

    first.stop()
    second.look(at(50_001))
    first.look(at(50_002))

    assert "drift|parcels/weight" in values(second)
    assert (set(first.exported.firing), set(second.exported.firing)) == (set(), {("uneven-experts", "warning")})


def test_a_wall_clock_that_is_set_back_stops_no_signal(kit: Kit) -> None:
    passed_s, metrics = 0.0, Metrics(CollectorRegistry())
    watch = Watcher(kit, metrics, (), Notices(kit.settings, kit.sessions), clock=lambda: passed_s)
    hold(kit.sessions, watch._holder, now=at(400_000), for_s=1)
    metrics.observe_request(vertical="parcels", route="/x", method="POST", status=200, duration_s=0.03)
    watch.look(at(400_030))

    passed_s = 300.0
    watch.look(at(55_000))

    assert watch.gathered.at == at(55_000)
    assert {"request_rate|parcels", "tokens_per_s|core"} <= set(values(watch))
    watch.stop()


def test_a_lease_that_is_not_renewed_is_taken(kit: Kit) -> None:
    hold(kit.sessions, "one", now=at(60_000), for_s=60)

    assert not hold(kit.sessions, "two", now=at(60_059), for_s=60)
    assert hold(kit.sessions, "one", now=at(60_059), for_s=60)
    assert not hold(kit.sessions, "two", now=at(60_100), for_s=60)
    assert hold(kit.sessions, "two", now=at(60_120), for_s=60)


# --- over HTTP --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A service whose only rule is on at once; its errors have just begun."""
    home = tmp_path_factory.mktemp("operated")
    rules = home / "rules.json"
    rule = make_rule(name="errors", signal="error_share", threshold={"kind": "fixed", "on": 0.1, "off": 0.1}, for_s=0)
    rules.write_text(f"[{rule.model_dump_json()}]")
    kit = make_kit(home, {"parcels": replace(PARCELS, watch=moved)}, settings={"alarm_rules": rules, "watch_s": 600})
    app = create_app(kit)
    with TestClient(app, raise_server_exceptions=False) as client:
        star, operator = (kit.keys.issue(tenant="ops", label="x", scopes=s) for s in (("*",), ("operations.*",)))
        client.headers["Authorization"] = f"Bearer {star}"
        app.state.watcher.look(at(0))
        client.get("/v1/parcels/parcels/boom")
        app.state.watcher.look(at(30))
        client.headers["Authorization"] = f"Bearer {operator}"
        client.star = star  # type: ignore[attr-defined]
        yield client


@pytest.mark.parametrize("what", ["now", "trends", "experts", "drift", "rules", "alarms", "alarms/0123456789abcdef"])
def test_a_key_for_everything_does_not_cover_operations(client: TestClient, what: str) -> None:
    answer = client.get(f"/v1/operations/{what}", headers={"Authorization": f"Bearer {client.star}"})  # type: ignore[attr-defined]

    assert (answer.status_code, answer.json()["value"]) == (403, "operations.read")


def test_the_newest_signals_and_their_trend_are_told(client: TestClient) -> None:
    now = client.get("/v1/operations/now").json()
    signals = {(signal["name"], signal["subject"]): signal["value"] for signal in now["signals"]}

    assert signals["error_share", "parcels"] == 1
    assert now["meaning"]["error_share"].startswith("Share of answers")
    assert client.get("/v1/operations/trends", params={"minutes": 4}).status_code == 422


def test_drift_is_told_with_its_counts_and_test(client: TestClient) -> None:
    told = client.get("/v1/operations/drift").json()
    weight, country = told["distributions"]

    assert (weight["vertical"], weight["name"], weight["now"]) == ("parcels", "weight", [400, 600])
    assert 0 < weight["low"] < weight["psi"] < weight["high"]
    assert (country["psi"], country["p_value"]) == (None, None)
    assert told["feedback"][0]["name"] == "liked"


def test_an_alarm_is_listed_shown_acknowledged_once_and_audited(client: TestClient) -> None:
    (alarm,) = client.get("/v1/operations/alarms", params={"state": "firing"}).json()
    assert (alarm["rule"], alarm["subject"], alarm["acknowledged_by"]) == ("errors", "parcels", None)
    assert alarm["link"].endswith(f"/operations?alarm={alarm['alarm_id']}")
    path = f"/v1/operations/alarms/{alarm['alarm_id']}"
    shown = client.get(path).json()
    assert shown["trend"] == [[at(30).isoformat(), 1.0]]

    refused = client.post(f"{path}/acknowledge", json={"person": "Ana", "reason": " "})
    done = client.post(f"{path}/acknowledge", json={"person": "Ana", "reason": "A test parcel"})
    again = client.post(f"{path}/acknowledge", json={"person": "Bo", "reason": "Me too"})

    assert (refused.status_code, done.status_code, again.status_code) == (422, 200, 409)
    assert (done.json()["acknowledged_by"], done.json()["state"]) == ("Ana", "firing")
    kit = client.app.state.kit  # type: ignore[attr-defined]
    assert kit.audit.entries("ops")[0]["kind"] == "operations.acknowledge"


def test_an_alarm_that_is_not_there_is_said(client: TestClient) -> None:
    assert client.get("/v1/operations/alarms/0123456789abcdef").status_code == 404
    assert client.get("/v1/operations/alarms/x").status_code == 422


def test_signals_and_alarms_are_metrics_without_a_tenant(client: TestClient) -> None:
    text = client.get("/metrics").text

    assert 'trivium_error_share{subject="parcels"} 1.0' in text
    assert 'trivium_alarms{rule="errors",severity="warning"} 1.0' in text
    assert "ops" not in text
