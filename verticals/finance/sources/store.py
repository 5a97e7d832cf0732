"""The store of sources: evidence is filed, its term made once, and read by scores. Ignores which terms count.

A term is stored only while what it was made of is still there, in one transaction, so an erasure takes both. Terms of
older model versions stay beside the new ones: a server that has not been started again goes on reading its own.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from threading import Lock
from typing import NamedTuple

import numpy as np
from sqlalchemy import Exists, and_, delete, exists, func, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session, sessionmaker

from retrieval.catalog import batches
from verticals.contract import Context, Decision, ModelRegistry
from verticals.finance.documents.mismatch import RULES
from verticals.finance.fraud.cases import read_signals
from verticals.finance.histories.embeddings import EmbeddingStore, vector_of
from verticals.finance.histories.store import EventStore
from verticals.finance.histories.tables import FinanceEmbedding
from verticals.finance.simulator import is_synthetic
from verticals.finance.sources.inputs import Array, document_input, history_input
from verticals.finance.sources.model import SourceHead, SourceModel, load_sources
from verticals.finance.sources.names import SOURCES, Mode, Source
from verticals.finance.sources.reading import Kept, Reading, read_sources
from verticals.finance.sources.tables import FinanceEvidence, FinanceSourceTerm
from verticals.undisturbed import hold

_T = FinanceSourceTerm


class SourceStore:
    """Evidence and terms of all tenants, by the active version of the model; without one there are no terms."""

    def __init__(
        self, sessions: sessionmaker[Session], registry: ModelRegistry, events: EventStore, embeddings: EmbeddingStore
    ) -> None:
        self._sessions, self._registry = sessions, registry
        self._events, self._embeddings = events, embeddings
        self._lock = Lock()
        self._kept: SourceModel | None = None

    def model(self) -> SourceModel | None:
        """Read at the first use and then kept; None as long as none is registered."""
        with self._lock:
            if self._kept is None:
                self._kept = load_sources(self._registry)
            return self._kept

    def file(
        self,
        session: Session,
        tenant: str,
        customer: str,
        source: Source,
        numbers_D: Array,
        *,
        reads: str,
        aspects: Sequence[str] = (),
    ) -> str:
        """Keep what a text or a document said, and its term; the evidence's id. Committed with `session`."""
        row = FinanceEvidence(
            tenant=tenant,
            evidence=uuid.uuid4().hex,
            customer=customer,
            source=source,
            reads=reads,
            numbers=numbers_D.astype("<f8").tobytes(),
            aspects=list(aspects),
            filed_at=datetime.now(UTC),
        )
        session.add(row)
        model = self.model()
        if model is not None:
            _keep_evidence(session, model, row)
        return row.evidence

    def file_document(
        self, context: Context, customer: str, features: Mapping[str, float | None], decision: Decision
    ) -> str:
        """Keep the features of a document's check and record it; the evidence's id."""
        x_D = document_input(features)
        with self._sessions.begin() as session:
            evidence = self.file(session, context.tenant, customer, "document", x_D, reads=RULES)
            outcome = {**decision.outcome, "evidence": evidence}
            context.record(replace(decision, outcome=outcome), session=session)
        return evidence

    def refresh_histories(self, tenant: str, customers: Sequence[str]) -> int:
        """Make the terms of histories whose vector is new; how many."""
        model, made = self.model(), 0
        if model is None:
            return 0
        head = self._head_of_histories(model)
        if head is None:
            return 0
        for customer in customers:
            row = self._embeddings.newest(tenant, customer, datetime.now(UTC))
            if row is None:
                continue
            as_of = datetime.fromtimestamp(row.as_of_s, UTC)
            view = self._events.features(tenant, customer, as_of=as_of)
            x_D = history_input(view, vector_of(row))
            v = FinanceEmbedding
            mine = (v.tenant == tenant, v.customer == customer, v.model_version == row.model_version)
            with self._sessions.begin() as session:
                hold(session, v, *mine)  # an erasure comes before it or after us
                newest = select(v.made_at).where(*mine, v.as_of_s <= int(datetime.now(UTC).timestamp()))
                if session.scalar(newest.order_by(v.as_of_s.desc()).limit(1)) != row.made_at:
                    continue  # erased meanwhile, or made again by another process, which makes its term
                evidence = f"{row.model_version.rpartition('@')[2]}:{row.as_of_s}:{row.num_events}"
                kept = Kept(head.bounded(x_D), evidence, as_of, head.aspects(x_D))
                session.merge(_term_row(model, tenant, customer, "history", kept))
                made += 1
        return made

    def make_missing(self, *, page: int = 2000) -> int:
        """Make every term that the active version lacks: after a new version was registered, or a crash; how many.

        Args:
            page: Pieces of evidence that are read, and whose terms are stored, at once.
        """
        model = self.model()
        if model is None:
            return 0
        made = 0
        sequence = self._embeddings.model()
        if sequence is not None:
            v = FinanceEmbedding
            query = select(v.tenant, v.customer).where(v.model_version == sequence.version).distinct()
            with self._sessions() as session:
                missing = session.execute(query.where(~_has_term(model, v, "history"))).all()
            for tenant, customer in missing:
                made += self.refresh_histories(tenant, [customer])
        return made + self._make_of_evidence(model, page=page)

    def _make_of_evidence(self, model: SourceModel, *, page: int) -> int:
        e, made, after = FinanceEvidence, 0, ("", "")
        newest = (
            select(func.max(e.filed_at).label("at"), e.tenant, e.customer, e.source)
            .group_by(e.tenant, e.customer, e.source)
            .subquery()
        )
        same = (e.tenant == newest.c.tenant, e.customer == newest.c.customer, e.source == newest.c.source)
        rows = select(e).join(newest, and_(e.filed_at == newest.c.at, *same)).where(~_has_term(model, e, e.source))
        while True:
            later = rows.where(tuple_(e.tenant, e.evidence) > after).order_by(e.tenant, e.evidence).limit(page)
            with self._sessions.begin() as session:
                found = session.scalars(later).all()
                made += sum(_keep_evidence(session, model, row) for row in found)
                if len(found) < page:
                    return made
                after = found[-1].tenant, found[-1].evidence

    def erase(self, session: Session, tenant: str, customer: str) -> int:
        """Delete the evidence and terms of a customer within `session`; how many pieces of evidence there were."""
        e = FinanceEvidence
        session.execute(delete(_T).where(_T.tenant == tenant, _T.customer == customer))
        count = session.scalar(select(func.count()).where(e.tenant == tenant, e.customer == customer)) or 0
        session.execute(delete(e).where(e.tenant == tenant, e.customer == customer))
        return count

    def _head_of_histories(self, model: SourceModel) -> SourceHead | None:
        sequence = self._embeddings.model()
        return None if sequence is None else model.head("history", sequence.encoder_id)


class Stores(NamedTuple):
    """What is kept of customers beside their applications."""

    events: EventStore
    embeddings: EmbeddingStore
    sources: SourceStore

    def refresh(self) -> int:
        """Make every vector that is due, and the term that reads it; how many vectors."""
        return self.embeddings.refresh(self.sources.refresh_histories)


def open_stores(sessions: sessionmaker[Session], registry: ModelRegistry) -> Stores:
    """The three over one database and one registry."""
    events = EventStore(sessions)
    embeddings = EmbeddingStore(sessions, events, registry)
    return Stores(events, embeddings, SourceStore(sessions, registry, events, embeddings))


def read_all(
    session: Session,
    tenant: str,
    customers: Sequence[str | None],
    *,
    model: SourceModel | None,
    modes: Mapping[Source, Mode],
) -> list[Reading | None]:
    """What a score reads of each customer as of now; None where none was named. Two indexed reads a batch."""
    named = list(dict.fromkeys(customer for customer in customers if customer is not None))
    kept = {} if model is None else _kept_terms(session, tenant, named, model.version)
    fraud = read_signals(session, tenant, named)
    read = {
        c: read_sources(model, modes, kept.get(c, {}), is_simulated=is_synthetic(c), fraud=fraud.get(c)) for c in named
    }
    return [None if customer is None else read[customer] for customer in customers]


def _kept_terms(
    session: Session, tenant: str, customers: Sequence[str], model_version: str
) -> dict[str, dict[Source, Kept]]:
    """Terms by customer; one without any is left out."""
    kept: dict[str, dict[Source, Kept]] = {}
    columns = (_T.customer, _T.source, _T.bounded, _T.evidence, _T.as_of, _T.aspects)
    for part in batches(customers):
        mine = (_T.tenant == tenant, _T.customer.in_(part), _T.model_version == model_version)
        for customer, source, bounded, evidence, as_of, aspects in session.execute(select(*columns).where(*mine)):
            kept.setdefault(customer, {})[_source_of(source)] = Kept(bounded, evidence, as_of, tuple(aspects))
    return kept


def stored_numbers(content: bytes) -> Array:
    """The numbers of a piece of evidence, (D,)."""
    return np.frombuffer(content, "<f8")


def _keep_evidence(session: Session, model: SourceModel, row: FinanceEvidence) -> int:
    """The term of a text or document; 1 if the model has a head for what made its numbers, else 0.

    Without a head the term of what was filed before goes too: the newest evidence counts, or none.
    """
    source = _source_of(row.source)
    head = model.head(source, row.reads)
    if head is None:
        mine = (_T.tenant == row.tenant, _T.customer == row.customer, _T.source == source)
        session.execute(delete(_T).where(*mine, _T.model_version == model.version))
        return 0
    x_D = stored_numbers(row.numbers)
    aspects = tuple(row.aspects) or head.aspects(x_D)
    kept = Kept(head.bounded(x_D), row.evidence, row.filed_at, aspects)
    session.merge(_term_row(model, row.tenant, row.customer, source, kept))
    return 1


def _source_of(name: str) -> Source:
    return next(source for source in SOURCES if source == name)


def _term_row(model: SourceModel, tenant: str, customer: str, source: Source, kept: Kept) -> FinanceSourceTerm:
    return FinanceSourceTerm(
        tenant=tenant,
        customer=customer,
        model_version=model.version,
        source=source,
        bounded=kept.bounded,
        evidence=kept.evidence,
        as_of=kept.as_of,
        aspects=list(kept.aspects),
        made_at=datetime.now(UTC),
    )


def _has_term(
    model: SourceModel,
    rows: type[FinanceEmbedding] | type[FinanceEvidence],
    source: Source | InstrumentedAttribute[str],
) -> Exists:
    return exists().where(
        _T.tenant == rows.tenant,
        _T.customer == rows.customer,
        _T.source == source,
        _T.model_version == model.version,
    )
