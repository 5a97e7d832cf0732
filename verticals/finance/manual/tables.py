"""The table of manual decisions: each belongs to one scoring. Ignores what a policy asks of them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from verticals.contract import Base, Time


class FinanceOverride(Base):
    """A person's decision on one scoring; a later one on the same scoring replaces it, and both stay."""

    __tablename__ = "finance_overrides"
    __table_args__ = (
        Index("ix_finance_overrides_scoring", "tenant", "scoring_id", "state", "decided_at"),
        Index("ix_finance_overrides_decided", "tenant", "state", "decided_at"),
    )

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    override_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    scoring_id: Mapped[int] = mapped_column(Integer)  # `finance_decisions.id`
    application_id: Mapped[str] = mapped_column(String(64))
    automatic: Mapped[str] = mapped_column(String(16))
    decision: Mapped[str] = mapped_column(String(16))
    direction: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(String(8))
    text: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(16))
    decided_by: Mapped[str] = mapped_column(String(200))
    decided_at: Mapped[datetime] = mapped_column(Time)
    second_by: Mapped[str | None] = mapped_column(String(200))
    second_text: Mapped[str | None] = mapped_column(Text)
    second_at: Mapped[datetime | None] = mapped_column(Time)
