"""Write a ticket (grammar-constrained, checked against the customer's words) and keep it. Ignores who works on it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import jsonschema
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from retrieval.documents import Hit
from retrieval.grounding import Evidence, content_stems, find_support
from retrieval.sentences import split_sentences
from verticals.contract import Context, Decision, NotFound
from verticals.support.prompting import as_data, load_prompt
from verticals.support.schemas import (
    Message,
    Ticket,
    TicketCategory,
    TicketDraft,
    TicketPage,
    TicketPriority,
    TicketStatus,
)
from verticals.support.tables import TicketRow
from verticals.support.triage import decide_category, decide_priority

MAX_TICKET_TOKENS = 220
_TELLING_WORDS = 4
_PROMPT_CHARS = 1_500  # of the conversation: a small model reads no more with profit
_LIMITS = {"subject": 80, "summary": 300, "customer_request": 300}  # as in `TicketDraft`
_TEXTS = tuple(_LIMITS)


def ticket_schema(category: TicketCategory, priority: TicketPriority) -> dict[str, Any]:
    """JSON Schema of a draft whose category and priority are decided; the model writes the texts only."""
    properties = TicketDraft.model_json_schema()["properties"]
    texts = {key: {k: properties[key][k] for k in ("type", "minLength", "maxLength")} for key in _TEXTS}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {"category": {"const": str(category)}, "priority": {"const": str(priority)}, **texts},
        "required": ["category", "priority", *_TEXTS],
        "additionalProperties": False,
    }


def draft_ticket(model: BaseChatModel, window: Sequence[Message], hits: Sequence[Hit] = ()) -> TicketDraft:
    """A schema-valid draft of a ticket about the conversation.

    A text of the model is kept only if the customer said every sentence of it (`find_support`); else the customer's own
    words stand there, trimmed. A model without constrained decoding may return anything: what breaks the schema is not
    used.
    """
    said = _telling([message.content for message in window if message.role == "user"])
    category, priority = decide_category(said, hits), decide_priority(said)
    texts = _own_words(said, category)
    evidence = [Evidence(sentence.text, i) for i, text in enumerate(said) for sentence in split_sentences(text)]
    evidence += [Evidence(" ".join(text.split()), i) for i, text in enumerate(said)]
    written_json = read_json(write_json(model, window, category, priority), category, priority) or {}
    for key, written in written_json.items():
        sentences = [sentence.text for sentence in split_sentences(written)]
        repeats = len(set(sentences)) < len(sentences)
        if key not in _TEXTS or not sentences or repeats or (key == "summary" and not _covers(written, said[-1])):
            continue
        if all(find_support(sentence, evidence, kept=0.0) for sentence in sentences):
            texts[key] = _trim(written, _LIMITS[key])
    return TicketDraft(category=category, priority=priority, **texts)


def write_json(
    model: BaseChatModel,
    window: Sequence[Message],
    category: TicketCategory,
    priority: TicketPriority,
    *,
    constrained: bool = True,
) -> str:
    """What the model writes when asked for the ticket; unconstrained only to measure what the grammar is worth."""
    lines = [f"{'Customer' if m.role == 'user' else 'Assistant'}: {as_data(m.content)}" for m in window]
    talk = "\n".join(lines)[-_PROMPT_CHARS:]
    ask = HumanMessage(f"Category: {category}. Priority: {priority}.\n<conversation>\n{talk}\n</conversation>")
    wanted = {"type": "json_schema", "json_schema": {"name": "ticket", "schema": ticket_schema(category, priority)}}
    grammar = {"response_format": wanted} if constrained else {}
    bound = model.bind(max_tokens=MAX_TICKET_TOKENS, temperature=0.0, **grammar)
    return str(bound.invoke([*load_prompt("ticket"), ask]).text)


def read_json(text: str, category: TicketCategory, priority: TicketPriority) -> dict[str, str] | None:
    """The ticket in the model's text; None if it is not JSON or breaks the schema."""
    try:
        written = json.loads(text)
        jsonschema.validate(written, ticket_schema(category, priority))
    except (json.JSONDecodeError, jsonschema.ValidationError):
        return None
    return dict(written)


def _own_words(said: Sequence[str], category: TicketCategory) -> dict[str, str]:
    """Texts without a model: subject and request are the last message, the summary is all of them."""
    return {
        "subject": _trim(f"{category.capitalize()}: {said[-1]}", _LIMITS["subject"]),
        "summary": _trim(" / ".join(said), _LIMITS["summary"]),
        "customer_request": _trim(said[-1], _LIMITS["customer_request"]),
    }


def _covers(summary: str, message: str) -> bool:
    """Whether a summary keeps half of what a message is about: "wants to speak to a person" must not lose the fire."""
    wanted = set(content_stems(message))
    return 2 * len(wanted & set(content_stems(summary))) >= len(wanted)


def _telling(said: Sequence[str]) -> list[str]:
    """The messages that say what it is about, without "yes please"; all of them if none does."""
    return [text for text in said if len(text.split()) >= _TELLING_WORDS] or list(said)


def _trim(text: str, limit: int) -> str:
    """One line of at most `limit` characters, cut between words; at least three characters, as the schema asks."""
    text = " ".join(text.split())
    if len(text) > limit:
        text = (text[: limit - 1].rsplit(" ", 1)[0] or text[: limit - 1]) + "…"
    return text.ljust(3, ".")


class TicketDesk:
    """Opens tickets and reads them back, one tenant at a time."""

    def __init__(self, sessions: sessionmaker[Session], model: BaseChatModel, model_version: Callable[[], str]) -> None:
        self._sessions, self._model, self._model_version = sessions, model, model_version

    def open(
        self, window: Sequence[Message], context: Context, *, conversation_id: str, hits: Sequence[Hit] = ()
    ) -> Ticket:
        """Draft, store and record a ticket; the same conversation at the same turn gives the ticket it already has."""
        digest = messages_sha256(window)
        key = hashlib.sha256(f"{context.tenant}\n{conversation_id}\n{digest}".encode()).hexdigest()[:12].upper()
        ticket_id = f"T-{key}"
        if (known := self._find(ticket_id, context.tenant)) is not None:
            return known
        draft = draft_ticket(self._model, window, hits)
        row = TicketRow(
            tenant=context.tenant,
            ticket_id=ticket_id,
            **draft.model_dump(mode="json"),
            status=TicketStatus.OPEN.value,
            conversation_id=conversation_id,
            model_version=self._model_version(),
            actor=context.actor,
            created_at=datetime.now(UTC),
        )
        decision = Decision(
            kind="support.ticket",
            subject=ticket_id,
            input_sha256=digest,
            outcome={
                "conversation_id": conversation_id,
                "category": str(draft.category),
                "priority": str(draft.priority),
                "retrieved": [hit.passage_id for hit in hits],
            },
            model_version=self._model_version(),
        )
        try:
            with self._sessions() as session:
                session.add(row)
                context.record(decision, session=session)
                session.commit()
        except IntegrityError:  # the same request came twice at once
            return self.get(ticket_id, context.tenant)
        return self.get(ticket_id, context.tenant)

    def get(self, ticket_id: str, tenant: str) -> Ticket:
        """One ticket.

        Raises:
            NotFound: the tenant has no such ticket.
        """
        if (ticket := self._find(ticket_id, tenant)) is None:
            raise NotFound(
                "no such ticket", field="ticket_id", value=ticket_id, remedy="List tickets to see their ids."
            )
        return ticket

    def list(self, tenant: str, *, limit: int, offset: int) -> TicketPage:
        """A page of tickets, newest first, and how many there are."""
        mine = select(TicketRow).where(TicketRow.tenant == tenant)
        page = mine.order_by(TicketRow.created_at.desc(), TicketRow.ticket_id).limit(limit).offset(offset)
        with self._sessions() as session:
            total = session.scalar(select(func.count()).select_from(mine.subquery())) or 0
            return TicketPage(tickets=[_to_ticket(row) for row in session.scalars(page)], total=total)

    def _find(self, ticket_id: str, tenant: str) -> Ticket | None:
        with self._sessions() as session:
            row = session.get(TicketRow, (tenant, ticket_id))
            return _to_ticket(row) if row else None


def messages_sha256(messages: Sequence[Message]) -> str:
    """Fingerprint of a conversation, for the audit trail."""
    canonical = json.dumps([[m.role, m.content] for m in messages], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _to_ticket(row: TicketRow) -> Ticket:
    created = row.created_at if row.created_at.tzinfo else row.created_at.replace(tzinfo=UTC)  # SQLite drops the zone
    return Ticket(
        category=TicketCategory(row.category),
        priority=TicketPriority(row.priority),
        subject=row.subject,
        summary=row.summary,
        customer_request=row.customer_request,
        ticket_id=row.ticket_id,
        status=TicketStatus(row.status),
        created_at=created,
        conversation_id=row.conversation_id,
        model_version=row.model_version,
    )
