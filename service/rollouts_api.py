"""Operators' routes for registered models: versions, lineage, and each step of a rollout. Ignores how that is done.

A step touches every tenant, so it needs a key with the scope `models.rollout` or `models.*`: `*` does not include it.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from service.auth import Caller
from service.callers import Authenticated, kit_of
from service.editions import Live
from service.kit import Kit
from service.problems import request_id_of
from service.registry import NONE
from service.rollout_ledger import State, Step, counts_of, differences_of, newest_steps, steps_of
from verticals.contract import Unavailable
from verticals.live import NamedModel

SHOWN = 20  # steps and differences
router = APIRouter(prefix="/v1/admin/models/registered", tags=["service"])

Person = Annotated[str, Field(min_length=1, max_length=64, description="Who decides.")]
Reason = Annotated[str, Field(min_length=3, max_length=1000, description="Why; kept in the audit trail.")]
Version = Annotated[str, Field(pattern="^[0-9a-f]{12}$", description="Of the model; without it the one on trial.")]


class _Decided(BaseModel):
    model_config = ConfigDict(extra="forbid")

    person: Person
    reason: Reason


class StepRequest(_Decided):
    """Who takes a step, and why."""

    version: Version | None = None


class CanaryRequest(StepRequest):
    """How many see the version on trial."""

    share: float = Field(gt=0, le=1, description="Of subjects: the same ones at each request.")


class RollBackRequest(_Decided):
    """Who takes a step back, and why."""


@router.get("", summary="The live models: what serves, what is on trial, what was seen of it")
def list_models(request: Request, caller: Authenticated) -> list[dict[str, Any]]:
    """One entry a model."""
    caller.require_operator("models.read")
    kit = kit_of(request)
    with kit.sessions() as session:
        steps = newest_steps(session)
        return [_model(kit, session, live, one, steps.get(one.name)) for live, one in kit.rollouts.models()]


@router.get("/{name}", summary="A model's versions with their cards, its steps, and where versions differed")
def get_model(name: str, request: Request, caller: Authenticated) -> dict[str, Any]:
    """The newest registered version first."""
    caller.require_operator("models.read")
    kit = kit_of(request)
    live, model = kit.rollouts.find(name)
    with kit.sessions() as session:
        steps = steps_of(session, name, limit=SHOWN)
        found = _model(kit, session, live, model, steps[0] if steps else None)
        differing = differences_of(session, (name, steps[0].number), limit=SHOWN) if steps else []
    return found | {
        "versions": [_card(kit, name, version) for version in kit.registry.versions(name)],
        "steps": [_step(step) for step in steps],
        "differences": [one._asdict() for one in differing],
    }


@router.post("/{name}/shadow", summary="Ask a version beside the one that serves; nobody sees what it says")
def shadow(name: str, asked: StepRequest, request: Request, caller: Authenticated) -> dict[str, Any]:
    """Where the two differ is kept."""
    return _take(request, caller, name, "shadow", asked)


@router.post("/{name}/canary", summary="Let a version answer a share of subjects")
def canary(name: str, asked: CanaryRequest, request: Request, caller: Authenticated) -> dict[str, Any]:
    """Again with another share, and it changes; who saw the version in a smaller share sees it in a larger."""
    return _take(request, caller, name, "canary", asked)


@router.post("/{name}/full", summary="Let a version answer everybody; the one before stays ready")
def full(name: str, asked: StepRequest, request: Request, caller: Authenticated) -> dict[str, Any]:
    """Requests that have begun end on the version that they began with."""
    return _take(request, caller, name, "full", asked)


@router.post("/{name}/roll-back", summary="End a trial, or serve again what served before the last full step")
def roll_back(name: str, asked: RollBackRequest, request: Request, caller: Authenticated) -> dict[str, Any]:
    """The version before is loaded still, in a process that served it."""
    return _take(request, caller, name, "rolled back", asked)


def _take(request: Request, caller: Caller, name: str, state: State, asked: _Decided) -> dict[str, Any]:
    caller.require_operator("models.rollout")
    who = {"tenant": caller.tenant, "actor": caller.key_id, "request_id": request_id_of(request)}
    return _step(kit_of(request).rollouts.take(name, state, who=who, **asked.model_dump()))


def _model(kit: Kit, session: Session, live: Live, model: NamedModel, step: Step | None) -> dict[str, Any]:
    """`serving` is what this process answers with; `in_force` and `before` are what the registry says."""
    in_force = kit.registry.in_force(model.name)
    return {
        "name": model.name,
        "vertical": live.name,
        "operation": model.operation,
        "serving": live.versions.get(model.name, NONE),
        "in_force": next(iter(in_force), NONE),
        "before": list(in_force[1:]),
        "step": _step(step) if step else None,
        "counts": counts_of(session, (step.model, step.number)) if step else {},
        "fault": kit.rollouts.faults.get(model.name),
    }


def _step(step: Step) -> dict[str, Any]:
    return asdict(step) | {"at": step.at.isoformat()}


def _card(kit: Kit, name: str, version: str) -> dict[str, Any]:
    try:
        return asdict(kit.registry.card(name, version))
    except Unavailable as error:
        return {"name": name, "version": version, "fault": str(error)}
