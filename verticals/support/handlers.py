"""The operations of customer support on top of agent, knowledge base and ticket desk. Ignores HTTP."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from retrieval.documents import Document
from retrieval.ledger import Ledger
from verticals.contract import Context, Decision, Handler, InvalidInput, NotFound, Resources
from verticals.support import schemas as s
from verticals.support.agent import NUM_PASSAGES, SupportAgent, to_sources
from verticals.support.answering import can_draft
from verticals.support.conversation import read_window, standalone_query
from verticals.support.references import to_entry, to_references
from verticals.support.tickets import TicketDesk, messages_sha256

POLICY_VERSION = "support-agent-1"


def build(resources: Resources) -> Mapping[str, Handler]:
    """Handlers by operation name."""
    knowledge = resources.retriever

    def version() -> str:  # asked at each use: the model may be swapped
        return resources.model_version

    desk = TicketDesk(resources.sessions, resources.chat_model, version)
    agent = SupportAgent(
        resources.chat_model,
        knowledge,
        desk,
        similarity=knowledge.similarities,
        may_draft=lambda: can_draft(version()),
    )
    handlers = SupportHandlers(agent, desk, knowledge, version, Ledger(resources.sessions))
    return {
        name: getattr(handlers, name)
        for name in (
            "chat",
            "get_references",
            "search",
            "create_ticket",
            "list_tickets",
            "get_ticket",
            "ingest",
            "list_documents",
            "delete_document",
        )
    }


class SupportHandlers:
    """One method per operation: `(request, context)` to response or events."""

    def __init__(
        self, agent: SupportAgent, desk: TicketDesk, knowledge: Any, model_version: Callable[[], str], ledger: Ledger
    ) -> None:
        self._agent, self._desk, self._knowledge, self._model_version = agent, desk, knowledge, model_version
        self._ledger = ledger

    def chat(self, request: s.ChatRequest, context: Context) -> Iterator[s.ChatEvent]:
        """Answer as a stream of events.

        Decision and references are recorded before the last one, or when the listener leaves.
        """
        read_window(request.messages)  # bad input fails here, before a stream is opened
        return self._stream(request, context)

    def _stream(self, request: s.ChatRequest, context: Context) -> Iterator[s.ChatEvent]:
        conversation_id = request.conversation_id or f"conv-{uuid.uuid4().hex}"
        answer_id = f"ans-{uuid.uuid4().hex}"
        shown: s.SourcesEvent | None = None
        citations: list[s.Citation] = []
        ticket_id = None
        done: s.DoneEvent | None = None
        events = self._agent.stream(request, context, conversation_id=conversation_id)
        try:
            for event in events:
                match event.root:
                    case s.SourcesEvent() as found:
                        shown = found
                    case s.CitationEvent() as citation:
                        citations.append(citation)
                    case s.TicketEvent(ticket=ticket):
                        ticket_id = ticket.ticket_id
                    case s.DoneEvent() as last:
                        done = last
                        break
                yield event
        finally:
            events.close()
            outcome = {
                "answered": bool(done and done.answered),
                "cited": list(dict.fromkeys(citation.passage_id for citation in citations)),
                "ticket_id": ticket_id,
                "finish_reason": done.finish_reason if done else "cancelled",
            }
            context.record(
                Decision(
                    kind="support.answer",
                    subject=conversation_id,
                    input_sha256=messages_sha256(request.messages),
                    outcome=outcome,
                    model_version=self._model_version(),
                    policy_version=POLICY_VERSION,
                )
            )
            if shown is not None:
                version = self._knowledge.version(context.tenant)
                ids = {"answer_id": answer_id, "conversation_id": conversation_id}
                self._ledger.record(
                    to_entry(shown, citations, context, **ids, index_version=version), tenant=context.tenant
                )
        if done:
            yield s.ChatEvent(done.model_copy(update={"answer_id": answer_id}) if shown else done)

    def get_references(self, request: s.GetReferencesRequest, context: Context) -> s.References:
        """What an answer was made from, as it was streamed."""
        entry = self._ledger.read(request.answer_id, tenant=context.tenant)
        if entry is None:
            raise NotFound("no such answer", field="answer_id", value=request.answer_id, remedy="Take it from `done`.")
        return to_references(entry)

    def search(self, request: s.SearchRequest, context: Context) -> s.SearchResponse:
        """Passages for a query, best first."""
        if not request.query.strip():
            raise InvalidInput("must not be blank", field="query", remedy="Send some words.")
        hits = self._knowledge.search(request.query, tenant=context.tenant, k=request.k)
        return s.SearchResponse(hits=to_sources(hits))

    def create_ticket(self, request: s.CreateTicketRequest, context: Context) -> s.Ticket:
        """Write and store a ticket."""
        window = read_window(request.messages)
        hits = self._knowledge.search(standalone_query(window), tenant=context.tenant, k=NUM_PASSAGES)
        conversation_id = request.conversation_id or f"conv-{uuid.uuid4().hex}"
        return self._desk.open(window, context, conversation_id=conversation_id, hits=hits)

    def list_tickets(self, request: s.ListTicketsRequest, context: Context) -> s.TicketPage:
        """A page of the queue."""
        return self._desk.list(context.tenant, limit=request.limit, offset=request.offset)

    def get_ticket(self, request: s.GetTicketRequest, context: Context) -> s.Ticket:
        """One ticket."""
        return self._desk.get(request.ticket_id, context.tenant)

    def ingest(self, request: s.IngestRequest, context: Context) -> s.IngestResponse:
        """Add or replace documents."""
        documents = [Document(d.doc_id, d.title, d.text, d.metadata) for d in request.documents]
        report = self._knowledge.ingest(documents, tenant=context.tenant)
        return s.IngestResponse(
            added=report.added,
            replaced=report.replaced,
            unchanged=report.unchanged,
            skipped=[s.SkippedDocument(doc_id=p.source, reason=p.reason) for p in report.skipped],
        )

    def list_documents(self, request: s.ListDocumentsRequest, context: Context) -> s.DocumentPage:
        """A page of the knowledge base."""
        infos = self._knowledge.list_documents(context.tenant)
        return s.DocumentPage(
            documents=[
                s.DocumentInfo(doc_id=i.doc_id, title=i.title, passages=i.num_passages, metadata=i.metadata)
                for i in infos[request.offset : request.offset + request.limit]
            ],
            total=len(infos),
        )

    def delete_document(self, request: s.DeleteDocumentRequest, context: Context) -> s.DeleteDocumentResponse:
        """Remove a document."""
        if not self._knowledge.delete(request.doc_id, context.tenant):
            raise NotFound("no such document", field="doc_id", value=request.doc_id, remedy="List documents first.")
        return s.DeleteDocumentResponse(doc_id=request.doc_id)
