"""A chat: its request, and the events of a streamed answer. Ignores how answers are found."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, RootModel

from verticals.support.schemas.base import MAX_MESSAGES, Identifier, Strict
from verticals.support.schemas.memory import MemoryItem
from verticals.support.schemas.messages import Message, Source, Usage
from verticals.support.schemas.references import Citation
from verticals.support.schemas.sessions import Action, Handoff, SessionState
from verticals.support.schemas.tickets import Ticket
from verticals.support.schemas.understanding import Understood


class ChatRequest(Strict):
    """A conversation whose last message is the customer's; earlier turns are its context (the last five are read)."""

    messages: Annotated[list[Message], Field(min_length=1, max_length=MAX_MESSAGES)]
    max_tokens: Annotated[int, Field(ge=1, le=1024, description="Limit on generated tokens.")] = 160
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    seed: int | None = None
    conversation_id: Identifier | None = None


class SourcesEvent(BaseModel):
    """The passages that this answer may cite, and what was searched for; before its text, if there was a search."""

    type: Literal["sources"] = "sources"
    sources: list[Source]
    query: str = ""


class DeltaEvent(BaseModel):
    """Text to append to the answer."""

    type: Literal["delta"] = "delta"
    text: str


class CitationEvent(Citation):
    """Where the sentence that comes next stands in its source; one before each factual sentence."""

    type: Literal["citation"] = "citation"


class TicketEvent(BaseModel):
    """A ticket was opened for the customer."""

    type: Literal["ticket"] = "ticket"
    ticket: Ticket


class ActionEvent(BaseModel):
    """What the shop was asked to do for the customer: it waits for a person, is done, or failed."""

    type: Literal["action"] = "action"
    action: Action


class HandoffEvent(BaseModel):
    """A person was asked to take the session over."""

    type: Literal["handoff"] = "handoff"
    handoff: Handoff


class MemoryEvent(BaseModel):
    """What is remembered of the customer that bears on their message."""

    type: Literal["memory"] = "memory"
    memories: list[MemoryItem]


class UnderstandingEvent(Understood):
    """What was understood of the message; after the answer, which it does not keep waiting."""

    type: Literal["understanding"] = "understanding"


class DoneEvent(BaseModel):
    """The last event. `answered` is false when the knowledge base does not hold the answer or a person takes over.

    `answer_id` reads the answer's references back; None if nothing was searched for.
    """

    type: Literal["done"] = "done"
    finish_reason: Literal["stop", "length"]
    usage: Usage
    answered: bool
    conversation_id: str
    answer_id: Identifier | None = None
    session_state: SessionState | None = None  # None for a chat without a session


AnyEvent = (
    MemoryEvent
    | SourcesEvent
    | CitationEvent
    | DeltaEvent
    | TicketEvent
    | ActionEvent
    | HandoffEvent
    | UnderstandingEvent
    | DoneEvent
)


class ChatEvent(RootModel[Annotated[AnyEvent, Field(discriminator="type")]]):
    """One event of a streamed answer; read it through `.root`.

    Memory, sources, then deltas, each that states a fact after its citation, at most one each of action, ticket and
    hand-off, what was understood if anything was, then done. Memory, actions and hand-offs are of sessions.
    """
