"""Durable sessions: their messages, the actions that people approve, the hand-off to people. Ignores the transport."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, field_validator

from verticals.support.schemas.base import MAX_MESSAGE_CHARS, Identifier, Limit, Offset, Strict, refuse_nul
from verticals.support.schemas.messages import Source
from verticals.support.schemas.tickets import TicketPriority
from verticals.support.schemas.understanding import SlotValue, Tone, Understood

Text = Annotated[str, Field(min_length=1, max_length=MAX_MESSAGE_CHARS)]
Note = Annotated[str, Field(max_length=500)]


class SessionState(StrEnum):
    """Who has the session."""

    BOT = "bot"
    WAITING = "waiting"  # for a person; the bot is silent
    PERSON = "person"
    CLOSED = "closed"


class Session(BaseModel):
    """A conversation that is kept. `customer` is None when the visitor is not known: no tool works for them."""

    session_id: str
    state: SessionState
    customer: str | None
    num_messages: int
    created_at: datetime
    updated_at: datetime


class SessionMessage(BaseModel):
    """One message; `number` counts from 1 within its session."""

    number: int
    role: Literal["customer", "assistant", "person"]
    content: str
    created_at: datetime
    sources: list[Source] = Field(default_factory=list)  # what an answer could cite
    action_id: str | None = None  # the action that the message reports
    understood: Understood | None = None  # of a customer's message that was answered


class ActionStatus(StrEnum):
    """Where an action is."""

    WAITING = "waiting"  # for a person's approval
    APPROVED = "approved"  # will run; after a crash it runs at the next call
    REJECTED = "rejected"
    DONE = "done"
    FAILED = "failed"  # a rule of the shop forbids it now


class Action(BaseModel):
    """A change that a tool makes for one customer. `words` says it, and once it is done `outcome` says the result."""

    action_id: str
    tool: str
    args: dict[str, Any]
    words: str
    status: ActionStatus
    needs_approval: bool
    customer: str
    session_id: str | None = None
    ticket_id: str | None = None
    asked_at: datetime
    decided_by: str | None = None
    decided_at: datetime | None = None
    note: str = ""
    outcome: str | None = None


class Handoff(BaseModel):
    """A session that a person is asked to take over, and what they need to act on it.

    `reason`: the customer asked, two questions in a row had no answer, or something failed. `summary` is in the
    customer's words; `intent` and `slots` are what was understood of them; `tried` is what the assistant did, oldest
    first. The inbox is sorted by `priority`, which a `tone` can raise.
    """

    handoff_id: str
    session_id: str
    status: Literal["waiting", "taken", "returned"]
    reason: Literal["asked", "unanswered", "failed"]
    priority: TicketPriority = TicketPriority.NORMAL
    tone: Tone = Tone.CALM
    intent: str | None = None
    summary: str
    tried: list[str] = Field(default_factory=list)
    slots: list[SlotValue] = Field(default_factory=list)
    customer: str | None
    person: str | None = None
    created_at: datetime
    taken_at: datetime | None = None
    returned_at: datetime | None = None


class SessionHistory(Session):
    """A session with its messages, actions and hand-offs, oldest first.

    `unanswered`: the assistant was stopped before it answered the last message; `resume_session` answers it.
    """

    messages: list[SessionMessage]
    actions: list[Action]
    handoffs: list[Handoff]
    unanswered: bool


class CreateSessionRequest(Strict):
    """Nothing to say: tenant and customer come from the key."""


class SessionRequest(Strict):
    """Which session."""

    session_id: Identifier


class ListSessionsRequest(Strict):
    """A page of sessions, the latest first; a customer sees their own."""

    state: SessionState | None = None
    limit: Limit = 50
    offset: Offset = 0


class SessionPage(BaseModel):
    """A page of sessions; `total` counts all that fit."""

    sessions: list[Session]
    total: Annotated[int, Field(ge=0)]


class SendMessageRequest(Strict):
    """The customer's next message."""

    session_id: Identifier
    content: Text
    max_tokens: Annotated[int, Field(ge=1, le=1024, description="Limit on generated tokens.")] = 160
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    seed: int | None = None

    _storable = field_validator("content")(refuse_nul)


class ListApprovalsRequest(Strict):
    """A page of the actions that need a person, the oldest first."""

    status: ActionStatus | None = ActionStatus.WAITING
    limit: Limit = 50
    offset: Offset = 0


class ApprovalPage(BaseModel):
    """A page of actions; `total` counts all that fit."""

    approvals: list[Action]
    total: Annotated[int, Field(ge=0)]


class DecideApprovalRequest(Strict):
    """A person's decision. `args` replaces arguments by name and belongs to `edit`, which approves what it changes."""

    action_id: Identifier
    decision: Literal["approve", "edit", "reject"]
    args: dict[str, Any] = Field(default_factory=dict)
    note: Note = ""

    _storable = field_validator("note")(refuse_nul)


class ListHandoffsRequest(Strict):
    """A page of hand-offs, the most urgent first, then the oldest; None for all."""

    status: Literal["waiting", "taken", "returned"] | None = "waiting"
    limit: Limit = 50
    offset: Offset = 0


class HandoffPage(BaseModel):
    """A page of hand-offs; `total` counts all that fit."""

    handoffs: list[Handoff]
    total: Annotated[int, Field(ge=0)]


class TakeOverRequest(Strict):
    """Which hand-off the caller takes."""

    handoff_id: Identifier


class ReplyAsPersonRequest(Strict):
    """What a person says to the customer."""

    handoff_id: Identifier
    content: Text

    _storable = field_validator("content")(refuse_nul)


class HandBackRequest(Strict):
    """Give the session back to the bot, or close it."""

    handoff_id: Identifier
    close: bool = False
