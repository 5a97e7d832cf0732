"""Checks a chain: recomputes every link from its seal on, and names the first fault. Ignores how rows come about.

The chain and its head lie in one database, and whoever may write to all of it can write another history. That is what
heads kept elsewhere are for: a chain must still have every row whose hash was once kept (`kept_heads`, `--head`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.audit_tables import GENESIS, AuditEntry, AuditHead, AuditSeal, chain_hash, commitment
from verticals.contract import InvalidInput

ERASING = ("audit.erase", "audit.expire")  # kinds of entries that name what was erased
SEALING = "audit.seal"
HEADS_FILE = "audit-heads.jsonl"  # among the reports: outside the database
_HEAD = re.compile(r"(\d+):([0-9a-f]{64})")
_PLACE = re.compile(r'"sequence":(\d+)[,}]')
_REPEATED = ("tenant", "sequence", "kind", "actor", "at", "subject")  # columns that repeat what was hashed
Ranges = list[tuple[int, int]]  # first and last, in order and apart


@dataclass(frozen=True)
class Head:
    """A row's number and hash, as `12:ab...`: whoever keeps it elsewhere can tell whether the chain was changed."""

    sequence: int
    sha256: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises InvalidInput: it is not of this form."""
        found = _HEAD.fullmatch(text.strip())
        if found is None:
            raise InvalidInput(
                "must be NUMBER:SHA-256", field="head", value=text, remedy="`trivium audit head` prints it."
            )
        return cls(int(found[1]), found[2])

    def __str__(self) -> str:
        return f"{self.sequence}:{self.sha256}"


@dataclass(frozen=True)
class Erasure:
    """Entries whose payload is gone, as the entry that did it says."""

    sequence: int
    at: str
    kind: str
    entries: int
    ranges: tuple[tuple[int, int], ...]  # first and last
    reason: str


@dataclass(frozen=True)
class AuditCheck:
    """What was found.

    Attributes:
        entries: Rows that are there.
        broken_at: Number of the first bad row, None when the chain is whole.
        sealed: Rows that a seal stands for.
        erased: Rows that are there without their payload.
        head: The newest row; None: there is none.
    """

    tenant: str
    entries: int
    broken_at: int | None = None
    reason: str = ""
    sealed: int = 0
    erased: int = 0
    erasures: tuple[Erasure, ...] = ()
    head: str | None = None


@dataclass
class _Fault(Exception):
    at: int
    reason: str


@dataclass
class _Walk:
    """What was seen on the way."""

    count: int  # of the last row
    previous: str  # its hash
    erased: Ranges = field(default_factory=list)
    erasures: list[Erasure] = field(default_factory=list)
    seals: set[str] = field(default_factory=set)  # that entries name

    def note(self, row: AuditEntry) -> None:
        if row.payload is None and row.salt is None and '"commitment":' in row.content:
            add_range(self.erased, row.sequence, row.sequence)
        elif row.kind in ERASING and row.payload is not None:
            told = json.loads(row.payload)["outcome"]
            ranges = tuple((first, min(last, row.sequence - 1)) for first, last in told["ranges"])
            self.erasures.append(Erasure(row.sequence, row.at, row.kind, told["entries"], ranges, told["reason"]))
        elif row.kind == SEALING and row.payload is not None:
            self.seals.add(json.loads(row.payload)["input_sha256"])


def add_range(ranges: Ranges, first: int, last: int) -> None:
    """Add a range that begins behind the others' beginnings; what it touches becomes one with it."""
    if ranges and first <= ranges[-1][1] + 1:
        ranges[-1] = (ranges[-1][0], max(ranges[-1][1], last))
    else:
        ranges.append((first, last))


def check_chain(session: Session, tenant: str, *, heads: Sequence[Head] = ()) -> AuditCheck:
    """Recompute every link of `tenant`'s chain, which may grow meanwhile.

    Args:
        session: Of the database.
        tenant: Whose.
        heads: Kept elsewhere: the chain must still have these rows, as they were.
    """
    walk, sealed = _Walk(0, GENESIS), 0
    try:
        sealed, walk.previous, newest = _check_seals(session, tenant)
        walk.count = sealed
        stored = _stored_head(session, tenant)  # before the rows: they may be more by then, and never fewer
        _check_rows(session, tenant, walk, [*heads, *([stored] if stored else [])])
        after = _stored_head(session, tenant)
        if after is None and walk.count:
            raise _Fault(1, "the head is missing")
        if after is not None and after.sequence < walk.count:
            raise _Fault(after.sequence + 1, f"row {after.sequence + 1} lies beyond the head: it was added")
        if newest is not None and newest not in walk.seals:
            raise _Fault(sealed + 1, f"no entry tells of the seal over the rows up to {sealed}")
        _check_erasures(walk)
    except _Fault as fault:
        return AuditCheck(tenant, walk.count - sealed, fault.at, fault.reason, sealed)
    head = str(Head(walk.count, walk.previous)) if walk.count else None
    return AuditCheck(
        tenant,
        walk.count - sealed,
        sealed=sealed,
        erased=sum(last - first + 1 for first, last in walk.erased),
        erasures=tuple(walk.erasures),
        head=head,
    )


def check_link(session: Session, row: AuditEntry) -> str:
    """What is wrong with one row beside the row before it, in words; empty: nothing."""
    before = session.get(AuditEntry, (row.tenant, row.sequence - 1))
    if before is not None:
        return _fault(row, sequence=row.sequence, previous=before.sha256)
    try:
        sealed, previous, _ = _check_seals(session, row.tenant)
    except _Fault as fault:
        return fault.reason
    return _fault(row, sequence=sealed + 1, previous=previous)


def _stored_head(session: Session, tenant: str) -> Head | None:
    found = session.execute(
        select(AuditHead.sequence, AuditHead.sha256).where(AuditHead.tenant == tenant)
    ).one_or_none()
    return Head(*found) if found else None


def _check_rows(session: Session, tenant: str, walk: _Walk, heads: Sequence[Head]) -> None:
    wanted: dict[int, set[str]] = {}
    for head in heads:
        if head.sequence > walk.count:
            wanted.setdefault(head.sequence, set()).add(head.sha256)
        elif head.sequence == walk.count and head.sha256 != walk.previous:
            raise _Fault(walk.count, f"row {walk.count}, the last that is sealed off, is not the one that a head names")
    rows = session.scalars(
        select(AuditEntry)
        .where(AuditEntry.tenant == tenant)
        .order_by(AuditEntry.sequence)
        .execution_options(yield_per=1000)
    )
    for row in rows:
        reason = _fault(row, sequence=walk.count + 1, previous=walk.previous)
        walk.count, walk.previous = walk.count + 1, row.sha256
        if not reason and wanted.get(walk.count, set()) - {row.sha256}:
            reason = f"row {walk.count} is not the one that a head names"
        if reason:
            raise _Fault(walk.count, reason)
        walk.note(row)
    last = max(wanted, default=0)
    if last > walk.count:
        raise _Fault(walk.count + 1, f"rows at the end are missing: {walk.count + 1} to {last}")


def _fault(row: AuditEntry, *, sequence: int, previous: str) -> str:
    if row.sequence < sequence:
        return f"row {row.sequence} was sealed off, and is there again"
    if row.sequence > sequence:
        return f"row {sequence} is missing" + (f", up to {row.sequence - 1}" if row.sequence > sequence + 1 else "")
    if chain_hash(previous, row.content) != row.sha256:
        place = _PLACE.search(row.content)
        if place is not None and int(place[1]) != sequence:
            return f"row {sequence} is not in its place: it was row {place[1]}"
        return f"row {sequence} was changed"
    content = json.loads(row.content)
    if "commitment" not in content:  # of before there were payloads
        is_kept = row.payload is None and row.salt is None
    elif row.payload is None:
        is_kept, content["subject"] = row.salt is None, ""
    else:
        is_kept = commitment(row.salt or "", row.payload) == content["commitment"]
        content["subject"] = json.loads(row.payload)["subject"] if is_kept else ""
    if not is_kept:
        return f"row {sequence}'s payload differs from what was hashed"
    if any(content[name] != getattr(row, name) for name in _REPEATED):
        return f"row {sequence}'s columns differ from what was hashed"
    return ""


def _check_seals(session: Session, tenant: str) -> tuple[int, str, str | None]:
    """The last row that is sealed off, its hash, and the newest seal's own hash."""
    last, row_sha256, previous, newest = 0, GENESIS, GENESIS, None
    for number, seal in enumerate(
        session.scalars(select(AuditSeal).where(AuditSeal.tenant == tenant).order_by(AuditSeal.number)), start=1
    ):
        told: dict[str, Any] = {}
        if chain_hash(previous, seal.content) == seal.sha256:
            told = json.loads(seal.content)
        named = (told.get("tenant"), told.get("number"), told.get("first"), seal.number)
        if named != (tenant, number, last + 1, number):
            raise _Fault(last + 1, f"seal {seal.number} was changed, or one before it is missing")
        last, row_sha256, previous, newest = told["last"], told["last_sha256"], seal.sha256, seal.sha256
    return last, row_sha256, newest


def _check_erasures(walk: _Walk) -> None:
    """Every payload that is gone was erased by an entry that says so."""
    told: Ranges = []  # what entries name
    for first, last in sorted(one for erasure in walk.erasures for one in erasure.ranges):
        add_range(told, first, last)
    place = 0
    for first, last in walk.erased:
        while place < len(told) and told[place][1] < first:
            place += 1
        is_begun = place < len(told) and told[place][0] <= first
        unnamed = told[place][1] + 1 if is_begun else first
        if unnamed <= last:
            raise _Fault(unnamed, f"row {unnamed}'s payload is gone, and no entry tells that it was erased")


# --- heads that are kept elsewhere ------------------------------------------------------------------------------------


def read_heads(session: Session) -> dict[str, Head]:
    """The newest head of every tenant."""
    rows = session.execute(select(AuditHead.tenant, AuditHead.sequence, AuditHead.sha256).order_by(AuditHead.tenant))
    return {row.tenant: Head(row.sequence, row.sha256) for row in rows}


def keep_heads(session: Session, reports: Path) -> dict[str, Head]:
    """Write the newest head of every tenant beside the reports, a line each, and give them."""
    found = read_heads(session)
    at = datetime.now(UTC).isoformat(timespec="seconds")
    reports.mkdir(parents=True, exist_ok=True)
    with (reports / HEADS_FILE).open("a", encoding="utf-8") as file:
        for tenant, head in found.items():
            file.write(json.dumps({"at": at, "tenant": tenant, "head": str(head)}) + "\n")
    return found


def kept_heads(reports: Path, tenant: str) -> Iterator[Head]:
    """The heads of a tenant that `keep_heads` wrote.

    Raises:
        InvalidInput: the file holds something else.
    """
    path = reports / HEADS_FILE
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            kept = json.loads(line)
            if kept["tenant"] == tenant:
                yield Head.parse(kept["head"])
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidInput("has a line that is no kept head", field=HEADS_FILE, remedy="Correct it.") from error
