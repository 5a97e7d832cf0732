"""What is kept of a customer, shown to them and forgotten. Ignores how it is found."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field

from verticals.support.schemas.base import Identifier, Strict
from verticals.support.schemas.consents import Consent


class CustomerRequest(Strict):
    """Whose memory. A customer's key speaks for its customer alone and leaves this out; staff must name one."""

    customer: Identifier | None = None


class MemoryItem(BaseModel):
    """A fact that the customer stated, or what a conversation was about (`attribute` is "episode").

    It held from `valid_from` until `valid_to`, and still does if that is missing; `turn` is the message that said it.
    """

    memory_id: str
    attribute: str
    value: str
    text: str
    session_id: str
    turn: int | None
    valid_from: datetime
    valid_to: datetime | None


class MemoryView(BaseModel):
    """All that is kept of one customer, the oldest first, and what they agreed to."""

    customer: str
    memories: list[MemoryItem]
    consents: list[Consent] = Field(default_factory=list)


class ForgetMemoryRequest(CustomerRequest):
    """What to forget: one memory, or all."""

    memory_id: Identifier | None = None


class ForgetMemoryResponse(BaseModel):
    """How many memories are gone, and how many records of each other store lost the customer's words."""

    forgotten: Annotated[int, Field(ge=0)]
    erased: dict[str, int] = {}
