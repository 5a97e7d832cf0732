"""The audit trail: one append-only row a decision, chained by SHA-256 per tenant. Ignores what was decided.

Each row's hash covers its content and the hash of the row before it, and a head row holds the newest hash and count, so
an edit, a deletion (also of the last rows) or a reordering breaks `verify` (Schneier & Kelsey 1999).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Index, String, Text, bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column, sessionmaker

from service.storage import Base
from verticals.bulk import insert_rows
from verticals.contract import Context, Decision

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
        self.append_all(session, [(who, decision) for decision in decisions])

    def append_all(self, session: Session, entries: Sequence[tuple[Mapping[str, str], Decision]]) -> None:
        """Add (who, decision) pairs of several callers within one transaction, in their order."""
        by_tenant: dict[str, list[tuple[Mapping[str, str], Decision]]] = {}
        for who, decision in entries:
            by_tenant.setdefault(who["tenant"], []).append((who, decision))
        for tenant in sorted(by_tenant):  # in one order for all writers: none waits for another in a circle
            self._extend(session, tenant, by_tenant[tenant])

    def _extend(self, session: Session, tenant: str, entries: Sequence[tuple[Mapping[str, str], Decision]]) -> None:
        sequence, previous = self._lock_head(session, tenant)
        at, rows = datetime.now(UTC).isoformat(), []
        for who, decision in entries:
            sequence += 1
            content = _canonical({"sequence": sequence, "at": at, **who, **vars(decision)})
            previous = chain_hash(previous, content)
            row = {"tenant": tenant, "sequence": sequence, "kind": decision.kind, "subject": decision.subject}
            rows.append(row | {"content": content, "sha256": previous})
        insert_rows(session.connection(), _ENTRIES, rows)
        session.connection().execute(_ADVANCE, {"of": tenant, "to": sequence, "newest": previous})
        self._on_append(session, tenant, [decision for _, decision in entries])
        session.flush()

    def record_all(self, entries: Sequence[tuple[Context, Decision]], session: Session) -> None:
        """`verticals.contract.RecordAll`."""
        self.append_all(session, [(_who(context), decision) for context, decision in entries])

    def record(self, *decisions: Decision, who: Mapping[str, str], session: Session | None = None) -> None:
        """Append in the caller's transaction, or in one of its own that is durable on return."""
        if session is not None:
            self.append(session, decisions, who=who)
            return
        with self._sessions.begin() as own:
            self.append(own, decisions, who=who)

    def _lock_head(self, session: Session, tenant: str) -> tuple[int, str]:
        """The newest sequence number and hash. The no-op UPDATE takes the write lock before the head is read."""
        connection = session.connection()
        found = connection.execute(_LOCK, {"of": tenant}).one_or_none()
        if found is None:
            try:
                with connection.begin_nested():
                    connection.execute(insert(_HEADS), {"tenant": tenant, "sequence": 0, "sha256": GENESIS})
            except IntegrityError:
                pass  # another writer made it first
            found = connection.execute(_LOCK, {"of": tenant}).one()
        return found.sequence, found.sha256

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

    def of_kind(self, tenant: str, kind: str, *, subject: str | None = None) -> Iterator[dict[str, Any]]:
        """Every entry of a kind, of one subject if given, oldest first."""
        query = select(AuditEntry.content).where(AuditEntry.tenant == tenant, AuditEntry.kind == kind)
        if subject is not None:
            query = query.where(AuditEntry.subject == subject)
        with self._sessions() as session:
            rows = session.scalars(query.order_by(AuditEntry.sequence).execution_options(yield_per=1000))
            yield from (json.loads(content) for content in rows)

    def entries(self, tenant: str, *, limit: int = 100, before: int | None = None) -> list[dict[str, Any]]:
        """The newest rows first; `before` pages back."""
        query = select(AuditEntry).where(AuditEntry.tenant == tenant).order_by(AuditEntry.sequence.desc()).limit(limit)
        if before is not None:
            query = query.where(AuditEntry.sequence < before)
        with self._sessions() as session:
            return [{**json.loads(row.content), "sha256": row.sha256} for row in session.scalars(query)]


def _who(context: Context) -> dict[str, str]:
    return {"tenant": context.tenant, "actor": context.actor, "request_id": context.request_id}


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
    return _ENCODER.encode(content)


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)

# Of the tables, not the classes, and made once: a third of the work a row.
_ENTRIES, _HEADS = AuditEntry.metadata.tables["audit_entries"], AuditHead.metadata.tables["audit_heads"]
_ADVANCE = update(_HEADS).where(_HEADS.c.tenant == bindparam("of"))
_LOCK = _ADVANCE.values(sequence=_HEADS.c.sequence).returning(_HEADS.c.sequence, _HEADS.c.sha256)
_ADVANCE = _ADVANCE.values(sequence=bindparam("to"), sha256=bindparam("newest"))
