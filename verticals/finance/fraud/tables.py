"""The table of suspected fraud: what is suspected, why, and what a person decided. Ignores how suspicion arises."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Float, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from verticals.contract import Base, Time


class FinanceCase(Base):
    """One suspected application or transaction; there is one case of each, and one decision of each case."""

    __tablename__ = "finance_cases"
    __table_args__ = (
        UniqueConstraint("tenant", "subject_kind", "subject"),
        Index("ix_finance_cases_queue", "tenant", "state", "score"),
    )

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    case_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    subject_kind: Mapped[str] = mapped_column(String(16))
    subject: Mapped[str] = mapped_column(String(64))
    score: Mapped[float] = mapped_column(Float)
    signals: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    source: Mapped[str] = mapped_column(String(128))
    state: Mapped[str] = mapped_column(String(16))
    opened_at: Mapped[datetime] = mapped_column(Time)
    decided_at: Mapped[datetime | None] = mapped_column(Time)
    decided_by: Mapped[str | None] = mapped_column(String(64))
    reason: Mapped[str | None] = mapped_column(String(32))
