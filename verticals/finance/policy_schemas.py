"""What goes in and out of policies and strategy: versions, activations, simulations. Ignores how they are kept."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from verticals.finance.overrides import Override
from verticals.finance.schemas import Decision, Direction, Policy
from verticals.finance.sources.names import Mode, Source

MAX_SIMULATED = 100_000

Version = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")]
Cost = Annotated[float, Field(gt=0, le=1e9)]
Points = Annotated[int, Field(ge=-2000, le=2000)]


class _Strict(BaseModel):
    """Requests refuse fields that they do not know."""

    model_config = ConfigDict(extra="forbid")


# --- versions --------------------------------------------------------------------------------------------------------


class PolicyDraft(_Strict):
    """A new version. Without cut-offs they follow from the costs, as a review costs as much as deciding there."""

    version: Version
    effective_from: date = Field(description="It cannot be activated before this day.")
    cost_bad_approved: Cost
    cost_good_declined: Cost
    cost_review: Cost
    approve_at: Points | None = Field(default=None, description="Set by hand; needs `decline_below` too.")
    decline_below: Points | None = None
    overrides: list[Override] = Field(default=[], max_length=50)
    four_eyes: list[Direction] = Field(
        default=[], max_length=3, description="Manual decisions that a second person must confirm."
    )
    sources: dict[Source, Mode] = Field(
        default={}, description="How each source beside the application counts; one that is not named is off."
    )
    source: str = Field(min_length=10, max_length=1000, description="Where the numbers come from, and who set them.")


class StoredPolicy(BaseModel):
    """A version as kept; it never changes."""

    policy: Policy
    active: bool
    built_in: bool = Field(description="Came with the product.")
    sha256: str
    created_by: str
    created_at: datetime | None = Field(description="null for the built-in one.")


class PoliciesRequest(_Strict):
    """A page of versions, newest first; the built-in one is last."""

    limit: Annotated[int, Field(ge=1, le=200)] = 50
    offset: Annotated[int, Field(ge=0)] = 0


class Activation(BaseModel):
    """When which version came into force, by whom and why."""

    number: int
    step: Literal["activate", "roll back"]
    version: str
    previous: str
    reason: str
    actor: str
    created_at: datetime


class PolicyPage(BaseModel):
    """Versions of the caller's tenant, and the last 50 activations, newest first."""

    active: str
    policies: list[StoredPolicy]
    total: int
    activations: list[Activation]


class PolicyRequest(_Strict):
    """One version."""

    version: Version


class ActivateRequest(_Strict):
    """Bring a stored version into force."""

    version: Version
    reason: str = Field(min_length=10, max_length=500)


class RollBackRequest(_Strict):
    """Go back to the version that was in force before the active one."""

    reason: str = Field(min_length=10, max_length=500)


# --- simulation ------------------------------------------------------------------------------------------------------


class SimulatedSample(_Strict):
    """Scored applicants with outcomes, as columns of one length. Overrides are not applied: no fields are given."""

    points: list[float] = Field(min_length=2, max_length=MAX_SIMULATED)
    default: list[Literal[0, 1]] = Field(min_length=2, max_length=MAX_SIMULATED)
    amount: list[Annotated[float, Field(gt=0, le=1e12)]] | None = Field(
        default=None, description="1 each if not given."
    )


class SimulateRequest(_Strict):
    """A proposed policy against the active one: a stored `version`, or cut-offs alone.

    Without a `sample` the development sample is used, out of fold, with its amounts in DM.
    """

    version: Version | None = None
    approve_at: Points | None = None
    decline_below: Points | None = None
    loss_given_default: float = Field(default=0.45, ge=0, le=1, description="Share of the amount lost on a bad credit.")
    margin: float = Field(
        default=0.09, ge=0, le=1, description="Share of the amount earned on a good one; .45 to .09 is 5 to 1."
    )
    sample: SimulatedSample | None = None


class Estimate(BaseModel):
    """A figure with its 95 % interval; null where nobody is left to measure it on."""

    value: float | None
    low: float | None
    high: float | None


class CutOff(BaseModel):
    """What happens when everyone at this many points or more is approved."""

    approve_at: int
    approval_rate: Estimate
    default_rate: Estimate = Field(description="Of the approved.")
    loss: Estimate = Field(description="Mean over all applicants, in the amount's unit.")
    profit: Estimate = Field(description="Margin less loss, mean over all applicants.")


class PolicyOutcome(BaseModel):
    """What a policy does to the sample; referred and declined applicants earn and lose nothing here."""

    version: str
    approve_at: int
    decline_below: int
    shares: dict[Decision, float]
    default_rate: Estimate = Field(description="Of the approved.")
    loss: Estimate
    profit: Estimate


class SwapCell(BaseModel):
    """Applicants by both policies' decisions."""

    current: Decision
    proposed: Decision
    count: int
    share: float
    default_rate: Estimate


class SwapSet(BaseModel):
    """Applicants approved by one policy alone."""

    count: int
    share: float
    default_rate: Estimate
    profit: Estimate = Field(description="If approved; mean over the set.")


class SimulateResponse(BaseModel):
    """A simulated strategy."""

    sample: str
    n: int
    model_version: str
    current: PolicyOutcome
    proposed: PolicyOutcome
    swap_in: SwapSet = Field(description="Approved by the proposed policy alone.")
    swap_out: SwapSet = Field(description="Approved by the current policy alone.")
    migration: list[SwapCell]
    profit_change: Estimate = Field(description="Proposed less current, the same applicants, mean over all.")
    curve: list[CutOff]
    notes: list[str]
    synthetic: Literal[False] = False
