"""What goes in and out of customer support: chat, search, tickets, documents. Ignores how answers are found."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel, field_validator

MAX_MESSAGES = 200
MAX_MESSAGE_CHARS = 16_000
MAX_DOCUMENT_CHARS = 400_000

Identifier = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9._:-]+$")]


class _Strict(BaseModel):
    """Requests refuse fields that they do not know."""

    model_config = ConfigDict(extra="forbid")


# --- chat ------------------------------------------------------------------------------------------------------------


class Message(_Strict):
    """One turn's text. System messages are accepted, for clients that send one, and ignored: the shop's rules hold."""

    role: Literal["system", "user", "assistant"]
    content: Annotated[str, Field(max_length=MAX_MESSAGE_CHARS)]

    @field_validator("content")
    @classmethod
    def _refuse_nul(cls, content: str) -> str:
        if "\0" in content:  # PostgreSQL cannot store it
            raise ValueError("holds a NUL character")
        return content


class ChatRequest(_Strict):
    """A conversation whose last message is the customer's; earlier turns are its context (the last five are read)."""

    messages: Annotated[list[Message], Field(min_length=1, max_length=MAX_MESSAGES)]
    max_tokens: Annotated[int, Field(ge=1, le=1024, description="Limit on generated tokens.")] = 160
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    seed: int | None = None
    conversation_id: Identifier | None = None


class Source(BaseModel):
    """A passage that an answer may cite as `[number]`."""

    number: Annotated[int, Field(ge=1)]
    passage_id: str
    doc_id: str
    title: str
    heading: str
    text: str
    similarity: Annotated[float, Field(ge=-1.001, le=1.001, description="Cosine of query and passage.")]
    score: Annotated[float, Field(description="Rank score, comparable within one query only.")]


class Usage(BaseModel):
    """Tokens that the language model read and wrote."""

    prompt_tokens: Annotated[int, Field(ge=0)] = 0
    completion_tokens: Annotated[int, Field(ge=0)] = 0


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


class TicketDraft(_Strict):
    """The generated part of a ticket. Its JSON Schema is the grammar that constrains the model."""

    category: TicketCategory
    priority: TicketPriority
    subject: Annotated[str, Field(min_length=3, max_length=80)]
    summary: Annotated[str, Field(min_length=3, max_length=300)]
    customer_request: Annotated[str, Field(min_length=3, max_length=300)]


class Ticket(TicketDraft):
    """A stored ticket."""

    ticket_id: str
    status: TicketStatus
    created_at: datetime
    conversation_id: str | None = None
    model_version: str


class SourcesEvent(BaseModel):
    """The passages that this answer may cite, and what was searched for; before its text, if there was a search."""

    type: Literal["sources"] = "sources"
    sources: list[Source]
    query: str = ""


class DeltaEvent(BaseModel):
    """Text to append to the answer."""

    type: Literal["delta"] = "delta"
    text: str


class Citation(BaseModel):
    """A sentence of the answer rests on characters [start, end) of the text of source `number`."""

    number: Annotated[int, Field(ge=1)]
    passage_id: str
    start: Annotated[int, Field(ge=0)]
    end: Annotated[int, Field(ge=0)]


class CitationEvent(Citation):
    """Where the sentence that comes next stands in its source; one before each factual sentence."""

    type: Literal["citation"] = "citation"


class TicketEvent(BaseModel):
    """A ticket was opened for the customer."""

    type: Literal["ticket"] = "ticket"
    ticket: Ticket


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


class ChatEvent(
    RootModel[
        Annotated[SourcesEvent | DeltaEvent | CitationEvent | TicketEvent | DoneEvent, Field(discriminator="type")]
    ],
):
    """One event of a streamed answer; read it through `.root`.

    Sources, then deltas, each that states a fact after its citation, at most one ticket, then done.
    """


# --- references ------------------------------------------------------------------------------------------------------


class GetReferencesRequest(_Strict):
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


# --- search ----------------------------------------------------------------------------------------------------------


class SearchRequest(_Strict):
    """A question to the knowledge base alone, without the agent."""

    query: Annotated[str, Field(min_length=1, max_length=2_000)]
    k: Annotated[int, Field(ge=1, le=50)] = 5


class SearchResponse(BaseModel):
    """Passages, best first."""

    hits: list[Source]


# --- tickets ---------------------------------------------------------------------------------------------------------


class CreateTicketRequest(_Strict):
    """The conversation that the ticket is about; its last message is the customer's."""

    messages: Annotated[list[Message], Field(min_length=1, max_length=MAX_MESSAGES)]
    conversation_id: Identifier | None = None


class ListTicketsRequest(_Strict):
    """A page of the queue, newest first."""

    limit: Annotated[int, Field(ge=1, le=200)] = 50
    offset: Annotated[int, Field(ge=0)] = 0


class TicketPage(BaseModel):
    """A page of tickets; `total` counts all of the tenant's."""

    tickets: list[Ticket]
    total: Annotated[int, Field(ge=0)]


class GetTicketRequest(_Strict):
    """Which ticket."""

    ticket_id: Identifier


# --- documents -------------------------------------------------------------------------------------------------------


class DocumentInput(_Strict):
    """A Markdown document. The same `doc_id` again replaces it."""

    doc_id: Identifier
    title: Annotated[str, Field(min_length=1, max_length=300)]
    text: Annotated[str, Field(min_length=1, max_length=MAX_DOCUMENT_CHARS)]
    metadata: dict[str, Any] = Field(default_factory=dict)


class IngestRequest(_Strict):
    """Documents to add or replace."""

    documents: Annotated[list[DocumentInput], Field(min_length=1, max_length=500)]


class SkippedDocument(BaseModel):
    """A document that was left out, and why."""

    doc_id: str
    reason: str


class IngestResponse(BaseModel):
    """What the knowledge base did, in documents. On return, searches find the new content."""

    added: int
    replaced: int
    unchanged: int
    skipped: list[SkippedDocument] = Field(default_factory=list)


class ListDocumentsRequest(_Strict):
    """A page of the knowledge base, by document id."""

    limit: Annotated[int, Field(ge=1, le=500)] = 200
    offset: Annotated[int, Field(ge=0)] = 0


class DocumentInfo(BaseModel):
    """A stored document without its text."""

    doc_id: str
    title: str
    passages: int
    metadata: dict[str, Any] = Field(default_factory=dict)


class DocumentPage(BaseModel):
    """A page of documents; `total` counts all of the tenant's."""

    documents: list[DocumentInfo]
    total: Annotated[int, Field(ge=0)]


class DeleteDocumentRequest(_Strict):
    """Which document."""

    doc_id: Identifier


class DeleteDocumentResponse(BaseModel):
    """The document is gone and is never returned again."""

    doc_id: str
    deleted: Literal[True] = True
