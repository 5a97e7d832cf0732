"""What goes in and out of explanations, counterfactuals and exports. Ignores how they are made."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from verticals.finance.fraud.schemas import FraudSignal
from verticals.finance.histories.events import Reference
from verticals.finance.schemas import CUSTOMER_NOTE, Application, Contribution, Decision, Reason
from verticals.finance.sources.schemas import SourcePart


class ExplainRequest(Application):
    """An application to explain."""

    customer: Reference | None = Field(default=None, description=CUSTOMER_NOTE)


class ExplainResponse(BaseModel):
    """What makes up a score, and what the policy would decide. `base_logit` plus all `contributions` and `sources` is
    `logit`, within rounding of doubles."""

    points: int
    points_exact: float
    prob_default: float = Field(ge=0, le=1)
    logit: float = Field(description="ln(odds bad:good).")
    base_points: float = Field(description="Points of the average applicant of the development sample.")
    base_logit: float
    contributions: list[Contribution]
    sources: list[SourcePart] = Field(description="Empty if no customer was named.")
    fraud: FraudSignal | None = Field(description="What is suspected of the customer; null if nothing is.")
    reasons: list[Reason] = Field(max_length=4, description="Largest loss first; empty when no field is below average.")
    decision: Decision = Field(description="What the policy in force would decide; nothing is recorded.")
    refer_because: list[str] = Field(description="Why a person would have to decide, beside the score.")
    declined_because: list[str] = Field(description="Overrides of the policy that would decline.")
    policy_version: str
    reason_profile: str = Field(description="Version of the reason texts.")
    reason_source: str = Field(description="The rule that the reasons follow, with its date.")
    model_version: str
    data_note: str


class CounterfactualRequest(Application):
    """An application, and how many ways to an approval to look for."""

    limit: Annotated[int, Field(ge=1, le=20, description="At most so many ways, the smallest first.")] = 3
    customer: Reference | None = Field(
        default=None, description=f"{CUSTOMER_NOTE} They stay as they are: nobody changes them for an approval."
    )


class Change(BaseModel):
    """One field that would have to change."""

    feature: str
    label: str
    value: str | int | None = Field(description="What the application says; null = not known.")
    to: str | int = Field(description="The nearest value that is enough.")
    text: str


class Way(BaseModel):
    """Changes that together reach the approval cut-off."""

    changes: list[Change]
    points: int = Field(description="Of the changed application.")
    steps: int = Field(description="Bins passed in all changed fields; ways are ordered by fields, then by steps.")


class CounterfactualResponse(BaseModel):
    """The smallest changes that a person could make and that would approve the application; none is a promise."""

    points: int = Field(description="Of the application as it is.")
    approve_at: int
    approved: bool = Field(description="Whether it is approved as it is.")
    ways: list[Way] = Field(description="Fewest fields first; empty when nothing that can change is enough.")
    explanation: str
    fixed: list[str] = Field(description="Fields that are never changed: a person cannot act on them.")
    model_version: str
    policy_version: str
    data_note: str


class ExportRequest(BaseModel):
    """In which form the scorecard in force is wanted."""

    model_config = ConfigDict(extra="forbid")

    format: Literal["json", "sql", "onnx"] = "json"
    sources: bool = Field(
        default=False,
        description="With inputs `history_logit`, `text_logit`, `document_logit`, an answer's terms; missing is 0.",
    )
