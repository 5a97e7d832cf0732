"""Takes things out of a chain without breaking it: payloads that are erased, rows that are sealed off. Never silently.

Erasing drops payload and salt: what is left of the entry is a hash that nobody can test a guess against. Sealing
deletes the first rows, once every one of them is older than the policy keeps its kind, and leaves a seal: a summary
that later checks start from. Either is an entry of the chain itself, in the same transaction.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, func, not_, or_, select, update
from sqlalchemy.orm import Session

from service.audit import AuditLog
from service.audit_check import ERASING, SEALING, Ranges, add_range, check_chain
from service.audit_tables import GENESIS, AuditEntry, AuditHead, AuditSeal, canonical, chain_hash
from service.auth import ApiKey
from verticals.contract import Conflict, Decision, InvalidInput
from verticals.undisturbed import hold, see_one_state

MAX_ROWS = 10_000  # that one entry erases or seals: the write lock is held so long
ALL = "*"
_KEPT = (*ERASING, SEALING)  # kinds that say what is gone: they name nobody, and go with their seal alone


@dataclass(frozen=True)
class Erased:
    """How many entries lost their payload, and how many of before there were payloads name the person still."""

    entries: int
    older: int


def erase(
    audit: AuditLog, tenant: str, *, names: Sequence[str], reason: str, who: Mapping[str, str], customer: bool = False
) -> Erased:
    """Erase the payload of every entry that names one of `names`, over all verticals.

    Args:
        audit: The trail.
        tenant: Whose.
        names: Ids of one person or case: application, study, report, session, ticket, customer.
        reason: For the trail; it says nothing of the person.
        who: As in `AuditLog.record`.
        customer: The names are customers: entries of their own keys count too, and of what those entries are about.
    Raises:
        InvalidInput: a name is empty.
    """
    if not names or not all(names):
        raise InvalidInput("must name somebody or something", field="subject", remedy="Give an id.")
    with audit.sessions() as session:
        found = _naming(session, AuditEntry.payload, _has_payload(tenant), names)
        found |= _of_customers(session, tenant, names) if customer else set()
        older = _naming(session, AuditEntry.content, _is_before_payloads(tenant), names)
    _erase(audit, tenant, sorted(found), kind=ERASING[0], reason=reason, who=who)
    return Erased(len(found), len(older))


def expire(audit: AuditLog, tenant: str, policy: Mapping[str, int], *, now: datetime, who: Mapping[str, str]) -> int:
    """Erase the payloads of entries that are older than the policy keeps their kind; how many."""
    with audit.sessions() as session:
        query = select(AuditEntry.sequence).where(_is_past(session, tenant, policy, now), _has_payload(tenant))
        sequences = session.scalars(query.order_by(AuditEntry.sequence)).all()
    _erase(audit, tenant, sequences, kind=ERASING[1], reason=_told(policy), who=who)
    return len(sequences)


def seal(audit: AuditLog, tenant: str, policy: Mapping[str, int], *, now: datetime, who: Mapping[str, str]) -> int:
    """Seal off the first rows of the chain, up to the first that the policy still keeps; how many.

    Raises:
        Conflict: the chain is broken: nothing is taken from it.
    """
    done = 0
    with audit.sessions() as session:
        see_one_state(session)  # else an entry that is new by now may count among the old ones
        mine = AuditEntry.tenant == tenant
        kept = select(func.min(AuditEntry.sequence)).where(mine, not_(_is_past(session, tenant, policy, now)))
        first = session.scalar(select(func.min(AuditEntry.sequence)).where(mine))
        until = session.scalar(kept) or (session.scalar(select(func.max(AuditEntry.sequence)).where(mine)) or 0) + 1
        check = check_chain(session, tenant) if first is not None and first < until else None
    if first is None or check is None:
        return 0
    if check.broken_at is not None:
        raise Conflict(
            f"the chain is broken at {check.broken_at}: {check.reason}",
            field="tenant",
            value=tenant,
            remedy="Find out why, first: `trivium audit verify`.",
        )
    for start in range(first, until, MAX_ROWS):
        done += _seal(audit, tenant, start, min(start + MAX_ROWS, until) - 1, policy=policy, who=who)
    return done


def days_of(policy: Mapping[str, int], kind: str) -> int | None:
    """How long a kind is kept: by its own name, its area (`finance.*`), or `*`; None: for ever."""
    return next((policy[name] for name in (kind, f"{kind.partition('.')[0]}.*", ALL) if name in policy), None)


# --- erasing ----------------------------------------------------------------------------------------------------------


def _erase(
    audit: AuditLog, tenant: str, sequences: Iterable[int], *, kind: str, reason: str, who: Mapping[str, str]
) -> None:
    left = iter(sequences)
    while some := list(islice(left, MAX_ROWS)):
        ranges: Ranges = []
        for sequence in some:
            add_range(ranges, sequence, sequence)
        told = {"ranges": ranges, "entries": len(some), "reason": reason}
        fingerprint = hashlib.sha256(json.dumps(ranges).encode()).hexdigest()
        with audit.sessions.begin() as session:
            audit.record(Decision(kind, "", fingerprint, told, "none"), who=who, session=session)
            for first, last in ranges:
                mine = (AuditEntry.tenant == tenant, AuditEntry.sequence.between(first, last))
                session.execute(update(AuditEntry).where(*mine).values(payload=None, salt=None, subject=""))


def _has_payload(tenant: str) -> ColumnElement[bool]:
    return and_(AuditEntry.tenant == tenant, AuditEntry.payload.is_not(None), AuditEntry.kind.not_in(_KEPT))


def _is_before_payloads(tenant: str) -> ColumnElement[bool]:
    """What these entries say is hashed, and goes with its seal alone."""
    whole = AuditEntry.content.not_like('%"commitment":%')
    return and_(AuditEntry.tenant == tenant, AuditEntry.payload.is_(None), whole)


def _naming(session: Session, column: Any, where: ColumnElement[bool], names: Sequence[str]) -> set[int]:
    """Entries that have one of the names as a whole text of their JSON; SQL alone would not tell a from A."""
    words = [json.dumps(name, ensure_ascii=False) for name in names]
    query = select(AuditEntry.sequence, column).where(where, or_(*(column.contains(w, autoescape=True) for w in words)))
    return {sequence for sequence, text in session.execute(query) if any(word in text for word in words)}


def _of_customers(session: Session, tenant: str, customers: Sequence[str]) -> set[int]:
    """Entries that are made with the customers' own keys, or are about what those are about."""
    keys = select(ApiKey.key_id).where(ApiKey.tenant == tenant, ApiKey.customer.in_(customers))
    by_them = AuditEntry.actor.in_(keys)
    about = select(AuditEntry.subject).where(AuditEntry.tenant == tenant, by_them, AuditEntry.subject != "")
    mine = or_(by_them, AuditEntry.subject.in_(about))
    return set(session.scalars(select(AuditEntry.sequence).where(_has_payload(tenant), mine)))


# --- retention --------------------------------------------------------------------------------------------------------


def _is_past(session: Session, tenant: str, policy: Mapping[str, int], now: datetime) -> ColumnElement[bool]:
    """Whether an entry is older than the policy keeps its kind."""
    kinds: dict[int, list[str]] = {}
    for kind in session.scalars(select(AuditEntry.kind).where(AuditEntry.tenant == tenant).distinct()):
        if (days := days_of(policy, kind)) is not None:
            kinds.setdefault(days, []).append(kind)
    old = [
        and_(AuditEntry.kind.in_(some), AuditEntry.at < (now - timedelta(days=days)).isoformat())
        for days, some in kinds.items()
    ]
    return and_(AuditEntry.tenant == tenant, or_(*old) if old else AuditEntry.sequence < 0)


def _seal(
    audit: AuditLog, tenant: str, first: int, last: int, *, policy: Mapping[str, int], who: Mapping[str, str]
) -> int:
    with audit.sessions.begin() as session:
        hold(session, AuditHead, AuditHead.tenant == tenant)
        before = session.scalars(
            select(AuditSeal).where(AuditSeal.tenant == tenant).order_by(AuditSeal.number.desc()).limit(1)
        ).one_or_none()
        number = before.number + 1 if before else 1
        first = max(first, json.loads(before.content)["last"] + 1 if before else 1)
        if first > last:
            return 0  # another process sealed them off
        mine = and_(AuditEntry.tenant == tenant, AuditEntry.sequence.between(first, last))
        content = canonical(_summary(session, mine) | {"tenant": tenant, "number": number, "policy": _told(policy)})
        sha256 = chain_hash(before.sha256 if before else GENESIS, content)
        told = {"first": first, "last": last, "number": number, "policy": _told(policy)}
        audit.record(Decision(SEALING, str(number), sha256, told, "none"), who=who, session=session)
        session.add(AuditSeal(tenant=tenant, number=number, content=content, sha256=sha256))
        session.execute(delete(AuditEntry).where(mine))
    return last - first + 1


def _summary(session: Session, mine: ColumnElement[bool]) -> dict[str, Any]:
    kinds = session.execute(select(AuditEntry.kind, func.count()).where(mine).group_by(AuditEntry.kind)).all()
    ordered = select(AuditEntry.sequence, AuditEntry.at, AuditEntry.sha256).where(mine)
    first = session.execute(ordered.order_by(AuditEntry.sequence).limit(1)).one()
    last = session.execute(ordered.order_by(AuditEntry.sequence.desc()).limit(1)).one()
    return {
        "first": first.sequence,
        "first_at": first.at,
        "last": last.sequence,
        "last_at": last.at,
        "last_sha256": last.sha256,
        "kinds": {row[0]: row[1] for row in kinds},
    }


def _told(policy: Mapping[str, int]) -> str:
    return ",".join(f"{kind}={days}" for kind, days in sorted(policy.items()))
