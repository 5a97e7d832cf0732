"""Operators' routes for the models in this process: what serves, swap, roll back, rebalance. Ignores how that is done.

A swap touches every tenant, so it needs a key with the scope `models.swap` or `models.*`: `*` does not include it.
Models are named by their folder or file under `<TRIVIUM_HOME>/models`; no other place can be reached from here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Body, Request
from pydantic import BaseModel, ConfigDict, Field

from service.auth import Caller
from service.callers import Authenticated, kit_of
from service.core_steps import CORE
from service.kit import Kit
from service.problems import named_rule, request_id_of
from service.rollout_ledger import State
from verticals.contract import Decision, InvalidInput, NotFound, Unavailable

if TYPE_CHECKING:
    from core_model.models import ModelPool

router = APIRouter(prefix="/v1/admin/models", tags=["service"])


class StepNote(BaseModel):
    """Who changes the model, and why; kept in the audit trail and the ledger."""

    model_config = ConfigDict(extra="forbid")

    person: str = Field("", max_length=64, description="Who decides; else the key's id stands for them.")
    reason: str = Field("", max_length=1000, description="Why.")


class SwapRequest(StepNote):
    """Which model to serve."""

    folder: str = Field(min_length=1, description="A checkpoint folder or GGUF file in the models folder.")


class RebalanceRequest(BaseModel):
    """How far one step may go; see `core_model.rebalance`."""

    model_config = ConfigDict(extra="forbid")

    strength: float = Field(0.02, gt=0, le=1)
    max_change: float = Field(0.05, gt=0, le=1)


@router.get("", summary="The models in this process")
def list_models(request: Request, caller: Authenticated) -> dict[str, Any]:
    """Version, folder, swaps and load of each."""
    caller.require_operator("models.read")
    found = _pool(kit_of(request)).stats()
    return {
        name: {
            "model_version": stats.model_version,
            "folder": stats.folder.name,
            "previous": stats.previous.name if stats.previous else None,
            "num_swaps": stats.num_swaps,
            "num_draining": stats.num_draining,
            "engine": asdict(stats.engine),
        }
        for name, stats in found.items()
    }


@router.post("/{name}", summary="Serve another model under this name; requests go on meanwhile")
def swap(name: str, asked: SwapRequest, request: Request, caller: Authenticated) -> dict[str, str]:
    """Both models are in memory until the old one has finished what it has. On failure the old one stays."""
    caller.require_operator("models.swap")
    kit = kit_of(request)
    pool, folder = _pool(kit), _find(kit.settings.home / "models", asked.folder)
    return _change(request, caller, "models.swap", name, lambda: pool.swap(name, folder), asked)


@router.post("/{name}/rollback", summary="Serve again what served before the last swap")
def roll_back(
    name: str, request: Request, caller: Authenticated, asked: Annotated[StepNote, Body(default_factory=StepNote)]
) -> dict[str, str]:
    """It is loaded still, or else loaded and verified as in a swap."""
    caller.require_operator("models.swap")
    pool = _pool(kit_of(request))
    return _change(request, caller, "models.rollback", name, lambda: pool.roll_back(name), asked)


@router.post("/{name}/rebalance", summary="Even out the load of the model's experts by one step")
def rebalance(name: str, asked: RebalanceRequest, request: Request, caller: Authenticated) -> dict[str, str]:
    """Selection biases change between two steps; answers may change near ties, and so does the version."""
    from core_model.rebalance import rebalance_engine

    caller.require_operator("models.rebalance")
    pool = _pool(kit_of(request))

    def run() -> str:
        engine = pool.engine(name)
        rebalance_engine(engine, strength=asked.strength, max_change=asked.max_change)
        return engine.model_version

    return _change(request, caller, "models.rebalance", name, run)


def _change(
    request: Request, caller: Caller, kind: str, name: str, run: Callable[[], str], asked: StepNote | None = None
) -> dict[str, str]:
    """Run a change, and put it into the audit trail; a step of the core also into the ledger, which others follow."""
    kit = kit_of(request)
    before = _pool(kit).stats().get(name)
    if before is None:
        raise NotFound("no model is loaded under this name", field="name", value=name)
    try:
        version = run()
    except ValueError as error:
        raise InvalidInput(named_rule(error)[1], field="folder") from error
    versions = {"before": before.model_version, "after": version}
    digest = hashlib.sha256(f"{kind} {name} {version}".encode()).hexdigest()
    who = caller.who(request_id_of(request))
    told = {} if asked is None else asked.model_dump(include={"person", "reason"}, exclude_defaults=True)
    with kit.sessions.begin() as session:
        if asked is not None and name == CORE and kit.rollouts.core is not None:
            state: State = "full" if kind == "models.swap" else "rolled back"
            note = {"person": asked.person or caller.key_id, "reason": asked.reason, "tenant": caller.tenant}
            kit.rollouts.core.note(session, state, before=before.folder, **note)
        decision = Decision(kind, subject=name, input_sha256=digest, outcome=versions | told, model_version=version)
        kit.audit.record(decision, who=who, session=session)
    return {"name": name, **versions}


def _find(models: Path, wanted: str) -> Path:
    path = models / wanted
    if path.parent != models or wanted in (".", "..") or not path.exists():
        there = sorted(found.name for found in models.glob("[!.]*"))
        raise NotFound(f"must be one of {', '.join(there) or 'none yet'}", field="folder", value=wanted)
    return path


def _pool(kit: Kit) -> ModelPool:
    if kit.models is None:
        raise Unavailable("the model is on a remote server", remedy="Swap it there.")
    return kit.models
