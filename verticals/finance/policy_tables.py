"""Where versions of the policy are kept: each as it was stored, and when which came into force."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from verticals.contract import Base, Time


class FinancePolicy(Base):
    """A version; never changed. `content` is `schemas.Policy` as JSON."""

    __tablename__ = "finance_policies"

    tenant: Mapped[str] = mapped_column(String(200), primary_key=True)
    version: Mapped[str] = mapped_column(String(64), primary_key=True)
    content: Mapped[dict[str, Any]] = mapped_column(JSON)
    sha256: Mapped[str] = mapped_column(String(64))
    created_by: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(Time)


class FinancePolicyActivation(Base):
    """A step; the tenant's highest `number` says what is in force."""

    __tablename__ = "finance_policy_activations"

    tenant: Mapped[str] = mapped_column(String(200), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    step: Mapped[str] = mapped_column(String(16))
    version: Mapped[str] = mapped_column(String(64))
    previous: Mapped[str] = mapped_column(String(64))
    reason: Mapped[str] = mapped_column(Text)
    actor: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(Time)
