"""The table of outcomes: whether a credit went bad, by its application's reference. No attribute of a person."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import Boolean, Date, String
from sqlalchemy.orm import Mapped, mapped_column

from verticals.contract import Base, Time


class FinanceOutcome(Base):
    """The latest that is known of one application's credit."""

    __tablename__ = "finance_outcomes"

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    application_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    defaulted: Mapped[bool] = mapped_column(Boolean)
    observed_on: Mapped[date] = mapped_column(Date)
    actor: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(Time)
