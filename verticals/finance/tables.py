"""The tables of credit decisions: outcomes by reference, no attribute of an applicant."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import DateTime, Float, Index, Integer, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

import verticals.finance.fraud.tables
import verticals.finance.histories.tables
import verticals.finance.inputs
import verticals.finance.manual.tables
import verticals.finance.policy_tables
import verticals.finance.portfolio.tables
import verticals.finance.sources.tables  # noqa: F401  (each registers its tables on the shared metadata)
from verticals.contract import Base


class FinanceDecision(Base):
    """One scoring of one application; scoring it again adds a row.

    `chunk` names the rows that a file's chunk left, in the order of `id`; null for one that was asked for by itself.
    """

    __tablename__ = "finance_decisions"
    __table_args__ = (
        Index("ix_finance_decisions_tenant_id", "tenant", "id"),
        Index("ix_finance_decisions_chunk", "tenant", "chunk"),
        Index("ix_finance_decisions_created", "tenant", "created_at"),
        Index("ix_finance_decisions_application", "tenant", "application_id"),
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    tenant: Mapped[str] = mapped_column(String(64))
    application_id: Mapped[str] = mapped_column(String(64))
    points: Mapped[int] = mapped_column(Integer)
    prob_default: Mapped[float] = mapped_column(Float)
    decision: Mapped[str] = mapped_column(String(16))
    model_version: Mapped[str] = mapped_column(String(128))
    policy_version: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    chunk: Mapped[str | None] = mapped_column(String(64))
    sources: Mapped[str | None] = mapped_column(Text)  # of a file's row: what was read of the customer, as JSON


class FinanceBatchChunk(Base):
    """The digests of a chunk's records, whose SHA-256 the audit trail keeps: eight bytes of the record, eight of its
    input, a row after the other."""

    __tablename__ = "finance_batch_chunks"

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    chunk: Mapped[str] = mapped_column(String(64), primary_key=True)
    digests: Mapped[bytes] = mapped_column(LargeBinary)
