"""Where memory is kept, a customer of a tenant at a time. Ignores how facts are read and found again."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, Integer, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from verticals.contract import Base, Time


class FactRow(Base):
    """A fact with the time in which it held: from `valid_from` until `valid_to`, open while None."""

    __tablename__ = "support_facts"
    __table_args__ = (Index("ix_support_facts_customer", "tenant", "customer"),)

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    fact_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    customer: Mapped[str] = mapped_column(String(128))
    attribute: Mapped[str] = mapped_column(String(32))
    key: Mapped[str] = mapped_column(Text)
    value: Mapped[str] = mapped_column(Text)
    text: Mapped[str] = mapped_column(Text)
    session_id: Mapped[str] = mapped_column(String(128))
    turn: Mapped[int] = mapped_column(Integer)
    valid_from: Mapped[datetime] = mapped_column(Time)
    valid_to: Mapped[datetime | None] = mapped_column(Time)
    embedder: Mapped[str] = mapped_column(String(200))
    vector: Mapped[bytes] = mapped_column(LargeBinary)  # (dim,) float32, little-endian, unit length


class EpisodeRow(Base):
    """What one conversation was about."""

    __tablename__ = "support_episodes"
    __table_args__ = (Index("ix_support_episodes_customer", "tenant", "customer"),)

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    session_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    customer: Mapped[str] = mapped_column(String(128))
    text: Mapped[str] = mapped_column(Text)
    ended_at: Mapped[datetime] = mapped_column(Time)
    embedder: Mapped[str] = mapped_column(String(200))
    vector: Mapped[bytes] = mapped_column(LargeBinary)


class UnreadTurnRow(Base):
    """A customer's message that no fact was read from yet; removed with the transaction that reads it."""

    __tablename__ = "support_unread_turns"

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    session_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    turn: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    customer: Mapped[str] = mapped_column(String(128))
    text: Mapped[str] = mapped_column(Text)
    said_at: Mapped[datetime] = mapped_column(Time)
