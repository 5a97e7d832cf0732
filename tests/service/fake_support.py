"""A support vertical without a model: it repeats what it hears, and opens a ticket when it hears "person"."""

from __future__ import annotations

import itertools
import threading
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from verticals.contract import Context, Decision, Handler, InvalidInput, NotFound, Operation, Resources, Vertical
from verticals.support import schemas as s


class FakeSupport:
    """`gate` closed, an answer waits after its first word; `stopped` is set when an answer ends, however.

    The answer to "endless" has no end, that to "break" breaks off.
    """

    def __init__(self) -> None:
        self.gate, self.stopped = threading.Event(), threading.Event()
        self.gate.set()
        self.asked: list[s.ChatRequest] = []
        self.talks: dict[str, list[tuple[str, str]]] = {}  # session -> role and content of its messages
        self.state = s.SessionState.BOT
        self.tickets: dict[tuple[str, str], s.Ticket] = {}

    NAMES = ("chat", "search", "create_ticket", "get_ticket", "create_session", "get_session", "send_message")

    def vertical(self) -> Vertical:
        """The vertical `support`."""
        return Vertical(
            name="support",
            title="Support",
            summary="A made-up support agent.",
            operations=(
                Operation("chat", s.ChatRequest, s.ChatEvent, "Answer", "/chat", streaming=True, for_customers=True),
                Operation(
                    "create_session", s.CreateSessionRequest, s.Session, "Begin", "/sessions", for_customers=True
                ),
                Operation("get_session", s.SessionRequest, s.SessionHistory, "Read", "/s/{session_id}", method="GET"),
                Operation("send_message", s.SendMessageRequest, s.ChatEvent, "Send", "/s/{session_id}", streaming=True),
                Operation("search", s.SearchRequest, s.SearchResponse, "Search", "/search"),
                Operation("create_ticket", s.CreateTicketRequest, s.Ticket, "Open a ticket", "/tickets"),
                Operation("get_ticket", s.GetTicketRequest, s.Ticket, "A ticket", "/tickets/{ticket_id}", method="GET"),
            ),
            build=self.build,
            evals=lambda _resources, _handlers: (),
            demo=lambda _resources, _on_progress: None,
        )

    def build(self, _resources: Resources) -> Mapping[str, Handler]:
        return {name: getattr(self, name) for name in self.NAMES}

    def create_session(self, _request: s.CreateSessionRequest, _context: Context) -> s.Session:
        session_id = f"s-{len(self.talks)}"
        self.talks[session_id] = []
        return self._session(session_id)

    def get_session(self, request: s.SessionRequest, _context: Context) -> s.SessionHistory:
        session, now = self._session(request.session_id), datetime.now(UTC)
        messages = [
            s.SessionMessage(number=number, role=role, content=content, created_at=now)  # type: ignore[arg-type]
            for number, (role, content) in enumerate(self.talks[request.session_id], start=1)
        ]
        return s.SessionHistory(**session.model_dump(), messages=messages, actions=[], handoffs=[], unanswered=False)

    def send_message(self, request: s.SendMessageRequest, context: Context) -> Iterator[s.ChatEvent]:
        if not request.content.strip("\0"):
            raise InvalidInput("has no words", field="content")
        talk = self.talks[request.session_id]
        talk.append(("customer", request.content))
        if self.state != s.SessionState.BOT:
            return
        message = s.Message(role="user", content=request.content)
        yield from self.chat(s.ChatRequest(messages=[message], conversation_id=request.session_id), context)
        talk.append(("assistant", f"You said: {request.content}"))

    def _session(self, session_id: str) -> s.Session:
        now, num_messages = datetime.now(UTC), len(self.talks[session_id])
        return s.Session(
            session_id=session_id,
            state=self.state,
            customer=None,
            num_messages=num_messages,
            created_at=now,
            updated_at=now,
        )

    def chat(self, request: s.ChatRequest, context: Context) -> Iterator[s.ChatEvent]:
        self.asked.append(request)
        self.stopped.clear()
        return self._events(request, context)

    def _events(self, request: s.ChatRequest, context: Context) -> Iterator[s.ChatEvent]:
        said, conversation_id = request.messages[-1].content, request.conversation_id or "conv-1"
        wants_person = "person" in said
        try:
            yield s.ChatEvent(s.SourcesEvent(sources=[]))
            words = itertools.repeat("on") if said == "endless" else f"You said: {said}".split(" ")
            for number, word in enumerate(words):
                yield s.ChatEvent(s.DeltaEvent(text=word if number == 0 else f" {word}"))
                self.gate.wait(10)
                if said == "break":
                    raise RuntimeError("Jane Doe's secret")
            ticket = self._open(said, conversation_id, context) if wants_person else None
            if ticket:
                yield s.ChatEvent(s.TicketEvent(ticket=ticket))
            outcome = {"answered": not wants_person, "cited": [], "ticket_id": ticket.ticket_id if ticket else None}
            context.record(Decision("support.answer", conversation_id, "0" * 64, outcome, "fake-1"))
            usage = s.Usage(prompt_tokens=3, completion_tokens=5)
            done = s.DoneEvent(
                finish_reason="stop", usage=usage, answered=not wants_person, conversation_id=conversation_id
            )
            yield s.ChatEvent(done)
        finally:
            self.stopped.set()

    def search(self, request: s.SearchRequest, context: Context) -> s.SearchResponse:
        where = {"passage_id": "p1", "doc_id": "d1", "title": f"For {context.tenant}", "heading": ""}
        hit = s.Source(number=1, text=f"About {request.query}", similarity=0.9, score=1.0, **where)
        return s.SearchResponse(hits=[hit])

    def create_ticket(self, request: s.CreateTicketRequest, context: Context) -> s.Ticket:
        return self._open(request.messages[-1].content, request.conversation_id or "conv-1", context)

    def get_ticket(self, request: s.GetTicketRequest, context: Context) -> s.Ticket:
        ticket = self.tickets.get((context.tenant, request.ticket_id))
        if ticket is None:
            raise NotFound("no such ticket", field="ticket_id", value=request.ticket_id)
        return ticket

    def _open(self, said: str, conversation_id: str, context: Context) -> s.Ticket:
        ticket = s.Ticket(
            category=s.TicketCategory.OTHER,
            priority=s.TicketPriority.NORMAL,
            subject="A wish",
            summary=said[:300].ljust(3),
            customer_request=said[:300].ljust(3),
            ticket_id=f"T-{uuid.uuid4().hex[:8]}",
            status=s.TicketStatus.OPEN,
            created_at=datetime.now(UTC),
            conversation_id=conversation_id,
            model_version="fake-1",
        )
        self.tickets[context.tenant, ticket.ticket_id] = ticket
        outcome = {"conversation_id": conversation_id, "category": "other", "priority": "normal"}
        context.record(Decision("support.ticket", ticket.ticket_id, "0" * 64, outcome, "fake-1"))
        return ticket
