"""Tables of sources: what was filed of a customer, and the terms that a score reads. Ignores histories' own tables."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import JSON, Float, Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from verticals.contract import Base, Time


class FinanceEvidence(Base):
    """The numbers of one text or one document check; the text, the image and what they say are not here.

    Rows are never changed, and older ones stay: who trains later reads what was known on a day.
    """

    __tablename__ = "finance_evidence"
    __table_args__ = (Index("ix_finance_evidence_customer", "tenant", "customer", "source", "filed_at"),)

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    evidence: Mapped[str] = mapped_column(String(64), primary_key=True)
    customer: Mapped[str] = mapped_column(String(64))
    source: Mapped[str] = mapped_column(String(16))
    reads: Mapped[str] = mapped_column(String(128))  # who made the numbers, as `SourceHead.reads`
    numbers: Mapped[bytes] = mapped_column(LargeBinary)  # little-endian float64, NaN: not known
    aspects: Mapped[list[str]] = mapped_column(JSON)  # of a text: which sentence; else empty, the head tells
    filed_at: Mapped[datetime] = mapped_column(Time)


class FinanceSourceTerm(Base):
    """What one source of a customer adds, before the gate, by one version of the model: the cache of the fast path."""

    __tablename__ = "finance_source_terms"

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    customer: Mapped[str] = mapped_column(String(64), primary_key=True)
    model_version: Mapped[str] = mapped_column(String(128), primary_key=True)
    source: Mapped[str] = mapped_column(String(16), primary_key=True)
    bounded: Mapped[float] = mapped_column(Float)
    evidence: Mapped[str] = mapped_column(String(64))  # id of the evidence, or of the history's vector
    as_of: Mapped[datetime] = mapped_column(Time)  # when it was filed; of a history, its last event
    aspects: Mapped[list[str]] = mapped_column(JSON)
    made_at: Mapped[datetime] = mapped_column(Time)
