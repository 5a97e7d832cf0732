"""The operations of customer support on top of agent, knowledge base and ticket desk. Ignores HTTP."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from retrieval.documents import Document
from verticals.contract import Context, Decision, Handler, InvalidInput, NotFound, Resources
from verticals.support import schemas as s
from verticals.support.actions import ActionDesk
from verticals.support.agent import NUM_PASSAGES, SupportAgent
from verticals.support.answering import can_draft
from verticals.support.checkpoints import open_checkpointer
from verticals.support.conversation import read_window, standalone_query
from verticals.support.dialogue import Dialogue
from verticals.support.handoffs import HandoffDesk
from verticals.support.model_planner import FirstOf, ModelPlanner
from verticals.support.operations import OPERATIONS
from verticals.support.policy import Policy
from verticals.support.rule_planner import RulePlanner
from verticals.support.session_handlers import SessionHandlers
from verticals.support.sessions import SessionStore
from verticals.support.shop.executor import Executor
from verticals.support.tickets import TicketDesk, messages_sha256
from verticals.support.turn import Desks, Turn, to_sources

POLICY_VERSION = "support-agent-1"


def build(resources: Resources) -> Mapping[str, Handler]:
    """Handlers by operation name."""
    knowledge, sessions = resources.retriever, resources.sessions

    def version() -> str:  # asked at each use: the model may be swapped
        return resources.model_version

    def may_draft() -> bool:
        return can_draft(version())

    database = sessions.kw["bind"]
    checkpointer, executor, handoffs = open_checkpointer(database), Executor(sessions), HandoffDesk(sessions)
    planner = FirstOf((RulePlanner(), ModelPlanner(resources.chat_model, may_propose=may_draft)))
    policy, actions = Policy(planner, executor), ActionDesk(sessions, executor, checkpointer)
    desk = TicketDesk(sessions, resources.chat_model, version, policy)
    agent = SupportAgent(
        resources.chat_model,
        knowledge,
        desk,
        desks=Desks(policy, actions, handoffs, checkpointer),
        similarity=knowledge.similarities,
        may_draft=may_draft,
    )
    store = SessionStore(sessions)
    dialogue = Dialogue(store, agent, actions, handoffs, version)
    parts = (
        SupportHandlers(agent, desk, knowledge, version),
        SessionHandlers(store, dialogue, actions, handoffs, desk),
    )
    return {
        operation.name: next(getattr(part, operation.name) for part in parts if hasattr(part, operation.name))
        for operation in OPERATIONS
    }


class SupportHandlers:
    """One method per operation: `(request, context)` to response or events."""

    def __init__(self, agent: SupportAgent, desk: TicketDesk, knowledge: Any, model_version: Callable[[], str]) -> None:
        self._agent, self._desk, self._knowledge, self._model_version = agent, desk, knowledge, model_version

    def chat(self, request: s.ChatRequest, context: Context) -> Iterator[s.ChatEvent]:
        """Answer as a stream of events; the decision is recorded before the last one, or when the listener leaves."""
        read_window(request.messages)  # bad input fails here, before a stream is opened
        return self._stream(request, context)

    def _stream(self, request: s.ChatRequest, context: Context) -> Iterator[s.ChatEvent]:
        conversation_id = request.conversation_id or f"conv-{uuid.uuid4().hex}"
        sources: list[s.Source] = []
        text, ticket_id = "", None
        done: s.DoneEvent | None = None
        settings = {"max_tokens": request.max_tokens, "temperature": request.temperature, "seed": request.seed}
        events = self._agent.stream(Turn(context, conversation_id, request.messages, settings))
        try:
            for event in events:
                match event.root:
                    case s.SourcesEvent(sources=found):
                        sources = found
                    case s.DeltaEvent(text=piece):
                        text += piece
                    case s.TicketEvent(ticket=ticket):
                        ticket_id = ticket.ticket_id
                    case s.DoneEvent() as last:
                        done = last
                        break
                yield event
        finally:
            events.close()
            cited = {int(number) for number in re.findall(r"\[(\d+)\]", text)}
            outcome = {
                "answered": bool(done and done.answered),
                "cited": [source.passage_id for source in sources if source.number in cited],
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
        if done:
            yield s.ChatEvent(done)

    def search(self, request: s.SearchRequest, context: Context) -> s.SearchResponse:
        """Passages for a query, best first."""
        if not request.query.strip():
            raise InvalidInput("must not be blank", field="query", remedy="Send some words.")
        hits = self._knowledge.search(request.query, tenant=context.tenant, k=request.k)
        return s.SearchResponse(
            hits=[
                s.SearchHit(**source.model_dump(), score=hit.score)
                for source, hit in zip(to_sources(hits), hits, strict=True)
            ]
        )

    def create_ticket(self, request: s.CreateTicketRequest, context: Context) -> s.Ticket:
        """Write and store a ticket."""
        window = read_window(request.messages)
        hits = self._knowledge.search(standalone_query(window), tenant=context.tenant, k=NUM_PASSAGES)
        conversation_id = request.conversation_id or f"conv-{uuid.uuid4().hex}"
        return self._desk.open(window, context, conversation_id=conversation_id, hits=hits)

    def list_tickets(self, request: s.ListTicketsRequest, context: Context) -> s.TicketPage:
        """A page of the queue."""
        return self._desk.list(context, limit=request.limit, offset=request.offset)

    def get_ticket(self, request: s.GetTicketRequest, context: Context) -> s.Ticket:
        """One ticket."""
        return self._desk.get(request.ticket_id, context)

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
