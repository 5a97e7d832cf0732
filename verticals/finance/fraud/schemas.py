"""What goes in and out of the case queue. Ignores who suspects, and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from verticals.finance.histories.events import Reference

SubjectKind = Literal["application", "transaction"]
State = Literal["open", "fraud", "genuine"]
Verdict = Literal["fraud", "genuine"]
Reason = Literal[
    "customer_denies", "document_forged", "known_pattern", "customer_confirms", "document_checked", "false_alarm"
]
REASONS: dict[Verdict, tuple[Reason, ...]] = {
    "fraud": ("customer_denies", "document_forged", "known_pattern"),
    "genuine": ("customer_confirms", "document_checked", "false_alarm"),
}
"""Which reasons stand for which decision."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Signal(_Strict):
    """One ground of suspicion."""

    name: Annotated[str, Field(max_length=64, pattern=r"^[a-z][a-z0-9_]*$")]
    value: Annotated[float, Field(allow_inf_nan=False)]


class OpenCaseRequest(_Strict):
    """Suspect an application or a card transaction. Again for the same subject: the case that is there."""

    subject_kind: SubjectKind
    subject: Reference
    customer: Reference | None = Field(
        default=None,
        description="Whose it is: until it is found genuine, a person decides the customer's applications.",
    )
    score: Annotated[float, Field(ge=0, le=1, description="How strong the suspicion is; the queue is in its order.")]
    signals: Annotated[list[Signal], Field(min_length=1, max_length=20)]
    source: Annotated[str, Field(max_length=128, pattern=r"^[A-Za-z0-9._:@-]+$", description="Model or rule set.")]


class CaseRequest(_Strict):
    """Which case."""

    case_id: Reference


class CasesRequest(_Strict):
    """A page of the queue, strongest suspicion first."""

    state: State = "open"
    limit: Annotated[int, Field(ge=1, le=500)] = 50
    offset: Annotated[int, Field(ge=0)] = 0


class DecideCaseRequest(_Strict):
    """What a person found; final. `REASONS` says which reasons fit which decision."""

    case_id: Reference
    decision: Verdict
    reason: Reason


class Case(BaseModel):
    """A suspicion, and its decision once there is one."""

    case_id: str
    subject_kind: SubjectKind
    subject: str
    customer: str | None = Field(description="null where nobody named one, and once the customer is erased.")
    score: float
    signals: list[Signal]
    source: str
    state: State
    opened_at: datetime
    decided_at: datetime | None
    decided_by: str | None = Field(description="The key that decided.")
    reason: Reason | None


@dataclass(frozen=True)
class FraudSignal:
    """What is suspected of a customer: cases of card transactions and applications; genuine ones do not count.

    A case does not tell a culprit from a victim. So the signal moves no point and declines nobody: it leaves the
    decision to a person.
    """

    open_cases: int
    confirmed_cases: Annotated[int, Field(description="Found fraud by a person.")]
    score: Annotated[float, Field(description="The strongest suspicion, 0-1.")]

    @property
    def doubt(self) -> str:
        """Why a person must decide."""
        cases = "case" if self.open_cases == 1 else "cases"
        return f"Suspected fraud: {self.open_cases} {cases} open, {self.confirmed_cases} confirmed"


class CasePage(BaseModel):
    """Cases of the caller's tenant."""

    items: list[Case]
    total: int
    limit: int
    offset: int
