"""The store of events: appended once, read as a table, described by the view. Ignores vectors (`embeddings.py`)."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.orm.exc import StaleDataError

from verticals.contract import Conflict
from verticals.finance.fraud.tables import FinanceCardTransaction, FinanceCase
from verticals.finance.histories.events import COLUMNS, BadEvent, Event, event_table
from verticals.finance.histories.tables import FinanceEmbedding, FinanceEmbeddingDue, FinanceEvent
from verticals.finance.histories.view import FEATURES, ZERO_WITHOUT_EVENTS
from verticals.finance.histories.view_sql import feature_query

if TYPE_CHECKING:
    import pandas as pd

ATTEMPTS = 3  # of an append, when another request appends for the same customer at the same moment


@dataclass(frozen=True)
class Appended:
    """What became of a request's events."""

    num_new: int
    num_known: int  # sent again, unchanged
    bad: tuple[BadEvent, ...]  # `row_idx` counts the events of this call: known ids with another content


class EventStore:
    """Events of all tenants in one database."""

    def __init__(self, sessions: sessionmaker[Session]) -> None:
        self._sessions = sessions

    def append(self, tenant: str, customer: str, events: Sequence[Event]) -> Appended:
        """Keep new events and mark the customer's vector as due, in one transaction.

        An event is never changed: the same id with another content is reported. Sending the same again does no harm.

        Raises:
            Conflict: others kept appending for the same customer.
        """
        for _ in range(ATTEMPTS):
            try:
                with self._sessions.begin() as session:
                    return _append(session, tenant, customer, events)
            except (IntegrityError, StaleDataError):
                continue  # another was first with an event, or set or took the mark: look again
        raise Conflict(
            "is being appended to by other requests", field="customer", value=customer, remedy="Send the events again."
        )

    def table(self, tenant: str, customers: Sequence[str], *, as_of: datetime) -> pd.DataFrame:
        """Events of these customers up to `as_of`, inclusive, as `events.event_table`."""
        columns = [getattr(FinanceEvent, name) for name in COLUMNS]
        mine = (FinanceEvent.tenant == tenant, FinanceEvent.customer.in_(customers))
        with self._sessions() as session:
            rows = session.execute(select(*columns).where(*mine, FinanceEvent.at_s <= int(as_of.timestamp())))
            return event_table([dict(row._mapping) for row in rows])

    def page(self, tenant: str, customer: str, *, limit: int, offset: int) -> tuple[list[FinanceEvent], int]:
        """A customer's events, newest first, and how many there are."""
        mine = select(FinanceEvent).where(FinanceEvent.tenant == tenant, FinanceEvent.customer == customer)
        newest_first = mine.order_by(FinanceEvent.at_s.desc(), FinanceEvent.event_id.desc())
        with self._sessions() as session:
            total = session.scalar(select(func.count()).select_from(mine.subquery())) or 0
            return list(session.scalars(newest_first.limit(limit).offset(offset))), total

    def erase(self, session: Session, tenant: str, customer: str) -> int:
        """Delete a customer's events, vectors and card transactions within `session`'s transaction; how many events.

        Cases of suspected fraud stay, and name the customer no more.
        """
        # The mark first: whoever makes the vector now finds it gone and stores none.
        for table in (FinanceEmbeddingDue, FinanceEmbedding, FinanceCardTransaction):
            session.execute(delete(table).where(table.tenant == tenant, table.customer == customer))
        suspected = (FinanceCase.tenant == tenant, FinanceCase.customer == customer)
        session.execute(update(FinanceCase).where(*suspected).values(customer=None))
        mine = (FinanceEvent.tenant == tenant, FinanceEvent.customer == customer)
        gone = session.scalar(select(func.count()).select_from(FinanceEvent).where(*mine)) or 0
        session.execute(delete(FinanceEvent).where(*mine))
        return gone

    def features(self, tenant: str, customer: str, *, as_of: datetime) -> dict[str, float | None]:
        """The feature view of one customer, computed in the database; None is missing."""
        query = feature_query(tenant, as_of_s=int(as_of.timestamp()), customers=[customer])
        with self._sessions() as session:
            found = session.execute(query).mappings().one_or_none()
        if found is None:
            return {f.name: 0.0 if f.name in ZERO_WITHOUT_EVENTS else None for f in FEATURES}
        return {f.name: None if found[f.name] is None else float(found[f.name]) for f in FEATURES}


def _append(session: Session, tenant: str, customer: str, events: Sequence[Event]) -> Appended:
    mine = (FinanceEvent.tenant == tenant, FinanceEvent.customer == customer)
    ids = [event.event_id for event in events]
    columns = [getattr(FinanceEvent, name) for name in COLUMNS]
    stored = session.execute(select(*columns).where(*mine, FinanceEvent.event_id.in_(ids)))
    known: dict[str, dict[str, Any]] = {row.event_id: dict(row._mapping) for row in stored}
    rows = [event.row(customer) for event in events]
    new = [row for row in rows if row["event_id"] not in known]
    bad = tuple(
        BadEvent(i, "event_id", "is known with another content", "Events are never changed: give a new one its own id.")
        for i, row in enumerate(rows)
        if row["event_id"] in known and known[row["event_id"]] != row
    )
    if new:
        received = {"tenant": tenant, "received_at": datetime.now(UTC)}
        session.execute(insert(FinanceEvent), [row | received for row in new])
        session.merge(FinanceEmbeddingDue(tenant=tenant, customer=customer, ticket=uuid.uuid4().hex))
    return Appended(len(new), len(rows) - len(new) - len(bad), bad)
