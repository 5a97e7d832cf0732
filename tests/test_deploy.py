"""What `deploy/` says agrees with the program; no container may do more than it must."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry

from core_model.replicas import ReplicaStats
from core_model.timeline import Timeline
from service.api import create_app
from service.monitoring import Metrics
from service.operations.signals import SIGNALS, Signal, SignalCollector
from service.settings import Settings
from tests.fake_kit import make_kit

METRIC = re.compile(r"\b(?:trivium|process)_\w+")
DEPLOY = Path(__file__).parents[1] / "deploy"
CONTAINERFILE = (DEPLOY / "Containerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def manifests() -> list[dict[str, Any]]:
    return [
        each for path in sorted((DEPLOY / "kubernetes").glob("*.yaml")) for each in yaml.safe_load_all(path.read_text())
    ]


def pod_specs() -> Iterator[tuple[str, dict[str, Any]]]:
    for each in manifests():
        if each["kind"] == "Deployment":
            yield each["metadata"]["name"], each["spec"]["template"]["spec"]
        elif each["kind"] == "CronJob":
            yield each["metadata"]["name"], each["spec"]["jobTemplate"]["spec"]["template"]["spec"]


def test_every_setting_that_is_named_exists() -> None:
    named = {
        name
        for path in DEPLOY.rglob("*")
        if path.is_file()
        for name in re.findall(r"TRIVIUM_[A-Z_]+", path.read_text())
    }

    assert {"TRIVIUM_HOME", "TRIVIUM_DATABASE_URL", "TRIVIUM_DRAIN_S"} <= named
    assert {name.removeprefix("TRIVIUM_").lower() for name in named} <= set(Settings.model_fields)


def test_a_stop_has_the_time_that_draining_and_stopping_take() -> None:
    needs = sum(float(re.findall(rf"TRIVIUM_{name}_S=(\d+)", CONTAINERFILE)[0]) for name in ("DRAIN", "STOP"))
    specs = dict(pod_specs())

    assert specs["api"]["terminationGracePeriodSeconds"] > needs
    assert float(COMPOSE["services"]["api"]["stop_grace_period"].removesuffix("s")) > needs


def test_probes_ask_routes_that_answer_without_a_key(tmp_path: Path) -> None:
    api = dict(pod_specs())["api"]["containers"][0]
    asked = {api[kind]["httpGet"]["path"] for kind in ("startupProbe", "livenessProbe", "readinessProbe")}
    asked |= set(re.findall(r"127.0.0.1:8000(/\w+)", json.dumps(COMPOSE)))

    with TestClient(create_app(make_kit(tmp_path, {}))) as client:
        assert {path: client.get(path).status_code for path in asked} == {"/livez": 200, "/healthz": 200}
    assert (api["livenessProbe"]["httpGet"]["path"], api["readinessProbe"]["httpGet"]["path"]) == ("/livez", "/healthz")


@pytest.fixture(scope="module")
def exported() -> set[str]:
    """Names of all metrics."""

    class Engine:
        def __getattr__(self, name: str) -> int:
            return 1

    metrics, signals = Metrics(CollectorRegistry()), SignalCollector()
    metrics.watch_engine(Engine)
    metrics.watch_experts(lambda: {0: [1, 2]})
    metrics.watch_replicas(lambda: [ReplicaStats("gpu:8001", True, 1, 2, 3, 4)])
    metrics.observe_request(vertical="service", route="/", method="GET", status=200, duration_s=0.1)
    metrics.observe_generation("service", Timeline(first_token_ns=1))
    signals.newest, signals.firing = tuple(Signal(name, "x", 1) for name in SIGNALS), {("rule", "warning"): 1}
    metrics.registry.register(signals)
    return {sample.name for family in metrics.registry.collect() for sample in family.samples}


def test_the_dashboard_shows_metrics_that_are_exported(exported: set[str]) -> None:
    dashboard = json.loads((DEPLOY / "grafana" / "trivium.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    shown = {name for query in queries for name in METRIC.findall(query)}

    assert len(shown) > 20
    assert {name for name in exported if name.startswith("trivium_replica_")} <= shown
    assert shown <= exported
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_alert_rules_are_of_metrics_that_are_exported(exported: set[str]) -> None:
    (group,) = yaml.safe_load((DEPLOY / "prometheus-rules.yaml").read_text())["groups"]
    used = {name for rule in group["rules"] for name in METRIC.findall(rule["expr"])}

    assert used <= exported | {"up"}
    assert all({"alert", "expr", "for", "labels", "annotations"} == set(rule) for rule in group["rules"])
    assert "prometheus-rules.yaml" in (DEPLOY / "prometheus.yaml").read_text()


@pytest.mark.parametrize(("name", "spec"), list(pod_specs()), ids=lambda value: value if isinstance(value, str) else "")
def test_a_pod_may_do_no_more_than_it_must(name: str, spec: dict[str, Any]) -> None:
    (container,) = spec["containers"]
    declared = {volume["name"] for volume in spec["volumes"]}

    assert spec["automountServiceAccountToken"] is False
    assert (spec["securityContext"]["runAsNonRoot"], spec["securityContext"]["runAsUser"]) == (True, 10001)
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"]["memory"]
    assert {mount["name"] for mount in container["volumeMounts"]} == declared
    assert f"USER {spec['securityContext']['runAsUser']}" in CONTAINERFILE


def test_the_image_gets_all_that_the_package_is_built_from() -> None:
    copied = {
        path for line in re.findall(r"^COPY (?!--)(.+) \S+$", CONTAINERFILE, re.MULTILINE) for path in line.split()
    }
    built = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text())
    packages = {pattern.removesuffix("*") for pattern in built["tool"]["setuptools"]["packages"]["find"]["include"]}

    assert {built["project"]["readme"], *built["project"]["license-files"], "pyproject.toml"} | packages <= copied


def test_everything_that_compose_refers_to_is_there() -> None:
    used_secrets = {name for service in COMPOSE["services"].values() for name in service.get("secrets", [])}
    files = [
        mount.split(":")[0] for s in COMPOSE["services"].values() for mount in s.get("volumes", []) if mount[0] == "."
    ]
    published = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]

    assert used_secrets == set(COMPOSE["secrets"])
    assert [file for file in files if not (DEPLOY / file).is_file()] == []
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []  # TLS is the proxy's
    assert [
        path
        for path in re.findall(r"^COPY (?!--)(.+) \S+$", CONTAINERFILE, re.MULTILINE)
        for path in path.split()
        if not (DEPLOY.parent / path).exists()
    ] == []
