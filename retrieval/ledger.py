"""What each answer was made from: query, index version, candidates with scores, citations. Ignores what it says.

An entry holds what was streamed, as it was streamed, so both can be compared at any time. Passages are named by id,
never copied: the text of a deleted document is not kept alive here, and an id, derived from what the passage says, can
never come to mean other words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.orm import Session, sessionmaker

from retrieval.catalog import as_utc
from retrieval.tables import LedgerRow


@dataclass(frozen=True)
class Considered:
    """A passage that the answer could cite as `[number]`; scores as in `retrieval.documents.Hit`."""

    number: int
    passage_id: str
    doc_id: str
    score: float
    similarity: float


@dataclass(frozen=True)
class Citation:
    """A sentence of the answer rests on characters [start, end) of the text of a candidate."""

    number: int
    passage_id: str
    start: int
    end: int


@dataclass(frozen=True)
class LedgerEntry:
    """One answer. Citations are in the order of its sentences; `created_at` is in UTC.

    `query` is what was searched for: personal data. `index_version` is None for a tenant without documents,
    `customer_id` where no customer is known.
    """

    answer_id: str
    conversation_id: str
    customer_id: str | None
    query: str
    index_version: str | None
    candidates: tuple[Considered, ...]
    citations: tuple[Citation, ...]
    created_at: datetime


class Ledger:
    """Entries in SQL, one tenant at a time."""

    def __init__(self, sessions: sessionmaker[Session]) -> None:
        self._sessions = sessions

    def record(self, entry: LedgerEntry, *, tenant: str) -> None:
        """Keep an entry; an answer is recorded once.

        Raises:
            sqlalchemy.exc.IntegrityError: the answer has an entry already.
        """
        with self._sessions.begin() as session:
            session.add(LedgerRow(tenant=tenant, **asdict(entry)))

    def read(self, answer_id: str, *, tenant: str) -> LedgerEntry | None:
        """The entry of an answer; None if this tenant has none."""
        with self._sessions() as session:
            row = session.get(LedgerRow, (tenant, answer_id))
            return None if row is None else _entry(row)

    def of_customer(self, customer_id: str, *, tenant: str) -> list[LedgerEntry]:
        """The entries of a customer, the oldest first."""
        mine = (LedgerRow.tenant == tenant, LedgerRow.customer_id == customer_id)
        with self._sessions() as session:
            rows = session.scalars(select(LedgerRow).where(*mine).order_by(LedgerRow.created_at, LedgerRow.answer_id))
            return [_entry(row) for row in rows]

    def forget_conversation(self, conversation_id: str, *, tenant: str) -> int:
        """Delete the entries of a conversation; returns how many there were."""
        return self._forget(LedgerRow.conversation_id == conversation_id, tenant)

    def forget_customer(self, customer_id: str, *, tenant: str) -> int:
        """Delete the entries of a customer; returns how many there were."""
        return self._forget(LedgerRow.customer_id == customer_id, tenant)

    def _forget(self, whose: ColumnElement[bool], tenant: str) -> int:
        with self._sessions.begin() as session:
            return len(
                session.scalars(
                    delete(LedgerRow).where(LedgerRow.tenant == tenant, whose).returning(LedgerRow.answer_id)
                ).all()
            )


def _entry(row: LedgerRow) -> LedgerEntry:
    columns: Mapping[str, Any] = {name: getattr(row, name) for name in LedgerEntry.__dataclass_fields__}
    return LedgerEntry(
        **{
            **columns,
            "candidates": tuple(Considered(**one) for one in row.candidates),
            "citations": tuple(Citation(**one) for one in row.citations),
            "created_at": as_utc(row.created_at),
        }
    )
