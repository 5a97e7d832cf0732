"""`/v1/operations`: what the operations view and other tools ask. Ignores how it is watched.

What is watched belongs to all tenants, so `*` does not include it: a key needs `operations.read`, and who acknowledges
an alarm `operations.acknowledge`.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, cast

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from sqlalchemy import select

from service.callers import Authenticated, kit_of
from service.operations.alarms import find
from service.operations.notices import describe_one, times_of
from service.operations.signals import SIGNALS
from service.operations.tables import Alarm, Sample
from service.operations.watcher import Watcher
from service.problems import request_id_of
from service.settings import Settings
from verticals.contract import Decision

router = APIRouter(prefix="/v1/operations", tags=["operations"])

MAX_POINTS = 240  # of a trend
AROUND = timedelta(minutes=30)  # before and after an alarm, in its evidence
Point = Annotated[  # its time, and a value; told without `prefixItems`, which many programs that read OpenAPI lack
    tuple[str, float],
    WithJsonSchema(
        {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "number"}]}, "minItems": 2, "maxItems": 2}
    ),
]
AlarmId = Annotated[str, Path(pattern=r"^[0-9a-f]{16}$")]


class AcknowledgeRequest(BaseModel):
    """Who has seen an alarm, and why it may stay as it is."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    person: str = Field(min_length=1, max_length=128, description="Who has seen it.")
    reason: str = Field(min_length=3, max_length=500)


@router.get("/now", summary="The newest value of every signal, and what watches")
def now(request: Request, caller: Authenticated) -> dict[str, Any]:
    """Nothing is told before the first look, half a minute after the start."""
    caller.require_operator("operations.read")
    kit, watcher = kit_of(request), _watcher(request)
    return {
        "at": datetime.now(UTC).isoformat(),
        "watch_s": kit.settings.watch_s,
        "rebalance": kit.settings.rebalance,
        "model": kit.resources.model_version,
        "verticals": [*kit.verticals],
        "receivers": watcher.notices.receivers,
        "signals": [asdict(signal) for signal in watcher.exported.newest],
        "meaning": dict(SIGNALS),
    }


@router.get("/trends", summary="The signals over the last minutes")
def trends(
    request: Request, caller: Authenticated, minutes: Annotated[int, Query(ge=5, le=5760)] = 60
) -> dict[str, list[Point]]:
    """By "signal|subject": at most 240 (time, value) pairs, evenly taken."""
    caller.require_operator("operations.read")
    return _series(request, datetime.now(UTC) - timedelta(minutes=minutes), datetime.now(UTC))


@router.get("/experts", summary="How the core's experts are used of late, by layer")
def experts(request: Request, caller: Authenticated) -> dict[str, Any]:
    """Counts of the last minutes with tokens; `reference` is what the routing is compared with."""
    caller.require_operator("operations.read")
    watcher = _watcher(request)
    errors = watcher.rounding_errors()
    return {
        "model": kit_of(request).resources.model_version,
        "layers": [
            {
                "layer": i,
                "counts": layer.counts,
                "reference": layer.reference,
                "utilisation_sd": layer.utilisation_sd,
                **asdict(layer.load),
                "drift": None if layer.drift is None else _drift(layer.drift),
                "quantization_error": errors.get(i),
            }
            for i, layer in watcher.layers().items()
        ],
        "quantization_error": {str(i): error for i, error in errors.items()},
    }


@router.get("/drift", summary="Inputs and outputs of every vertical against what they are held against")
def drift(request: Request, caller: Authenticated) -> dict[str, Any]:
    """As of the last time that the tables were counted, every five minutes."""
    caller.require_operator("operations.read")
    gathered = _watcher(request).gathered
    return {
        "at": gathered.at.isoformat() if gathered.at.year > 1 else None,
        "distributions": [
            {
                "vertical": one.vertical,
                **asdict(one.distribution),
                "psi": one.drift.psi if one.drift else None,
                "low": one.low,
                "high": one.high,
                "p_value": one.p_value,
            }
            for one in gathered.tested
        ],
        "feedback": [{"vertical": vertical, **asdict(metric)} for vertical, metric in gathered.feedback],
    }


@router.get("/rules", summary="The alarm rules in force")
def rules(request: Request, caller: Authenticated) -> list[dict[str, Any]]:
    """As in the file of rules."""
    caller.require_operator("operations.read")
    return [rule.model_dump() for rule in _watcher(request).book.rules]


@router.get("/alarms", summary="Alarms, newest first")
def list_alarms(
    request: Request,
    caller: Authenticated,
    state: Literal["firing", "resolved"] | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> list[dict[str, Any]]:
    """Those that are on, those that were, or both."""
    caller.require_operator("operations.read")
    kit = kit_of(request)
    query = select(Alarm).where(Alarm.opened_at.is_not(None)).order_by(Alarm.opened_at.desc()).limit(limit)
    with kit.sessions() as session:
        found = session.scalars(query if state is None else query.where(Alarm.state == state))
        return [_told(alarm, kit.settings) for alarm in found]


@router.get("/alarms/{alarm_id}", summary="One alarm with its evidence")
def get_alarm(alarm_id: AlarmId, request: Request, caller: Authenticated) -> dict[str, Any]:
    """What its signal was made of when it opened, and the signal half an hour before and after."""
    caller.require_operator("operations.read")
    kit = kit_of(request)
    with kit.sessions() as session:
        alarm = find(session, alarm_id)
    end = (alarm.resolved_at or datetime.now(UTC)) + AROUND
    key = f"{alarm.signal}|{alarm.subject}"
    trend = _series(request, alarm.since - AROUND, end, only=key).get(key, [])
    found = _told(alarm, kit.settings)
    return found | {"evidence": alarm.evidence, "trend": trend, "meaning": SIGNALS.get(alarm.signal, "")}


@router.post("/alarms/{alarm_id}/acknowledge", summary="Say that a person has seen an alarm, and why it may stay")
def acknowledge(
    alarm_id: AlarmId, asked: AcknowledgeRequest, request: Request, caller: Authenticated
) -> dict[str, Any]:
    """Once; it stays on until its signal calms down. Audited."""
    caller.require_operator("operations.acknowledge")
    kit = kit_of(request)
    with kit.sessions.begin() as session:
        book = _watcher(request).book
        alarm = book.acknowledge(session, alarm_id, person=asked.person, key=caller.key_id, reason=asked.reason)
        decision = Decision(
            kind="operations.acknowledge",
            subject=alarm_id,
            input_sha256=hashlib.sha256(asked.model_dump_json().encode()).hexdigest(),
            outcome={"rule": alarm.rule, "subject": alarm.subject},
            model_version=kit.resources.model_version,
        )
        kit.audit.record(decision, who=caller.who(request_id_of(request)), session=session)
        return _told(alarm, kit.settings)


def _watcher(request: Request) -> Watcher:
    return cast(Watcher, request.app.state.watcher)


def _series(
    request: Request, start: datetime, end: datetime, *, only: str | None = None
) -> dict[str, list[tuple[str, float]]]:
    query = select(Sample.at, Sample.values).where(Sample.at >= start, Sample.at <= end).order_by(Sample.at)
    with kit_of(request).sessions() as session:
        rows = session.execute(query).all()
    found: defaultdict[str, list[tuple[str, float]]] = defaultdict(list)
    for at, values in rows[:: -(-len(rows) // MAX_POINTS) or 1]:
        for key, value in values.items():
            if only is None or key == only:
                found[key].append((at.isoformat(), value))
    return dict(found)


def _told(alarm: Alarm, settings: Settings) -> dict[str, Any]:
    more = ("state", "told", "acknowledged_by", "acknowledged_reason")
    times = times_of(alarm, "since", "acknowledged_at")
    return describe_one(alarm, settings) | {name: getattr(alarm, name) for name in more} | times


def _drift(found: Any) -> dict[str, float]:
    low, high = found.interval()
    return {"psi": found.psi, "low": low, "high": high, "p_value": 1 - found.confidence}
