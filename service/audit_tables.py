"""The tables of the audit trail, and what its hashes are taken over. Ignores who writes and who checks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from service.storage import Base

GENESIS = "0" * 64
ERASED: Mapping[str, Any] = {"subject": "", "input_sha256": None, "outcome": None}  # what an erased entry says


class AuditEntry(Base):
    """One entry. `content` and `payload` are canonical JSON; the other columns repeat parts of them for queries.

    `payload` and `salt` are null, and `subject` empty, once they are erased. An entry from before there were payloads
    has none either: all that it says is in its content.
    """

    __tablename__ = "audit_entries"
    __table_args__ = (Index("ix_audit_subject", "tenant", "subject"), Index("ix_audit_at", "tenant", "at"))

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    sequence: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(String(64))
    actor: Mapped[str] = mapped_column(String(255))
    at: Mapped[str] = mapped_column(String(32))  # ISO 8601 in UTC: as it was hashed, and in the order of time
    subject: Mapped[str] = mapped_column(String(128))
    content: Mapped[str] = mapped_column(Text)
    payload: Mapped[str | None] = mapped_column(Text)
    salt: Mapped[str | None] = mapped_column(String(32))
    sha256: Mapped[str] = mapped_column(String(64))


class AuditHead(Base):
    """The newest link of a tenant's chain; writers serialise on this row."""

    __tablename__ = "audit_heads"

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    sequence: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64))


class AuditSeal(Base):
    """What stands for the first rows of a chain once they are gone; seals are a chain of their own."""

    __tablename__ = "audit_seals"

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    content: Mapped[str] = mapped_column(Text)
    sha256: Mapped[str] = mapped_column(String(64))


def chain_hash(previous: str, content: str) -> str:
    """The link: SHA-256 over the previous hash and this row's canonical JSON."""
    return hashlib.sha256(f"{previous}\n{content}".encode()).hexdigest()


def commitment(salt: str, payload: str) -> str:
    """What a content says of its payload: without the salt, 128 random bits, no guess at the payload can be tested."""
    return hashlib.sha256(f"{salt}\n{payload}".encode()).hexdigest()


def canonical(content: Mapping[str, Any]) -> str:
    """JSON with its names in order and no spaces: equal values give equal text."""
    return _ENCODER.encode(content)


def told_by(row: AuditEntry) -> dict[str, Any]:
    """All that a row says, as one mapping."""
    content: dict[str, Any] = json.loads(row.content)
    if "commitment" not in content:
        return content
    payload: Mapping[str, Any] = ERASED if row.payload is None else json.loads(row.payload)
    return {**content, **payload}


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
