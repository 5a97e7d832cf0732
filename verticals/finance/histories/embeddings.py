"""The store of vectors: made after events came, off their request; read by the scorer. Ignores what a vector means.

A row in `finance_embeddings_due` says whose vector is old; it goes when a newer one is stored, in one transaction, so a
crash loses none. Whoever reads meanwhile gets the vector of the events before.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import delete, insert, literal, select
from sqlalchemy.orm import Session, sessionmaker

from verticals.contract import ModelRegistry
from verticals.finance.histories.encoder import read_histories
from verticals.finance.histories.model import SequenceModel, load_sequence
from verticals.finance.histories.store import EventStore
from verticals.finance.histories.tables import FinanceEmbedding, FinanceEmbeddingDue, FinanceEvent
from verticals.undisturbed import hold

BATCH = 128  # customers whose vectors are made at once
OnMade = Callable[[str, Sequence[str]], object]
_log = logging.getLogger(__name__)


class EmbeddingStore:
    """Vectors of all tenants, by the active version of the sequence model; without one there are none."""

    def __init__(self, sessions: sessionmaker[Session], events: EventStore, registry: ModelRegistry) -> None:
        self._sessions, self._events, self._registry = sessions, events, registry
        self._lock = Lock()
        self._kept: SequenceModel | None = None
        self._has_marked = False

    def model(self) -> SequenceModel | None:
        """Read at the first use and then kept; None as long as none is registered."""
        with self._lock:
            if self._kept is None:
                self._kept = load_sequence(self._registry)
            return self._kept

    def sequence_features(self, tenant: str, customer: str, as_of: datetime) -> NDArray[np.float32] | None:
        """The newest vector of the customer's events that ended by `as_of`, (D,); None: no such, or no model."""
        found = self.newest(tenant, customer, as_of)
        return None if found is None else vector_of(found)

    def newest(self, tenant: str, customer: str, as_of: datetime) -> FinanceEmbedding | None:
        """The row of `sequence_features`."""
        model = self.model()
        if model is None:
            return None
        mine = (FinanceEmbedding.tenant == tenant, FinanceEmbedding.customer == customer)
        query = select(FinanceEmbedding).where(
            *mine,
            FinanceEmbedding.model_version == model.version,
            FinanceEmbedding.as_of_s <= int(as_of.timestamp()),
        )
        with self._sessions() as session:
            return session.scalar(query.order_by(FinanceEmbedding.as_of_s.desc()).limit(1))

    def is_due(self, tenant: str, customer: str) -> bool:
        """Whether a refresh would make a vector of the customer's; before the first of all it may."""
        if not self._has_marked:
            return True
        with self._sessions() as session:
            return session.get(FinanceEmbeddingDue, (tenant, customer)) is not None

    def refresh(self, on_made: OnMade) -> int:
        """Make every vector that is due; how many were made. 0 without a model: they stay due.

        At the first time also those that the model's version does not have yet.

        Args:
            on_made: Called with a tenant and its customers whose vectors are stored.
        """
        made = 0
        if not self._has_marked and (model := self.model()) is not None:
            self._mark_missing(model)
            self._has_marked = True
        while self.model() is not None:
            with self._sessions() as session:
                tenant = session.scalar(select(FinanceEmbeddingDue.tenant).limit(1))
                mine = select(FinanceEmbeddingDue).where(FinanceEmbeddingDue.tenant == tenant).limit(BATCH)
                due = list(session.scalars(mine))
            if not due:
                break
            made += self._make(due)
            on_made(due[0].tenant, [row.customer for row in due])
        return made

    def _mark_missing(self, model: SequenceModel) -> None:
        """Everyone with events and no vector of the active version is due: after a new version was registered."""
        e, v, due = FinanceEvent, FinanceEmbedding, FinanceEmbeddingDue
        has_vector = select(1).where(v.tenant == e.tenant, v.customer == e.customer, v.model_version == model.version)
        is_due = select(1).where(due.tenant == e.tenant, due.customer == e.customer)
        missing = select(e.tenant, e.customer, literal("")).where(~has_vector.exists(), ~is_due.exists()).distinct()
        with self._sessions.begin() as session:
            session.execute(insert(due).from_select(["tenant", "customer", "ticket"], missing))

    def _make(self, due: list[FinanceEmbeddingDue]) -> int:
        """Vectors of some customers of one tenant. A ticket that has changed since stays: more events came."""
        model, now = self.model(), datetime.now(UTC)
        assert model is not None, "refresh makes none without a model"
        tenant, customers = due[0].tenant, [row.customer for row in due]
        histories = read_histories(self._events.table(tenant, customers, as_of=now), customers)
        vectors_CD = model.encoder.embed(histories)
        with self._sessions.begin() as session:
            for i, row in enumerate(due):
                # Locked, so that an erasure comes before, and there is nothing to store, or after, and takes it away.
                same = (FinanceEmbeddingDue.tenant == tenant, FinanceEmbeddingDue.customer == row.customer)
                hold(session, FinanceEmbeddingDue, *same)
                is_due = session.get(FinanceEmbeddingDue, (tenant, row.customer)) is not None
                count = int(histories.counts[i])
                if count and is_due:
                    session.merge(
                        FinanceEmbedding(
                            tenant=tenant,
                            customer=row.customer,
                            model_version=model.version,
                            as_of_s=round(histories.day_E[histories.first[i + 1] - 1] * 86_400),
                            num_events=count,
                            vector=vectors_CD[i].astype("<f4").tobytes(),
                            made_at=now,
                        )
                    )
                session.execute(delete(FinanceEmbeddingDue).where(*same, FinanceEmbeddingDue.ticket == row.ticket))
        return len(due)


def vector_of(row: FinanceEmbedding) -> NDArray[np.float32]:
    """The stored vector, (D,)."""
    return np.frombuffer(row.vector, "<f4")


class InBackground:
    """Runs `work` in one thread of its own after each `wake`; wakes that come before it begins are one."""

    def __init__(self, work: Callable[[], object]) -> None:
        self._work = work
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="finance-embeddings")
        self._asked = Lock()

    def wake(self) -> None:
        """Ask for a run; returns at once."""
        if self._asked.acquire(blocking=False):
            self._pool.submit(self._run)

    def _run(self) -> None:
        self._asked.release()  # before the work: who wakes from here on asks for another run
        try:
            self._work()
        except Exception as error:  # noqa: BLE001  (what is due stays due: the next event or start tries again)
            _log.warning("vectors of histories could not be made: %s", type(error).__name__)
