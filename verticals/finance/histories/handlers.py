"""The operations of histories. Computes no feature and no vector itself."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy.orm import Session, sessionmaker

from verticals.contract import Context, Decision, InvalidInput
from verticals.finance.histories import schemas
from verticals.finance.histories.embeddings import EmbeddingStore, vector_of
from verticals.finance.histories.events import BadEvent, read_events
from verticals.finance.histories.store import EventStore
from verticals.finance.histories.tables import FinanceEvent
from verticals.finance.histories.view import FEATURES
from verticals.finance.simulator import is_synthetic


class HistoryDesk:
    """A customer's history.

    Args:
        erase_sources: Deletes, within a session, the evidence and terms of a tenant's customer; how many.
        wake: Called when vectors are due; returns at once.
    """

    def __init__(
        self,
        sessions: sessionmaker[Session],
        events: EventStore,
        embeddings: EmbeddingStore,
        erase_sources: Callable[[Session, str, str], int],
        wake: Callable[[], None],
    ) -> None:
        self._sessions, self._events, self._embeddings, self._wake = sessions, events, embeddings, wake
        self._erase_sources = erase_sources

    def append(self, request: schemas.EventsRequest, context: Context) -> schemas.EventsResponse:
        """Keep the good events, report the bad ones; the vector follows."""
        good, bad = read_events(request.events, now=datetime.now(UTC))
        appended = self._events.append(context.tenant, request.customer, good)
        if appended.num_new:
            self._wake()
        # The store counts the good ones; the caller counts all.
        unread = {b.row_idx for b in bad}
        place = [i for i in range(len(request.events)) if i not in unread]
        errors = [_error(b, b.row_idx) for b in bad] + [_error(b, place[b.row_idx]) for b in appended.bad]
        return schemas.EventsResponse(
            customer=request.customer,
            appended=appended.num_new,
            known=appended.num_known,
            errors=sorted(errors, key=lambda error: error.row),
        )

    def events(self, request: schemas.EventPageRequest, context: Context) -> schemas.EventPage:
        """A page of events."""
        rows, total = self._events.page(context.tenant, request.customer, limit=request.limit, offset=request.offset)
        return schemas.EventPage(
            items=[_item(row) for row in rows],
            total=total,
            limit=request.limit,
            offset=request.offset,
            synthetic=is_synthetic(request.customer),
        )

    def erase(self, request: schemas.EraseRequest, context: Context) -> schemas.EraseResponse:
        """Delete all that is kept of the customer and record that it was deleted, in one transaction."""
        with self._sessions.begin() as session:
            erased = self._events.erase(session, context.tenant, request.customer)
            evidence = self._erase_sources(session, context.tenant, request.customer)
            found = Decision(
                kind="finance.erase",
                subject=request.customer,
                input_sha256=hashlib.sha256(request.customer.encode()).hexdigest(),
                outcome={"events": erased, "evidence": evidence},
                model_version="none",
            )
            context.record(found, session=session)
        return schemas.EraseResponse(customer=request.customer, erased=erased, evidence=evidence)

    def features(self, request: schemas.FeaturesRequest, context: Context) -> schemas.FeaturesResponse:
        """The view and the vector's state.

        Raises:
            InvalidInput: a moment that has not come yet.
        """
        now = datetime.now(UTC)
        as_of = request.as_of or now
        if as_of > now:
            raise InvalidInput("must not be in the future", field="as_of", remedy="Leave it out for now.")
        found = self._events.features(context.tenant, request.customer, as_of=as_of)
        return schemas.FeaturesResponse(
            customer=request.customer,
            as_of=as_of,
            features=[schemas.FeatureValue(name=f.name, label=f.label, value=found[f.name]) for f in FEATURES],
            sequence=self._sequence(context.tenant, request.customer, as_of),
            synthetic=is_synthetic(request.customer),
        )

    def _sequence(self, tenant: str, customer: str, as_of: datetime) -> schemas.SequenceState | None:
        model, row = self._embeddings.model(), self._embeddings.newest(tenant, customer, as_of)
        if model is not None and row is None and self._embeddings.is_due(tenant, customer):
            self._wake()  # the version may be new, or the process ended that was to make it
        if model is None or row is None:
            return None
        return schemas.SequenceState(
            model_version=model.version,
            as_of=datetime.fromtimestamp(row.as_of_s, UTC),
            num_events=row.num_events,
            log_odds=model.head.logit(vector_of(row)),
            bound=model.head.bound,
        )


def _error(bad: BadEvent, row: int) -> schemas.RowError:
    return schemas.RowError(row=row, field=bad.field, rule=bad.rule, remedy=bad.remedy)


def _item(row: FinanceEvent) -> schemas.EventItem:
    amount, balance, limit = (
        None if cents is None else cents / 100 for cents in (row.amount_cents, row.balance_cents, row.limit_cents)
    )
    return schemas.EventItem(
        event_id=row.event_id,
        at=datetime.fromtimestamp(row.at_s, UTC),
        kind=row.kind,
        category=row.category,
        channel=row.channel,
        amount=amount,
        balance=balance,
        credit_limit=limit,
    )
