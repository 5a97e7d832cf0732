"""Tickets: what the model writes, what is stored, and how people work on them. Ignores who writes the texts."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, Field

from verticals.support.schemas.base import MAX_MESSAGES, Identifier, Limit, Offset, Strict
from verticals.support.schemas.messages import Message


class TicketCategory(StrEnum):
    """Which team gets the ticket."""

    DELIVERY = "delivery"
    RETURNS = "returns"
    PAYMENT = "payment"
    ACCOUNT = "account"
    WARRANTY = "warranty"
    PRIVACY = "privacy"
    ORDERS = "orders"
    PRODUCTS = "products"
    COMPLAINT = "complaint"
    OTHER = "other"


class TicketPriority(StrEnum):
    """How soon a person should look."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    URGENT = "urgent"


class TicketStatus(StrEnum):
    """Where the ticket is; new tickets are open."""

    OPEN = "open"
    CLOSED = "closed"


class TicketAction(Strict):
    """What the shop should do about a ticket: a tool of `verticals.support.shop.tools` and its arguments."""

    tool: Annotated[str, Field(min_length=1, max_length=64)]
    args: dict[str, Any] = Field(default_factory=dict)


class TicketDraft(Strict):
    """The generated part of a ticket. Its JSON Schema is the grammar that constrains the model."""

    category: TicketCategory
    priority: TicketPriority
    subject: Annotated[str, Field(min_length=3, max_length=80)]
    summary: Annotated[str, Field(min_length=3, max_length=300)]
    customer_request: Annotated[str, Field(min_length=3, max_length=300)]
    action: TicketAction | None = None  # None: nothing that a tool can do


class Ticket(TicketDraft):
    """A stored ticket."""

    ticket_id: str
    status: TicketStatus
    created_at: datetime
    conversation_id: str | None = None
    model_version: str
    customer: str | None = None  # whom an action is for
    outcome: str | None = None  # what running the action gave, in words; None until it ran


class CreateTicketRequest(Strict):
    """The conversation that the ticket is about; its last message is the customer's."""

    messages: Annotated[list[Message], Field(min_length=1, max_length=MAX_MESSAGES)]
    conversation_id: Identifier | None = None


class ListTicketsRequest(Strict):
    """A page of the queue, newest first."""

    limit: Limit = 50
    offset: Offset = 0


class TicketPage(BaseModel):
    """A page of tickets; `total` counts all of the tenant's."""

    tickets: list[Ticket]
    total: Annotated[int, Field(ge=0)]


class GetTicketRequest(Strict):
    """Which ticket."""

    ticket_id: Identifier


class EditTicketRequest(Strict):
    """New values of a ticket's fields; what is left out stays. An action that ran can no longer change."""

    ticket_id: Identifier
    category: TicketCategory | None = None
    priority: TicketPriority | None = None
    subject: Annotated[str | None, Field(min_length=3, max_length=80)] = None
    summary: Annotated[str | None, Field(min_length=3, max_length=300)] = None
    customer_request: Annotated[str | None, Field(min_length=3, max_length=300)] = None
    action: TicketAction | None = None
    status: TicketStatus | None = None


class RunTicketRequest(Strict):
    """Approve a ticket's action and run it; once, however often it is asked for."""

    ticket_id: Identifier
