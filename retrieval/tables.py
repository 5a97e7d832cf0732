"""The SQL truth of retrieval: documents, passages with their vectors, versions, and the ledger. Ignores indexes."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, DateTime, ForeignKeyConstraint, Index, Integer, LargeBinary, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """Declarative base of retrieval's tables."""


class DocumentRow(Base):
    """A document. `content_hash` covers text, title, metadata and acl, so that any change counts as a replacement."""

    __tablename__ = "retrieval_documents"

    tenant: Mapped[str] = mapped_column(String(200), primary_key=True)
    doc_id: Mapped[str] = mapped_column(String(200), primary_key=True)
    title: Mapped[str] = mapped_column(Text)
    text: Mapped[str] = mapped_column(Text)
    meta: Mapped[dict[str, Any]] = mapped_column("metadata", JSON)
    acl: Mapped[list[str]] = mapped_column(JSON)
    content_hash: Mapped[str] = mapped_column(String(64))
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class PassageRow(Base):
    """A passage and its vector. `position` orders the passages of a document; `embedder` says whose vector it is."""

    __tablename__ = "retrieval_passages"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant", "doc_id"], ["retrieval_documents.tenant", "retrieval_documents.doc_id"], ondelete="CASCADE"
        ),
    )

    tenant: Mapped[str] = mapped_column(String(200), primary_key=True)
    passage_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    doc_id: Mapped[str] = mapped_column(String(200), index=True)
    position: Mapped[int] = mapped_column(Integer)
    heading: Mapped[str] = mapped_column(Text)
    text: Mapped[str] = mapped_column(Text)
    embedder: Mapped[str] = mapped_column(String(200))
    vector: Mapped[bytes] = mapped_column(LargeBinary)  # (dim,) float32, little-endian, unit length


class VersionRow(Base):
    """The state of a tenant's knowledge: each change gives a new random version, which names the snapshot of it.

    Random rather than counted, so that a snapshot left over from an earlier database can never be taken for current.
    """

    __tablename__ = "retrieval_versions"

    tenant: Mapped[str] = mapped_column(String(200), primary_key=True)
    version: Mapped[str] = mapped_column(String(32))


class LedgerRow(Base):
    """What an answer was made from; see `retrieval.ledger.LedgerEntry`."""

    __tablename__ = "retrieval_ledger"
    __table_args__ = (
        Index("ix_retrieval_ledger_conversation", "tenant", "conversation_id"),
        Index("ix_retrieval_ledger_customer", "tenant", "customer_id"),
    )

    tenant: Mapped[str] = mapped_column(String(200), primary_key=True)
    answer_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    conversation_id: Mapped[str] = mapped_column(String(128))
    customer_id: Mapped[str | None] = mapped_column(String(200))
    query: Mapped[str] = mapped_column(Text)
    index_version: Mapped[str | None] = mapped_column(String(32))
    candidates: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    citations: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
