"""The operations of customer support on top of agent, knowledge base and ticket desk. Ignores HTTP."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from retrieval.ledger import Ledger
from verticals.contract import Context, CustomerRecords, Decision, Handler, Resources
from verticals.support import schemas as s
from verticals.support.actions import ActionDesk
from verticals.support.agent import NUM_PASSAGES, SupportAgent
from verticals.support.answerable import answerable_with
from verticals.support.answering import can_draft
from verticals.support.checkpoints import open_checkpointer
from verticals.support.consents import ConsentDesk
from verticals.support.conversation import read_window, standalone_query
from verticals.support.dialogue import Dialogue
from verticals.support.feedback import FeedbackDesk
from verticals.support.forgetting import ActionRecords, AnswerRecords, ConversationRecords, TicketRecords
from verticals.support.handoffs import HandoffDesk
from verticals.support.heard import Heard
from verticals.support.ingesting import open_guard
from verticals.support.knowledge_handlers import KnowledgeHandlers
from verticals.support.listening import Listener, open_listener
from verticals.support.memory.background import BackgroundReader
from verticals.support.memory.handlers import MemoryHandlers
from verticals.support.memory.store import CustomerMemory
from verticals.support.model_planner import FirstOf, ModelPlanner
from verticals.support.operations import OPERATIONS
from verticals.support.policy import Policy
from verticals.support.references import ReferenceDesk
from verticals.support.rule_planner import RulePlanner
from verticals.support.session_handlers import SessionHandlers
from verticals.support.sessions import SessionStore
from verticals.support.shop.executor import Executor
from verticals.support.signal_handlers import SignalHandlers
from verticals.support.state.session import SessionTracker
from verticals.support.state.shop import shop_tracker
from verticals.support.state.tracker import StateTracker
from verticals.support.tickets import TicketDesk, messages_sha256
from verticals.support.turn import Desks, Turn

POLICY_VERSION = "support-agent-1"


def build(resources: Resources) -> Mapping[str, Handler]:
    """Handlers by operation name."""
    return assemble(resources, open_listener(resources.registry), shop_tracker(resources.registry))


def assemble(resources: Resources, listener: Listener, tracker: StateTracker) -> Mapping[str, Handler]:
    """Handlers by operation name, around what reads messages and follows sessions."""
    knowledge, sessions = resources.retriever, resources.sessions

    def version() -> str:  # asked at each use: the model may be swapped
        return resources.model_version

    def may_draft() -> bool:
        return can_draft(version())

    database = sessions.kw["bind"]
    checkpointer, executor, handoffs = open_checkpointer(database), Executor(sessions), HandoffDesk(sessions)
    planner = FirstOf((RulePlanner(), ModelPlanner(resources.chat_model, may_propose=may_draft)))
    policy, actions = Policy(planner, executor), ActionDesk(sessions, executor, checkpointer, handoffs.open_failed)
    desk = TicketDesk(sessions, resources.chat_model, version, policy)
    memory, guard = CustomerMemory(sessions, knowledge.embedder), open_guard(knowledge.embedder, sessions)
    agent = SupportAgent(
        resources.chat_model,
        knowledge,
        desk,
        is_answerable=answerable_with(knowledge.embedder),
        desks=Desks(policy, actions, handoffs, memory, SessionTracker(tracker), checkpointer),
        embed=knowledge.embed_query,
        may_draft=may_draft,
        guard=guard,
        listener=listener,
    )
    ledger, consents = Ledger(sessions), ConsentDesk(sessions)
    store, references = SessionStore(sessions, memory), ReferenceDesk(ledger, knowledge.version)
    dialogue = Dialogue(store, agent, actions, handoffs, references, version, after=BackgroundReader(memory))
    records: tuple[CustomerRecords, ...] = (
        ConversationRecords(sessions, checkpointer),
        TicketRecords(sessions),
        ActionRecords(sessions, checkpointer),
        AnswerRecords(ledger),
        consents,
        *resources.records,
    )
    parts = (
        SupportHandlers(agent, desk, knowledge, references, version),
        KnowledgeHandlers(knowledge, guard),
        references,
        SessionHandlers(store, dialogue, actions, handoffs, desk, memory),
        MemoryHandlers(memory, actions, consents, records),
        consents,
        SignalHandlers(consents, dialogue, models={}),  # none is shipped
        FeedbackDesk(sessions),
    )
    return {
        operation.name: next(getattr(part, operation.name) for part in parts if hasattr(part, operation.name))
        for operation in OPERATIONS
    }


class SupportHandlers:
    """One method per operation: `(request, context)` to response or events."""

    def __init__(
        self,
        agent: SupportAgent,
        desk: TicketDesk,
        knowledge: Any,
        references: ReferenceDesk,
        model_version: Callable[[], str],
    ) -> None:
        self._agent, self._desk, self._knowledge, self._model_version = agent, desk, knowledge, model_version
        self._references = references

    def chat(self, request: s.ChatRequest, context: Context) -> Iterator[s.ChatEvent]:
        """Answer as a stream of events.

        Decision and references are recorded before the last one, or when the listener leaves.
        """
        read_window(request.messages)  # bad input fails here, before a stream is opened
        return self._stream(request, context)

    def _stream(self, request: s.ChatRequest, context: Context) -> Iterator[s.ChatEvent]:
        conversation_id = request.conversation_id or f"conv-{uuid.uuid4().hex}"
        heard, answer_id = Heard(), None
        settings = {"max_tokens": request.max_tokens, "temperature": request.temperature, "seed": request.seed}
        events = self._agent.stream(Turn(context, conversation_id, request.messages, settings))
        try:
            for event in events:
                heard.note(event)
                if heard.done:
                    break
                yield event
        finally:
            events.close()
            context.record(
                Decision(
                    kind="support.answer",
                    subject=conversation_id,
                    input_sha256=messages_sha256(request.messages),
                    outcome=heard.outcome(),
                    model_version=self._model_version(),
                    policy_version=POLICY_VERSION,
                )
            )
            answer_id = self._references.keep(heard, context, conversation_id=conversation_id)
        if heard.done:
            yield s.ChatEvent(heard.done.model_copy(update={"answer_id": answer_id}))

    def create_ticket(self, request: s.CreateTicketRequest, context: Context) -> s.Ticket:
        """Write and store a ticket."""
        window = read_window(request.messages)
        hits = self._knowledge.search(standalone_query(window), tenant=context.tenant, k=NUM_PASSAGES)
        conversation_id = request.conversation_id or f"conv-{uuid.uuid4().hex}"
        return self._desk.open(
            window, context, conversation_id=conversation_id, hits=hits, tone=self._agent.mood(window)
        )

    def list_tickets(self, request: s.ListTicketsRequest, context: Context) -> s.TicketPage:
        """A page of the queue."""
        return self._desk.list(context, limit=request.limit, offset=request.offset)

    def get_ticket(self, request: s.GetTicketRequest, context: Context) -> s.Ticket:
        """One ticket."""
        return self._desk.get(request.ticket_id, context)
