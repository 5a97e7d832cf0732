"""A watched service in the middle of an evening: an hour of samples, alarms of each kind, experts, drift."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from fastapi import FastAPI

from service.kit import Kit
from service.operations.drift import Gathered, Tested
from service.operations.signals import Signal
from service.operations.tables import Alarm, Sample
from service.operations.watcher import Watcher
from verticals.contract import Metric
from verticals.drift import compare
from verticals.watched import Distribution

UNEVEN, RESOLVED, MOVED = "a1b2c3d4e5f60718", "0102030405060708", "1112131415161718"
LAYERS = {str(i): [100 * (e % 4 + 1) * (1 + (e == i)) for e in range(8)] for i in range(4)}


def fill(app: FastAPI) -> None:
    """Put all of it where the routes read it."""
    kit: Kit = app.state.kit
    watcher: Watcher = app.state.watcher
    now = datetime.now(UTC)
    watcher.exported.newest = tuple(_signals(0))
    watcher.gathered = Gathered(now, (_moved(), _few()), (("support", Metric("liked", 0.82, 0.75, 0.88, 140)),))
    for _ in range(6):
        counts = {int(i): np.array(row) for i, row in LAYERS.items()}
        looks: Any = watcher._experts._looks
        looks.append({i: row.tolist() for i, row in counts.items()})
    with kit.sessions.begin() as session:
        for i in range(60):
            values = {signal.key: signal.value for signal in _signals(i)}
            session.add(Sample(at=now - timedelta(minutes=60 - i), values=values))
        session.add_all(_alarms(now))


def _signals(i: int) -> list[Signal]:
    found = [Signal("memory_bytes", "process", 1.9e9 + 1e6 * i), Signal("tokens_per_s", "core", 40 + 10 * math.sin(i))]
    found += [Signal("waiting_requests", "core", i % 3), Signal("expert_utilisation_sd", "core", 0.16 - 0.001 * i)]
    for k, name in enumerate(("finance", "medical", "support", "core", "service")):
        found.append(Signal("request_rate", name, 3 * k + math.cos(i / 9)))
        found.append(Signal("error_share", name, 0.002 * k))
        found.append(Signal("latency_p95_s", name, 0.02 * (k + 1)))
    return found


def _moved() -> Tested:
    one = Distribution(
        "points", "output", "developed", ("up to 480", "481 to 520", "above 520"), (300, 400, 300), (90, 60, 50)
    )
    drift = compare(np.array(one.reference), np.array(one.now))
    return Tested("finance", one, drift, *drift.interval())


def _few() -> Tested:
    return Tested("medical", Distribution("modality", "input", "earlier", ("CT",), (3,), (2,)), None)


def _alarms(now: datetime) -> list[Alarm]:
    def alarm(alarm_id: str, rule: str, signal: str, subject: str, minutes: int, **more: Any) -> Alarm:
        opened = now - timedelta(minutes=minutes)
        given: dict[str, Any] = {
            **{"severity": "warning", "state": "firing", "since": opened, "opened_at": opened, "evidence": {}},
            **{"value": 0.16, "peak": 0.171, "on": 0.15, "off": 0.12, "actions": [], "told": "opened"},
        }
        return Alarm(alarm_id=alarm_id, rule=rule, signal=signal, subject=subject, **given | more)

    rebalanced = "bias rebalancing is on: 4 layers changed, model version fake-moe-1+bias-1a2b3c4d"
    point = vars(_moved().distribution)
    return [
        alarm(
            *(UNEVEN, "uneven-experts", "expert_utilisation_sd", "core", 20),
            actions=[{"at": (now - timedelta(minutes=20)).isoformat(), "done": rebalanced}],
            evidence={"model_version": "fake-moe-1", "expert_counts": LAYERS},
        ),
        alarm(*(MOVED, "drift", "drift", "finance/points", 10), evidence={"distribution": point, "p_value": 0.0001}),
        alarm(
            *(RESOLVED, "errors", "error_share", "support", 50),
            **{"severity": "critical", "state": "resolved", "resolved_at": now - timedelta(minutes=45)},
            **{"told": "resolved", "acknowledged_by": "Ana", "acknowledged_reason": "A deployment"},
            acknowledged_at=now - timedelta(minutes=48),
        ),
    ]
