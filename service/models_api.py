"""Operators' routes for the language models of this process: what is loaded, register, rebalance. Ignores the steps.

They touch every tenant, so they need a key with a scope of `models` by name: `*` does not include it. Models are named
by their folder or file under `<TRIVIUM_HOME>/models`; no other place can be reached from here. A registered folder is a
version of the core, which goes by the steps of `service/rollouts_api.py`.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from service.callers import Authenticated, kit_of
from service.core_versions import CORE, register_core
from service.kit import Kit
from service.problems import named_rule, request_id_of
from verticals.contract import Decision, InvalidInput, NotFound, Unavailable

if TYPE_CHECKING:
    from core_model.models import ModelPool

router = APIRouter(prefix="/v1/admin/models", tags=["service"])


class RegisterRequest(BaseModel):
    """Which model may serve."""

    model_config = ConfigDict(extra="forbid")

    folder: str = Field(min_length=1, max_length=255, description="A checkpoint folder or GGUF file among the models.")


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
            "beside": stats.beside.name if stats.beside else None,
            "previous": stats.previous.name if stats.previous else None,
            "num_swaps": stats.num_swaps,
            "num_draining": stats.num_draining,
            "engine": asdict(stats.engine),
        }
        for name, stats in found.items()
    }


@router.post("/core/versions", summary="Register a folder as a version of the core")
def register(asked: RegisterRequest, request: Request, caller: Authenticated) -> dict[str, Any]:
    """Nobody is answered by it yet; the steps under `registered/core` bring it there. Its card, as the answer."""
    caller.require_operator("models.register")
    kit = kit_of(request)
    _pool(kit)
    card = register_core(kit.registry, kit.settings.home / "models", asked.folder)
    version = f"{card.name}@{card.version}"
    told = {"trained_on": card.trained_on, "licence": card.licence}
    decision = Decision("models.register", CORE, card.sha256, told, version)
    kit.audit.record(decision, who=caller.who(request_id_of(request)))
    return asdict(card)


@router.post("/{name}/rebalance", summary="Even out the load of the model's experts by one step")
def rebalance(name: str, asked: RebalanceRequest, request: Request, caller: Authenticated) -> dict[str, str]:
    """Selection biases change between two steps; answers may change near ties, and so does the version."""
    from core_model.rebalance import rebalance_engine

    caller.require_operator("models.rebalance")
    kit = kit_of(request)
    pool = _pool(kit)

    before = pool.stats().get(name)
    if before is None:
        raise NotFound("no model is loaded under this name", field="name", value=name)
    engine = pool.engine(name)
    try:
        rebalance_engine(engine, strength=asked.strength, max_change=asked.max_change)
    except ValueError as error:
        raise InvalidInput(named_rule(error)[1], field="name") from error
    versions = {"before": before.model_version, "after": engine.model_version}
    digest = hashlib.sha256(f"models.rebalance {name} {engine.model_version}".encode()).hexdigest()
    decision = Decision("models.rebalance", name, digest, versions, model_version=engine.model_version)
    kit.audit.record(decision, who=caller.who(request_id_of(request)))
    return {"name": name, **versions}


def _pool(kit: Kit) -> ModelPool:
    if kit.models is None:
        raise Unavailable("the model is on a remote server", remedy="Exchange it there.")
    return kit.models
