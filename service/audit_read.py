"""Reads the audit trail: a page of it, one entry, or a long stretch as it streams. Ignores whether it is whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from service.audit_tables import AuditEntry, told_by


@dataclass(frozen=True)
class AuditFilter:
    """Which entries are wanted; what is empty counts for nothing.

    Attributes:
        kind: `finance.score`, or all of an area: `finance.*`.
        actor: Who: a key's or a person's id.
        subject: An id: application, study, report, session.
        outcome: A text that the payload holds, in upper or lower case.
        since: The first moment that counts.
        until: The first that no longer does.
    """

    kind: str = ""
    actor: str = ""
    subject: str = ""
    outcome: str = ""
    since: datetime | None = None
    until: datetime | None = None


EVERYTHING = AuditFilter()


def in_utc(moment: datetime | None) -> datetime | None:
    """A moment as a filter takes it: without a zone it is UTC."""
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


def page(
    session: Session, tenant: str, only: AuditFilter, *, limit: int, before: int | None = None
) -> list[dict[str, Any]]:
    """The newest entries first; `before` pages back."""
    query = _wanted(tenant, only).order_by(AuditEntry.sequence.desc()).limit(limit)
    if before is not None:
        query = query.where(AuditEntry.sequence < before)
    return [_shown(row) for row in session.scalars(query)]


def stretch(session: Session, tenant: str, only: AuditFilter) -> Iterator[dict[str, Any]]:
    """All entries that are wanted, the oldest first, a thousand at a time in memory."""
    rows = session.scalars(_wanted(tenant, only).order_by(AuditEntry.sequence).execution_options(yield_per=1000))
    yield from map(_shown, rows)


def find(session: Session, tenant: str, sequence: int) -> tuple[AuditEntry, dict[str, Any]] | None:
    """One entry: its row, and all that it says."""
    row = session.get(AuditEntry, (tenant, sequence))
    return None if row is None else (row, _shown(row))


def _shown(row: AuditEntry) -> dict[str, Any]:
    return {**told_by(row), "sha256": row.sha256}


def _wanted(tenant: str, only: AuditFilter) -> Select[AuditEntry]:
    query = select(AuditEntry).where(AuditEntry.tenant == tenant)
    if only.kind.endswith(".*"):
        query = query.where(AuditEntry.kind.startswith(only.kind[:-1], autoescape=True))
    elif only.kind:
        query = query.where(AuditEntry.kind == only.kind)
    if only.actor:
        query = query.where(AuditEntry.actor == only.actor)
    if only.subject:
        query = query.where(AuditEntry.subject == only.subject)
    if only.outcome:
        said = func.coalesce(AuditEntry.payload, AuditEntry.content)
        query = query.where(said.icontains(only.outcome, autoescape=True))
    if only.since is not None:
        query = query.where(AuditEntry.at >= only.since.astimezone(UTC).isoformat())
    if only.until is not None:
        query = query.where(AuditEntry.at < only.until.astimezone(UTC).isoformat())
    return query
