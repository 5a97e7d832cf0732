"""The tables of fraud: card transactions, and cases with what a person decided. Ignores how suspicion arises."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Float, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from verticals.contract import Base, Time


class FinanceCase(Base):
    """One suspected application or transaction; there is one case of each, and one decision of each case.

    `customer`: null where nobody named one, and once the customer is erased.
    """

    __tablename__ = "finance_cases"
    __table_args__ = (
        UniqueConstraint("tenant", "subject_kind", "subject"),
        Index("ix_finance_cases_queue", "tenant", "state", "score", "case_id"),
        Index("ix_finance_cases_customer", "tenant", "customer"),
    )

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    case_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    subject_kind: Mapped[str] = mapped_column(String(16))
    subject: Mapped[str] = mapped_column(String(64))
    customer: Mapped[str | None] = mapped_column(String(64))
    score: Mapped[float] = mapped_column(Float)
    signals: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    source: Mapped[str] = mapped_column(String(128))
    state: Mapped[str] = mapped_column(String(16))
    opened_at: Mapped[datetime] = mapped_column(Time)
    decided_at: Mapped[datetime | None] = mapped_column(Time)
    decided_by: Mapped[str | None] = mapped_column(String(64))
    reason: Mapped[str | None] = mapped_column(String(32))


class FinanceCardTransaction(Base):
    """One card transaction, scored or kept as history; only its label changes. `fraud`: null while nobody said."""

    __tablename__ = "finance_card_transactions"
    __table_args__ = (
        Index("ix_finance_cards_customer", "tenant", "customer", "at_s"),
        Index("ix_finance_cards_terminal", "tenant", "terminal", "at_s"),
    )

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    transaction_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    at_s: Mapped[int] = mapped_column(BigInteger)
    customer: Mapped[str] = mapped_column(String(64))
    terminal: Mapped[str] = mapped_column(String(64))
    amount_cents: Mapped[int] = mapped_column(BigInteger)
    fraud: Mapped[bool | None]
    score: Mapped[float | None] = mapped_column(Float)
    flagged: Mapped[bool | None]
    model_version: Mapped[str | None] = mapped_column(String(128))
    received_at: Mapped[datetime] = mapped_column(Time)
