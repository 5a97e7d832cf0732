"""The audit trail: append-only rows, chained by SHA-256 per tenant. Ignores what was decided, and how it is checked.

A row has two parts. Its `content` says who, when, what kind, which versions and how long, and is what the chain covers:
a row's hash covers it and the hash of the row before it, and a head row holds the newest hash and count (Schneier &
Kelsey 1999). What concerns a person, the `payload` (subject, fingerprint of the input, outcome), stands beside it; the
content holds a salted commitment to it alone. So a payload can be erased, and every hash stays what it was
(docs/decisions/0024).
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from service.audit_check import AuditCheck, Head, check_chain
from service.audit_read import EVERYTHING, AuditFilter, page
from service.audit_tables import GENESIS, AuditEntry, AuditHead, canonical, chain_hash, commitment, told_by
from service.scope import span
from verticals.bulk import insert_rows
from verticals.contract import Context, Decision
from verticals.undisturbed import see_one_state

OnAppend = Callable[[Session, str, Sequence[Decision]], None]


class AuditLog:
    """Appends to the chains and reads them.

    Args:
        sessions: Of the database that holds them.
        on_append: Called with each tenant's new decisions, in their transaction.
    """

    def __init__(self, sessions: sessionmaker[Session], on_append: OnAppend = lambda *_: None) -> None:
        self.sessions, self._on_append = sessions, on_append

    def append_all(self, session: Session, entries: Sequence[tuple[Mapping[str, Any], Decision]]) -> None:
        """Add (who, decision) pairs of several callers within one transaction, in their order.

        `who` holds tenant, actor and request_id, and latency_ms where somebody waited.
        """
        by_tenant: dict[str, list[tuple[Mapping[str, Any], Decision]]] = {}
        for who, decision in entries:
            by_tenant.setdefault(who["tenant"], []).append((who, decision))
        with span("audit", **{"trivium.decisions": len(entries)}):
            for tenant in sorted(by_tenant):  # in one order for all writers: none waits for another in a circle
                self._extend(session, tenant, by_tenant[tenant])

    def _extend(self, session: Session, tenant: str, entries: Sequence[tuple[Mapping[str, Any], Decision]]) -> None:
        sequence, previous = self._lock_head(session, tenant)
        at, rows = datetime.now(UTC).isoformat(), []
        for who, decision in entries:
            sequence += 1
            row = _row(who, decision, sequence=sequence, at=at)
            previous = row["sha256"] = chain_hash(previous, row["content"])
            rows.append(row)
        insert_rows(session.connection(), _ENTRIES, rows)
        session.connection().execute(_ADVANCE, {"of": tenant, "to": sequence, "newest": previous})
        self._on_append(session, tenant, [decision for _, decision in entries])
        session.flush()

    def record_all(self, entries: Sequence[tuple[Context, Decision]], session: Session) -> None:
        """`verticals.contract.RecordAll`."""
        self.append_all(session, [(_who(context), decision) for context, decision in entries])

    def record(
        self,
        *decisions: Decision,
        who: Mapping[str, str],
        session: Session | None = None,
        since_s: float | None = None,
    ) -> None:
        """Append in the caller's transaction, or in one of its own that is durable on return.

        Args:
            decisions: What was decided.
            who: Tenant, actor and request_id.
            session: The caller's transaction.
            since_s: When the request came, by `time.perf_counter`; the entries then tell how long it took.
        """
        told = dict(who) if since_s is None else {**who, "latency_ms": _since_ms(since_s)}
        entries = [(told, decision) for decision in decisions]
        if session is not None:
            self.append_all(session, entries)
            return
        with self.sessions.begin() as own:
            self.append_all(own, entries)

    def record_everywhere(self, decision: Decision, *, by: Mapping[str, str]) -> None:
        """What concerns every tenant, such as a restored backup or a model in force, into every chain, at once."""
        with self.sessions.begin() as session:
            self.append_all(session, [({"tenant": tenant, **by}, decision) for tenant in self.tenants()])

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

    def verify(self, tenant: str, *, heads: Sequence[Head] = ()) -> AuditCheck:
        """Recompute every link of `tenant`'s chain, and hold it against heads that were kept elsewhere."""
        with self.sessions() as session:
            see_one_state(session)  # else rows that are sealed off meanwhile look as if somebody took them away
            return check_chain(session, tenant, heads=heads)

    def entries(
        self, tenant: str, *, limit: int = 100, before: int | None = None, only: AuditFilter = EVERYTHING
    ) -> list[dict[str, Any]]:
        """The newest entries first; `before` pages back."""
        with self.sessions() as session:
            return page(session, tenant, only, limit=limit, before=before)

    def tenants(self) -> list[str]:
        """Every tenant that has a chain."""
        with self.sessions() as session:
            heads = session.scalars(select(AuditHead.tenant))
            entries = session.scalars(select(AuditEntry.tenant).distinct())
            return sorted({*heads, *entries})

    def of_kind(self, tenant: str, kind: str, *, subject: str | None = None) -> Iterator[dict[str, Any]]:
        """Every entry of a kind, of one subject if given, oldest first; not those that were erased."""
        query = select(AuditEntry).where(AuditEntry.tenant == tenant, AuditEntry.kind == kind)
        if subject is not None:
            query = query.where(AuditEntry.subject == subject)
        with self.sessions() as session:
            rows = session.scalars(query.order_by(AuditEntry.sequence).execution_options(yield_per=1000))
            yield from (entry for entry in map(told_by, rows) if entry["outcome"] is not None)


def _row(who: Mapping[str, Any], decision: Decision, *, sequence: int, at: str) -> dict[str, Any]:
    """A row but for its hash."""
    payload = canonical(
        {"subject": decision.subject, "input_sha256": decision.input_sha256, "outcome": decision.outcome}
    )
    salt = secrets.token_hex(16)
    content = {
        **who,
        "sequence": sequence,
        "at": at,
        "kind": decision.kind,
        "model_version": decision.model_version,
        "policy_version": decision.policy_version,
        "models": dict(decision.models),
        "commitment": commitment(salt, payload),
    }
    return {
        "tenant": who["tenant"],
        "sequence": sequence,
        "kind": decision.kind,
        "actor": who["actor"],
        "at": at,
        "subject": decision.subject,
        "content": canonical(content),
        "payload": payload,
        "salt": salt,
    }


def _who(context: Context) -> dict[str, Any]:
    return {
        "tenant": context.tenant,
        "actor": context.actor,
        "request_id": context.request_id,
        "latency_ms": _since_ms(context.started_s),
    }


def _since_ms(started_s: float) -> float:
    return round((time.perf_counter() - started_s) * 1e3, 1)


# Of the tables, not the classes, and made once: a third of the work a row.
_ENTRIES, _HEADS = AuditEntry.metadata.tables["audit_entries"], AuditHead.metadata.tables["audit_heads"]
_ADVANCE = update(_HEADS).where(_HEADS.c.tenant == bindparam("of"))
_LOCK = _ADVANCE.values(sequence=_HEADS.c.sequence).returning(_HEADS.c.sequence, _HEADS.c.sha256)
_ADVANCE = _ADVANCE.values(sequence=bindparam("to"), sha256=bindparam("newest"))
