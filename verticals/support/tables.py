"""Where sessions, actions, hand-offs and tickets are kept. Ignores how they come about; the shop has its own tables."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Boolean, Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

import verticals.support.memory.tables
import verticals.support.safety.verdicts
import verticals.support.shop.tables  # noqa: F401  (all register their tables on the shared metadata)
from verticals.contract import Base, Time


class TicketRow(Base):
    """A ticket; see `schemas.Ticket`. `actor` is the key or person that opened it."""

    __tablename__ = "support_tickets"
    __table_args__ = (Index("ix_support_tickets_queue", "tenant", "created_at"),)

    tenant: Mapped[str] = mapped_column(String(200), primary_key=True)
    ticket_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    category: Mapped[str] = mapped_column(String(20))
    priority: Mapped[str] = mapped_column(String(20))
    status: Mapped[str] = mapped_column(String(20))
    subject: Mapped[str] = mapped_column(Text)
    summary: Mapped[str] = mapped_column(Text)
    customer_request: Mapped[str] = mapped_column(Text)
    customer: Mapped[str | None] = mapped_column(String(128))
    action: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    outcome: Mapped[str | None] = mapped_column(Text)
    conversation_id: Mapped[str | None] = mapped_column(String(128))
    model_version: Mapped[str] = mapped_column(String(200))
    actor: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(Time)


class SessionRow(Base):
    """A session; `num_messages` numbers its messages, and whoever raises it holds the row."""

    __tablename__ = "support_sessions"
    __table_args__ = (Index("ix_support_sessions_updated", "tenant", "updated_at"),)

    tenant: Mapped[str] = mapped_column(String(200), primary_key=True)
    session_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    customer: Mapped[str | None] = mapped_column(String(128))
    state: Mapped[str] = mapped_column(String(20))
    num_messages: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime] = mapped_column(Time)
    updated_at: Mapped[datetime] = mapped_column(Time)


class MessageRow(Base):
    """A message of a session. The bot owes an answer to one with `wants_answer`; `action_id` is what it reports.

    Of a customer's message `understood` is its reading, kept with its answer, and `failures` counts how often the agent
    broke off before it had one.
    """

    __tablename__ = "support_messages"

    tenant: Mapped[str] = mapped_column(String(200), primary_key=True)
    session_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    role: Mapped[str] = mapped_column(String(20))
    content: Mapped[str] = mapped_column(Text)
    sources: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    wants_answer: Mapped[bool] = mapped_column(Boolean)
    action_id: Mapped[str | None] = mapped_column(String(64))
    understood: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    failures: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime] = mapped_column(Time)


class ConsentRow(Base):
    """A customer's recorded yes to one kind of signal; see `schemas.Consent`."""

    __tablename__ = "support_consents"

    tenant: Mapped[str] = mapped_column(String(200), primary_key=True)
    customer: Mapped[str] = mapped_column(String(128), primary_key=True)
    modality: Mapped[str] = mapped_column(String(20), primary_key=True)
    given_at: Mapped[datetime] = mapped_column(Time, primary_key=True)
    wording_version: Mapped[str] = mapped_column(String(128))
    withdrawn_at: Mapped[datetime | None] = mapped_column(Time)


class ActionRow(Base):
    """A change that was asked for; see `schemas.Action`. Its id is the idempotency key of its execution."""

    __tablename__ = "support_actions"
    __table_args__ = (Index("ix_support_actions_status", "tenant", "status", "asked_at"),)

    tenant: Mapped[str] = mapped_column(String(200), primary_key=True)
    action_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    customer: Mapped[str] = mapped_column(String(128))
    session_id: Mapped[str | None] = mapped_column(String(64))
    ticket_id: Mapped[str | None] = mapped_column(String(128))
    tool: Mapped[str] = mapped_column(String(64))
    args: Mapped[dict[str, Any]] = mapped_column(JSON)
    words: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(String(20))
    asked_at: Mapped[datetime] = mapped_column(Time)
    decided_by: Mapped[str | None] = mapped_column(String(200))
    decided_at: Mapped[datetime | None] = mapped_column(Time)
    note: Mapped[str] = mapped_column(Text)
    outcome: Mapped[str | None] = mapped_column(Text)


class HandoffRow(Base):
    """A session that a person is asked to take; see `schemas.Handoff`."""

    __tablename__ = "support_handoffs"
    __table_args__ = (Index("ix_support_handoffs_status", "tenant", "status", "created_at"),)

    tenant: Mapped[str] = mapped_column(String(200), primary_key=True)
    handoff_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    session_id: Mapped[str] = mapped_column(String(64))
    customer: Mapped[str | None] = mapped_column(String(128))
    status: Mapped[str] = mapped_column(String(20))
    reason: Mapped[str] = mapped_column(String(20))
    priority: Mapped[str] = mapped_column(String(20))
    tone: Mapped[str] = mapped_column(String(20))
    intent: Mapped[str | None] = mapped_column(String(64))
    summary: Mapped[str] = mapped_column(Text)
    tried: Mapped[list[str]] = mapped_column(JSON)
    slots: Mapped[list[dict[str, str]]] = mapped_column(JSON)
    person: Mapped[str | None] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(Time)
    taken_at: Mapped[datetime | None] = mapped_column(Time)
    returned_at: Mapped[datetime | None] = mapped_column(Time)


class FeedbackRow(Base):
    """A thumb for an answer, the message `number` of its session."""

    __tablename__ = "support_feedback"
    __table_args__ = (Index("ix_support_feedback_created", "tenant", "created_at"),)

    tenant: Mapped[str] = mapped_column(String(200), primary_key=True)
    session_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    rating: Mapped[str] = mapped_column(String(8))
    comment: Mapped[str] = mapped_column(Text)
    actor: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(Time)
