"""What goes in and out of the portfolio: outcomes, and what was decided over time. Ignores how it is computed."""

from __future__ import annotations

from datetime import date

from pydantic import BaseModel, ConfigDict, Field

from verticals.finance.schemas import ApplicationId, Decision, Direction
from verticals.finance.validation.rules import Grade

MAX_OUTCOMES = 10_000
MAX_DECISIONS = 500_000


class _Strict(BaseModel):
    """Requests refuse fields that they do not know."""

    model_config = ConfigDict(extra="forbid")


class Outcome(_Strict):
    """How one credit turned out so far; a later report replaces it."""

    application_id: ApplicationId
    defaulted: bool
    observed_on: date = Field(description="The day of the default, or the last day on which the credit was seen good.")


class OutcomesRequest(_Strict):
    """Outcomes of applications that were scored here."""

    outcomes: list[Outcome] = Field(min_length=1, max_length=MAX_OUTCOMES)


class Refused(BaseModel):
    """An outcome that was not kept, by its place in the request."""

    index: int
    application_id: str
    rule: str
    remedy: str


class OutcomesResponse(BaseModel):
    """What was kept; the refused ones changed nothing."""

    kept: int
    replaced: int = Field(description="Of the kept: reports that replaced another.")
    refused: list[Refused]


class PortfolioRequest(_Strict):
    """Decisions of a time, by day in UTC; the last twelve months if nothing is given."""

    first: date | None = None
    last: date | None = None


class Month(BaseModel):
    """Decisions of one month."""

    month: str = Field(examples=["2026-11"])
    count: int
    shares: dict[Decision, float]
    mean_points: float
    mean_prob_default: float


class PointsBin(BaseModel):
    """How many score in [low, high): now, and of the development sample."""

    low: int
    high: int
    count: int
    reference: int


class Shift(BaseModel):
    """Whether the scores come from the development sample's population."""

    psi: float
    low: float = Field(description="95 % interval of the population's PSI.")
    high: float
    confidence: float | None = Field(description="Of the test that the two differ, 0-1; null: too few to tell.")
    grade: Grade


class Move(BaseModel):
    """Applications that were scored more than once, by their first and last decision in the time."""

    first: Decision
    last: Decision
    count: int


class VintageRow(BaseModel):
    """Credits by the month of their last approval whose outcome is known."""

    month: str
    approved: int
    known: int
    defaults: int
    default_rate: float | None
    low: float | None = Field(description="95 % Jeffreys interval.")
    high: float | None
    expected: float | None = Field(description="Mean probability of default of the known ones.")
    by_age: list[float] = Field(description="Share of the known that had defaulted after 0, 1, 2, ... months.")


class OverrideRow(BaseModel):
    """How often people decided otherwise, one way."""

    direction: Direction
    count: int
    of: int = Field(description="Decisions of the policy that could have been replaced this way.")
    rate: float | None = Field(description="null: there were none.")
    low: float | None = Field(description="95 % Jeffreys interval.")
    high: float | None
    reasons: dict[str, int] = Field(description="By code, the most frequent first.")
    approved_known: int = Field(description="Credits that a person granted and whose outcome is known.")
    approved_defaults: int


class PortfolioResponse(BaseModel):
    """A tenant's decisions over a time."""

    first: date
    last: date
    count: int
    months: list[Month]
    bins: list[PointsBin]
    shift: Shift | None = Field(description="null without decisions.")
    moves: list[Move]
    vintages: list[VintageRow]
    overrides: list[OverrideRow] = Field(description="Manual decisions in force, by direction.")
    note: str
