"""The operations of sessions, approvals and hand-offs. Ignores HTTP, whose key may call them, how answers are found."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC

from verticals.contract import Conflict, Context
from verticals.support import schemas as s
from verticals.support.actions import ActionDesk, action_id_of
from verticals.support.dialogue import Dialogue
from verticals.support.handoffs import HandoffDesk
from verticals.support.memory.store import CustomerMemory, Owner
from verticals.support.memory.summary import summarize
from verticals.support.sessions import SessionStore
from verticals.support.tickets import TicketDesk


class SessionHandlers:
    """One method per operation: `(request, context)` to response or events."""

    def __init__(
        self,
        store: SessionStore,
        dialogue: Dialogue,
        actions: ActionDesk,
        handoffs: HandoffDesk,
        desk: TicketDesk,
        memory: CustomerMemory,
    ) -> None:
        self._store, self._dialogue, self._desk, self._memory = store, dialogue, desk, memory
        self._actions, self._handoffs = actions, handoffs

    def create_session(self, request: s.CreateSessionRequest, context: Context) -> s.Session:
        """Begin a session."""
        return self._store.create(context)

    def list_sessions(self, request: s.ListSessionsRequest, context: Context) -> s.SessionPage:
        """A page of sessions."""
        return self._store.page(request, context)

    def get_session(self, request: s.SessionRequest, context: Context) -> s.SessionHistory:
        """One session with everything in it."""
        return self._dialogue.history(request.session_id, context)

    def send_message(self, request: s.SendMessageRequest, context: Context) -> Iterator[s.ChatEvent]:
        """Answer as a stream of events."""
        return self._dialogue.send(request, context)

    def resume_session(self, request: s.SessionRequest, context: Context) -> Iterator[s.ChatEvent]:
        """Answer what was cut off."""
        return self._dialogue.resume(request.session_id, context)

    def close_session(self, request: s.SessionRequest, context: Context) -> s.Session:
        """End a session; of a known customer's it is remembered what it was about."""
        session = self._store.close(request.session_id, context)
        messages, _ = self._store.messages(session.session_id, context.tenant)
        text = summarize([message.content for message in messages if message.role == "customer"])
        if session.customer is not None and text:
            owner = Owner(context.tenant, session.customer)
            self._memory.close_episode(owner, session_id=session.session_id, text=text, ended_at=session.updated_at)
        return session

    def list_approvals(self, request: s.ListApprovalsRequest, context: Context) -> s.ApprovalPage:
        """A page of actions that need a person."""
        self._actions.recover(context)
        return self._actions.page(request, context)

    def decide_approval(self, request: s.DecideApprovalRequest, context: Context) -> s.Action:
        """Decide, and act on it."""
        return self._actions.decide(request, context)

    def list_handoffs(self, request: s.ListHandoffsRequest, context: Context) -> s.HandoffPage:
        """A page of hand-offs."""
        return self._handoffs.page(request, context)

    def take_over(self, request: s.TakeOverRequest, context: Context) -> s.Handoff:
        """Take a session over."""
        return self._handoffs.take_over(request.handoff_id, context)

    def reply_as_person(self, request: s.ReplyAsPersonRequest, context: Context) -> s.SessionMessage:
        """Write to the customer."""
        return self._handoffs.reply(request.handoff_id, request.content, context)

    def hand_back(self, request: s.HandBackRequest, context: Context) -> s.Handoff:
        """Give the session back."""
        return self._handoffs.hand_back(request.handoff_id, context, close=request.close)

    def edit_ticket(self, request: s.EditTicketRequest, context: Context) -> s.Ticket:
        """Correct a ticket."""
        return self._desk.edit(request, context)

    def run_ticket(self, request: s.RunTicketRequest, context: Context) -> s.Ticket:
        """Approve and run a ticket's action; once it ran, the ticket is given back as it is.

        Raises:
            Conflict: the ticket has no action, or a rule of the shop forbids it; it can be edited and run again.
        """
        self._actions.recover(context)
        ticket = self._desk.get(request.ticket_id, context)
        if ticket.outcome is not None:
            return ticket
        if ticket.action is None or ticket.customer is None:
            raise Conflict("the ticket has no action", field="ticket_id", remedy="Edit the ticket to give it one.")
        attempt = self._actions.failures(ticket.ticket_id, context.tenant)
        action = self._actions.submit(
            ticket.action.tool,
            ticket.action.args,
            context,
            action_id=action_id_of(context.tenant, ticket.ticket_id, str(attempt)),
            customer=ticket.customer,
            asked_at=ticket.created_at.astimezone(UTC),
            ticket_id=ticket.ticket_id,
            is_approved=True,
        )
        if action.status == s.ActionStatus.FAILED:
            raise Conflict(str(action.outcome), field="action", remedy="Edit the ticket's action.")
        return self._desk.get(request.ticket_id, context)
