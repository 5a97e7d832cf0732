"""What is asked of a fundus photograph's reading beyond its report, and what it says. Ignores how it is read."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from verticals.medical.evidence import Region, Side
from verticals.medical.schemas import Answer, Request

StepName = Literal["field", "quality", "side", "vessels", "candidates", "grade"]
StepState = Literal["passed", "refused", "not reached", "no validated model"]


class FundusStepsRequest(Request):
    """How one photograph is read, step by step; without `instance_id`, the one that the draft was first made from."""

    study_id: str = Field(max_length=64)
    instance_id: str | None = Field(None, max_length=64)


class FundusStep(BaseModel):
    """One step: whether it passed, and what it measured or why it refused."""

    name: StepName
    state: StepState
    reason: str


class VesselMask(BaseModel):
    """The vessels as an RGBA PNG, transparent where there are none, and the pixels of the photograph that it covers."""

    png: str  # base64
    left: float
    top: float
    right: float
    bottom: float


class FundusStepsResponse(Answer):
    """All steps in their order. Disc and fovea: where they were found; the disc's circle is of a usual size."""

    study_id: str
    instance_id: str
    sop_instance_uid: str
    model: str
    steps: list[FundusStep]
    eye: Side | None = None
    disc: Region | None = None
    fovea: Region | None = None
    vessels: VesselMask | None = None
