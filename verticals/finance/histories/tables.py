"""Tables of histories: events, what was made of them, and whose vectors are due. Ignores how vectors are made."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from verticals.contract import Base, Time


class FinanceEvent(Base):
    """One event of a customer's account; `verticals.finance.histories.events` says what the columns mean."""

    __tablename__ = "finance_events"
    __table_args__ = (Index("ix_finance_events_time", "tenant", "customer", "at_s"),)

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    customer: Mapped[str] = mapped_column(String(64), primary_key=True)
    event_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    at_s: Mapped[int] = mapped_column(BigInteger)
    kind: Mapped[str] = mapped_column(String(20))
    category: Mapped[str | None] = mapped_column(String(20))
    channel: Mapped[str | None] = mapped_column(String(20))
    amount_cents: Mapped[int | None] = mapped_column(BigInteger)
    balance_cents: Mapped[int | None] = mapped_column(BigInteger)
    limit_cents: Mapped[int | None] = mapped_column(BigInteger)
    received_at: Mapped[datetime] = mapped_column(Time)


class FinanceEmbedding(Base):
    """The vector of a customer's events up to `as_of_s`, by one model version. Older ones stay, for replays."""

    __tablename__ = "finance_embeddings"

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    customer: Mapped[str] = mapped_column(String(64), primary_key=True)
    model_version: Mapped[str] = mapped_column(String(128), primary_key=True)
    as_of_s: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    num_events: Mapped[int]
    vector: Mapped[bytes] = mapped_column(LargeBinary)  # little-endian float32
    made_at: Mapped[datetime] = mapped_column(Time)


class FinanceEmbeddingDue(Base):
    """Customers with events that no vector knows yet; `ticket` changes with every event."""

    __tablename__ = "finance_embeddings_due"

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    customer: Mapped[str] = mapped_column(String(64), primary_key=True)
    ticket: Mapped[str] = mapped_column(String(32))
