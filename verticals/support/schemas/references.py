"""What an answer was made from. Ignores how it was found and where it is kept."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field

from verticals.support.schemas.base import Identifier, Strict


class Citation(BaseModel):
    """A sentence of the answer rests on characters [start, end) of the text of source `number`."""

    number: Annotated[int, Field(ge=1)]
    passage_id: str
    start: Annotated[int, Field(ge=0)]
    end: Annotated[int, Field(ge=0)]


class GetReferencesRequest(Strict):
    """Which answer; its id came with the last event."""

    answer_id: Identifier


class Candidate(BaseModel):
    """A passage that the answer could cite; its text is read by searching, as long as its document is there."""

    number: Annotated[int, Field(ge=1)]
    passage_id: str
    doc_id: str
    similarity: float
    score: float


class References(BaseModel):
    """What an answer was made from: the same citations as were streamed, in the same order."""

    answer_id: str
    conversation_id: str
    query: str
    index_version: str | None
    candidates: list[Candidate]
    citations: list[Citation]
    created_at: datetime
