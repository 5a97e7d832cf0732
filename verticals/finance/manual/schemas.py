"""What goes in and out of manual decisions. Ignores how they are kept."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from verticals.finance.manual.reasons import REASONS as REASONS
from verticals.finance.manual.reasons import Code
from verticals.finance.manual.reasons import ManualDecision as ManualDecision
from verticals.finance.schemas import ApplicationId, Decision, DecisionItem, Direction

ManualState = Literal["in_force", "proposed", "rejected"]
Text = Annotated[
    str, Field(min_length=10, max_length=500, description="What was found, without names or other personal details.")
]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class OverrideRequest(_Strict):
    """Decide otherwise than the policy did, on the application's newest score."""

    application_id: ApplicationId
    decision: ManualDecision
    reason: Code
    text: Text


class ConfirmRequest(_Strict):
    """A second person's word on a proposed decision."""

    override_id: ApplicationId
    agree: bool
    text: Text


class RecordRequest(_Strict):
    """Which application."""

    application_id: ApplicationId


class ProposedRequest(_Strict):
    """A page of decisions that wait for a second person, oldest first."""

    limit: Annotated[int, Field(ge=1, le=500)] = 50
    offset: Annotated[int, Field(ge=0)] = 0


class ManualOverride(BaseModel):
    """A person's decision beside the policy's."""

    override_id: str
    application_id: str
    automatic: Decision = Field(description="What the policy decided.")
    decision: ManualDecision
    direction: Direction
    reason: Code
    reason_text: str
    reason_text_zh: str
    text: str
    state: ManualState = Field(description="`proposed` waits for a second person, as the policy asks.")
    decided_by: str = Field(description="The key that decided.")
    decided_at: datetime
    second_by: str | None = Field(description="The key that confirmed or rejected it; null: none was asked.")
    second_text: str | None
    second_at: datetime | None


class ScoredItem(DecisionItem):
    """A scoring with what people decided on it, oldest first."""

    overrides: list[ManualOverride]


class ApplicationRecord(BaseModel):
    """Everything that was decided on an application: by the policy and by people."""

    application_id: str
    scorings: list[ScoredItem] = Field(description="Newest first.")
    decision: Decision = Field(description="What holds: a person's decision in force on the newest score, or its own.")
    decided_by: str | None = Field(description="The key of the person; null: the policy.")


class ProposedPage(BaseModel):
    """Decisions of the caller's tenant that wait."""

    items: list[ManualOverride]
    total: int
    limit: int
    offset: int
