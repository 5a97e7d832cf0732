"""What answers were made from: kept as it was streamed, and read back. Ignores how an answer was found."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime

from retrieval.ledger import Citation, Considered, Ledger, LedgerEntry
from verticals.contract import Context, NotFound
from verticals.support.heard import Heard
from verticals.support.schemas import GetReferencesRequest, References


class ReferenceDesk:
    """Keeps and reads references.

    Args:
        ledger: Where they are kept.
        index_version: Of a tenant's knowledge, now.
    """

    def __init__(self, ledger: Ledger, index_version: Callable[[str], str | None]) -> None:
        self._ledger, self._index_version = ledger, index_version

    def keep(self, heard: Heard, context: Context, *, conversation_id: str) -> str | None:
        """Keep exactly what the answer's events showed; the answer's id, None if nothing was searched for."""
        if heard.shown is None:
            return None
        answer_id = f"ans-{uuid.uuid4().hex}"
        entry = LedgerEntry(
            answer_id=answer_id,
            conversation_id=conversation_id,
            customer_id=context.customer,
            query=heard.shown.query,
            index_version=self._index_version(context.tenant),
            candidates=tuple(
                Considered(one.number, one.passage_id, one.doc_id, one.score, one.similarity)
                for one in heard.shown.sources
            ),
            citations=tuple(Citation(one.number, one.passage_id, one.start, one.end) for one in heard.citations),
            created_at=datetime.now(UTC),
        )
        self._ledger.record(entry, tenant=context.tenant)
        return answer_id

    def forget(self, conversation_id: str, context: Context) -> None:
        """Drop what a conversation's answers were made from."""
        self._ledger.forget_conversation(conversation_id, tenant=context.tenant)

    def get_references(self, request: GetReferencesRequest, context: Context) -> References:
        """What an answer was made from, as it was streamed; whose it is stays inside.

        Raises:
            NotFound: this tenant has no such answer.
        """
        entry = self._ledger.read(request.answer_id, tenant=context.tenant)
        if entry is None:
            raise NotFound("no such answer", field="answer_id", value=request.answer_id, remedy="Take it from `done`.")
        return References.model_validate(entry, from_attributes=True)
