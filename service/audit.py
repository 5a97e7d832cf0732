"""The audit trail: one append-only row a decision, chained by SHA-256 per tenant. Ignores what was decided.

Each row's hash covers its content and the hash of the row before it, and a head row holds the newest hash and count, so
an edit, a deletion (also of the last rows) or a reordering breaks `verify` (Schneier & Kelsey 1999).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Index, String, Text, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column, sessionmaker

from service.storage import Base
from verticals.contract import Decision

GENESIS = "0" * 64
OnAppend = Callable[[Session, str, Sequence[Decision]], None]


class AuditEntry(Base):
    """One decision. `content` is the canonical JSON that was hashed; the other columns repeat parts for queries."""

    __tablename__ = "audit_entries"
    __table_args__ = (Index("ix_audit_subject", "tenant", "subject"),)

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    sequence: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(String(128))
    content: Mapped[str] = mapped_column(Text)
    sha256: Mapped[str] = mapped_column(String(64))


class AuditHead(Base):
    """The newest link of a tenant's chain; writers serialise on this row."""

    __tablename__ = "audit_heads"

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    sequence: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64))


@dataclass(frozen=True)
class AuditCheck:
    """What `verify` found. `broken_at` is the first bad sequence number, None when the chain is whole."""

    tenant: str
    entries: int
    broken_at: int | None = None
    reason: str = ""


def chain_hash(previous: str, content: str) -> str:
    """The link: SHA-256 over the previous hash and this row's canonical JSON."""
    return hashlib.sha256(f"{previous}\n{content}".encode()).hexdigest()


class AuditLog:
    """Appends to and verifies the chains.

    Args:
        sessions: Of the database that holds them.
        on_append: Called with each tenant's new decisions, in their transaction.
    """

    def __init__(self, sessions: sessionmaker[Session], on_append: OnAppend = lambda *_: None) -> None:
        self._sessions, self._on_append = sessions, on_append

    def append(self, session: Session, decisions: tuple[Decision, ...], *, who: Mapping[str, str]) -> None:
        """Add `decisions` within `session`'s transaction; `who` holds tenant, actor and request_id."""
        if not decisions:
            return
        tenant = who["tenant"]
        head = self._lock_head(session, tenant)
        sequence, previous = head.sequence, head.sha256
        for decision in decisions:
            sequence += 1
            content = _canonical({"sequence": sequence, "at": datetime.now(UTC).isoformat(), **who, **asdict(decision)})
            previous = chain_hash(previous, content)
            session.add(
                AuditEntry(
                    tenant=tenant,
                    sequence=sequence,
                    kind=decision.kind,
                    subject=decision.subject,
                    content=content,
                    sha256=previous,
                )
            )
        head.sequence, head.sha256 = sequence, previous
        self._on_append(session, tenant, decisions)
        session.flush()

    def record(self, *decisions: Decision, who: Mapping[str, str], session: Session | None = None) -> None:
        """Append in the caller's transaction, or in one of its own that is durable on return."""
        if session is not None:
            self.append(session, decisions, who=who)
            return
        with self._sessions.begin() as own:
            self.append(own, decisions, who=who)

    def _lock_head(self, session: Session, tenant: str) -> AuditHead:
        # The no-op UPDATE comes first: it takes the write lock on both SQLite and PostgreSQL before the head is read.
        lock = update(AuditHead).where(AuditHead.tenant == tenant).values(sequence=AuditHead.sequence)
        if session.execute(lock).rowcount == 0:  # type: ignore[attr-defined]
            try:
                with session.begin_nested():
                    session.add(AuditHead(tenant=tenant, sequence=0, sha256=GENESIS))
            except IntegrityError:  # another writer made it first
                session.execute(lock)
        return session.scalars(
            select(AuditHead).where(AuditHead.tenant == tenant).execution_options(populate_existing=True)
        ).one()

    def verify(self, tenant: str) -> AuditCheck:
        """Recompute every link of `tenant`'s chain."""
        with self._sessions() as session:
            head = session.get(AuditHead, tenant)
            rows = session.scalars(
                select(AuditEntry)
                .where(AuditEntry.tenant == tenant)
                .order_by(AuditEntry.sequence)
                .execution_options(yield_per=1000)
            )
            previous, count = GENESIS, 0
            for row in rows:
                count += 1
                reason = _fault(row, sequence=count, previous=previous)
                if reason:
                    return AuditCheck(tenant, count, broken_at=count, reason=reason)
                previous = row.sha256
            if head is None:
                return AuditCheck(
                    tenant, count, broken_at=1 if count else None, reason="the head is missing" if count else ""
                )
            if (head.sequence, head.sha256) != (count, previous):
                return AuditCheck(tenant, count, broken_at=count + 1, reason="rows at the end are missing")
            return AuditCheck(tenant, count)

    def tenants(self) -> list[str]:
        """Every tenant that has a chain."""
        with self._sessions() as session:
            heads = session.scalars(select(AuditHead.tenant))
            entries = session.scalars(select(AuditEntry.tenant).distinct())
            return sorted({*heads, *entries})

    def entries(self, tenant: str, *, limit: int = 100, before: int | None = None) -> list[dict[str, Any]]:
        """The newest rows first; `before` pages back."""
        query = select(AuditEntry).where(AuditEntry.tenant == tenant).order_by(AuditEntry.sequence.desc()).limit(limit)
        if before is not None:
            query = query.where(AuditEntry.sequence < before)
        with self._sessions() as session:
            return [{**json.loads(row.content), "sha256": row.sha256} for row in session.scalars(query)]


def _fault(row: AuditEntry, *, sequence: int, previous: str) -> str:
    if row.sequence != sequence:
        return f"row {sequence} is missing"
    if chain_hash(previous, row.content) != row.sha256:
        return f"row {sequence} was changed"
    content = json.loads(row.content)
    if any(content[name] != getattr(row, name) for name in ("tenant", "sequence", "kind", "subject")):
        return f"row {sequence}'s columns differ from what was hashed"
    return ""


def _canonical(content: Mapping[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
