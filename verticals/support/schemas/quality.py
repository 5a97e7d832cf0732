"""What people think of the answers, and how the desk is doing. Ignores how it is counted."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, Field, field_validator

from verticals.support.schemas.base import Identifier, Limit, Offset, Strict, refuse_nul
from verticals.support.schemas.messages import Source


class Rating(StrEnum):
    """Thumb up or thumb down."""

    UP = "up"
    DOWN = "down"


class RateAnswerRequest(Strict):
    """A thumb for one answer; a later one replaces it."""

    session_id: Identifier
    number: Annotated[int, Field(ge=1, description="Of the answer, within its session.")]
    rating: Rating
    comment: Annotated[str, Field(max_length=1_000)] = ""

    _storable = field_validator("comment")(refuse_nul)


class RatedAnswer(BaseModel):
    """An answer with its thumb, the question before it and what it could cite: an example to review."""

    session_id: str
    number: int
    rating: Rating
    comment: str
    question: str
    answer: str
    sources: list[Source]
    created_at: datetime


class ListFeedbackRequest(Strict):
    """A page of rated answers, the latest first."""

    rating: Rating | None = None
    limit: Limit = 50
    offset: Offset = 0


class FeedbackPage(BaseModel):
    """A page of rated answers; `total` counts all that fit."""

    answers: list[RatedAnswer]
    total: Annotated[int, Field(ge=0)]


class QualityRequest(Strict):
    """Of which time."""

    days: Annotated[int, Field(ge=1, le=366)] = 30


class Share(BaseModel):
    """`count` of `total`, with the 95 % Wilson interval of the share; no share of nothing."""

    count: Annotated[int, Field(ge=0)]
    total: Annotated[int, Field(ge=0)]
    share: float | None
    low: float | None
    high: float | None


class Quality(BaseModel):
    """How the desk did in the last days.

    `contained`: sessions that no person had to take. `cited`: the assistant's messages that cite a source; small talk
    and the talk about an order cite none. `liked`: rated answers with a thumb up. `waiting_*`: what a person owes now.
    """

    sessions: Annotated[int, Field(ge=0)]
    contained: Share
    cited: Share
    liked: Share
    waiting_handoffs: Annotated[int, Field(ge=0)]
    waiting_approvals: Annotated[int, Field(ge=0)]
