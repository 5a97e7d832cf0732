"""What an answer was made from, between its events, the ledger and the API. Ignores how the answer was found."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from retrieval import ledger
from verticals.contract import Context
from verticals.support import schemas as s


def to_entry(
    shown: s.SourcesEvent,
    citations: Sequence[s.Citation],
    context: Context,
    *,
    answer_id: str,
    conversation_id: str,
    index_version: str | None,
) -> ledger.LedgerEntry:
    """The ledger's entry of an answer: exactly what its events showed."""
    return ledger.LedgerEntry(
        answer_id=answer_id,
        conversation_id=conversation_id,
        customer_id=context.customer,
        query=shown.query,
        index_version=index_version,
        candidates=tuple(
            ledger.Considered(one.number, one.passage_id, one.doc_id, one.score, one.similarity)
            for one in shown.sources
        ),
        citations=tuple(ledger.Citation(one.number, one.passage_id, one.start, one.end) for one in citations),
        created_at=datetime.now(UTC),
    )


def to_references(entry: ledger.LedgerEntry) -> s.References:
    """The API's words for an entry; whose it is stays inside."""
    return s.References.model_validate(entry, from_attributes=True)
