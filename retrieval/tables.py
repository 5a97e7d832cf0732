"""The SQL truth of retrieval: revisions, passages with vectors, the log of changes, the ledger. Ignores indexes.

A document is a line of revisions, at most one of which is valid at any time. A revision's text and passages never
change: an edit adds a revision and ends the one before, a deletion removes them all.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, ForeignKey, Index, Integer, LargeBinary, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

# Counted, and never given twice even after a deletion, which SQLite would do but for `sqlite_autoincrement`.
_Id = BigInteger().with_variant(Integer, "sqlite")


class Base(DeclarativeBase):
    """Declarative base of retrieval's tables."""


class RevisionRow(Base):
    """What a document said from `valid_from` until `valid_to` (None: until further notice).

    `acl` is the document's, the same in all its revisions: who may not read it today may not read its past either.
    """

    __tablename__ = "retrieval_revisions"
    __table_args__ = (
        Index("ix_retrieval_revisions_document", "tenant", "doc_id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    tenant: Mapped[str] = mapped_column(String(200))
    doc_id: Mapped[str] = mapped_column(String(200))
    title: Mapped[str] = mapped_column(Text)
    text: Mapped[str] = mapped_column(Text)
    meta: Mapped[dict[str, Any]] = mapped_column("metadata", JSON)
    acl: Mapped[list[str]] = mapped_column(JSON)
    content_hash: Mapped[str] = mapped_column(String(64))  # of all that was given but the acl
    valid_from: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    valid_to: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class PassageRow(Base):
    """A passage of a revision and its vector. `position` orders them; `embedder` says whose vector it is."""

    __tablename__ = "retrieval_revision_passages"
    __table_args__ = (
        Index("ix_retrieval_revision_passages_passage", "tenant", "passage_id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    revision_id: Mapped[int] = mapped_column(_Id, ForeignKey(RevisionRow.id, ondelete="CASCADE"), index=True)
    tenant: Mapped[str] = mapped_column(String(200))
    passage_id: Mapped[str] = mapped_column(String(64))
    position: Mapped[int] = mapped_column(Integer)
    heading: Mapped[str] = mapped_column(Text)
    text: Mapped[str] = mapped_column(Text)
    embedder: Mapped[str] = mapped_column(String(200))
    vector: Mapped[bytes] = mapped_column(LargeBinary)  # (dim,) float32, little-endian, unit length


class VersionRow(Base):
    """The state of a tenant's knowledge: each change gives it a new random version. Writers wait for each other here.

    Random rather than counted, so that a snapshot left over from an earlier database can never be taken for current.
    """

    __tablename__ = "retrieval_versions"

    tenant: Mapped[str] = mapped_column(String(200), primary_key=True)
    version: Mapped[str] = mapped_column(String(32))


class ChangeRow(Base):
    """A change: the version it gave, and the revisions that it added, altered or removed.

    Whoever holds an index looks up how those revisions are now, so it does not matter how often, or in what order with
    later changes, a line is read.
    """

    __tablename__ = "retrieval_changes"
    __table_args__ = (Index("ix_retrieval_changes_tenant_id", "tenant", "id"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    tenant: Mapped[str] = mapped_column(String(200))
    version: Mapped[str] = mapped_column(String(32))
    revision_ids: Mapped[list[int]] = mapped_column(JSON)
    changed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


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
