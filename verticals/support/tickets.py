"""Keep tickets: open, list, edit. Ignores how their texts are written and who runs their actions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from langchain_core.language_models import BaseChatModel
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from retrieval.documents import Hit
from verticals.contract import Conflict, Context, Decision, NotFound
from verticals.support.policy import Policy
from verticals.support.prompting import tenant_option
from verticals.support.schemas import (
    EditTicketRequest,
    Message,
    Ticket,
    TicketAction,
    TicketCategory,
    TicketPage,
    TicketPriority,
    TicketStatus,
    Tone,
)
from verticals.support.shop.tool import Shopper
from verticals.support.shop.tools import find_tool, parse_args
from verticals.support.tables import TicketRow
from verticals.support.ticket_writing import draft_ticket
from verticals.undisturbed import hold


class TicketDesk:
    """Opens tickets and reads them back, one tenant at a time; a customer's key sees that customer's.

    Args:
        sessions: The database.
        model: Writes the texts.
        model_version: Of the model that serves now.
        policy: Tells which actions a ticket may have; without it, or without a customer, it has none.
    """

    def __init__(
        self,
        sessions: sessionmaker[Session],
        model: BaseChatModel,
        model_version: Callable[[], str],
        policy: Policy | None = None,
    ) -> None:
        self._sessions, self._model, self._model_version, self._policy = sessions, model, model_version, policy

    def open(
        self,
        window: Sequence[Message],
        context: Context,
        *,
        conversation_id: str,
        hits: Sequence[Hit] = (),
        tone: Tone = Tone.CALM,
    ) -> Ticket:
        """Draft, store and record a ticket; the same conversation at the same turn gives the ticket it already has.

        `tone` can raise its priority, and changes nothing else.
        """
        digest = messages_sha256(window)
        owner = "\n".join(filter(None, (context.tenant, context.customer)))
        key = hashlib.sha256(f"{owner}\n{conversation_id}\n{digest}".encode()).hexdigest()[:12].upper()
        ticket_id = f"T-{key}"
        if (known := self._find(ticket_id, context)) is not None:
            return known
        now = datetime.now(UTC)
        actions: list[TicketAction] = []
        if self._policy and context.customer:
            actions = self._policy.possible_actions(window, Shopper(context.tenant, context.customer, now))
        model = self._model.bind(**tenant_option(self._model, context.tenant))
        draft = draft_ticket(model, window, hits, actions, tone=tone)
        row = TicketRow(
            tenant=context.tenant,
            ticket_id=ticket_id,
            **draft.model_dump(mode="json"),
            status=TicketStatus.OPEN.value,
            customer=context.customer,
            conversation_id=conversation_id,
            model_version=self._model_version(),
            actor=context.actor,
            created_at=now,
        )
        decision = Decision(
            kind="support.ticket",
            subject=ticket_id,
            input_sha256=digest,
            outcome={
                "conversation_id": conversation_id,
                "category": str(draft.category),
                "priority": str(draft.priority),
                "tool": draft.action.tool if draft.action else None,
                "retrieved": [hit.passage_id for hit in hits],
            },
            model_version=self._model_version(),
        )
        try:
            with self._sessions() as session:
                session.add(row)
                context.record(decision, session=session)
                session.commit()
        except IntegrityError:  # the same request came twice at once
            return self.get(ticket_id, context)
        return self.get(ticket_id, context)

    def get(self, ticket_id: str, context: Context) -> Ticket:
        """One ticket.

        Raises:
            NotFound: the tenant, or the key's customer, has no such ticket.
        """
        if (ticket := self._find(ticket_id, context)) is None:
            raise _no_ticket(ticket_id)
        return ticket

    def list(self, context: Context, *, limit: int, offset: int) -> TicketPage:
        """A page of tickets, newest first, and how many there are."""
        mine = select(TicketRow).where(TicketRow.tenant == context.tenant)
        if context.customer is not None:
            mine = mine.where(TicketRow.customer == context.customer)
        page = mine.order_by(TicketRow.created_at.desc(), TicketRow.ticket_id).limit(limit).offset(offset)
        with self._sessions() as session:
            total = session.scalar(select(func.count()).select_from(mine.subquery())) or 0
            return TicketPage(tickets=[_to_ticket(row) for row in session.scalars(page)], total=total)

    def edit(self, request: EditTicketRequest, context: Context) -> Ticket:
        """Change what the request names, and record who did.

        Raises:
            NotFound: no such ticket or tool.
            InvalidInput: the action's arguments are not the tool's.
            Conflict: the action ran already, or the ticket has no customer that it could be for.
        """
        if request.action is not None:
            parse_args(find_tool(request.action.tool), request.action.args)
        changes = request.model_dump(mode="json", exclude={"ticket_id"}, exclude_none=True)
        with self._sessions() as session:
            hold(session, TicketRow, TicketRow.tenant == context.tenant, TicketRow.ticket_id == request.ticket_id)
            row = session.get(TicketRow, (context.tenant, request.ticket_id))
            if row is None:
                raise _no_ticket(request.ticket_id)
            if request.action and (row.outcome is not None or row.customer is None):
                rule = "the action ran already" if row.outcome is not None else "the ticket has no customer"
                raise Conflict(rule, field="action", remedy="Open a new ticket.")
            for name, value in changes.items():
                setattr(row, name, value)
            context.record(
                Decision(
                    kind="support.ticket.edit",
                    subject=row.ticket_id,
                    input_sha256=hashlib.sha256(json.dumps(changes, sort_keys=True).encode()).hexdigest(),
                    outcome={"changed": sorted(changes)},
                    model_version=row.model_version,
                ),
                session=session,
            )
            session.commit()
            return _to_ticket(row)

    def note_outcome(self, ticket_id: str, tenant: str, outcome: str) -> None:
        """Keep what the action gave and close the ticket."""
        with self._sessions.begin() as session:
            row = session.get_one(TicketRow, (tenant, ticket_id))
            row.outcome, row.status = outcome, TicketStatus.CLOSED.value

    def _find(self, ticket_id: str, context: Context) -> Ticket | None:
        with self._sessions() as session:
            row = session.get(TicketRow, (context.tenant, ticket_id))
            is_mine = row is not None and context.customer in (None, row.customer)
            return _to_ticket(row) if row and is_mine else None


def _no_ticket(ticket_id: str) -> NotFound:
    return NotFound("no such ticket", field="ticket_id", value=ticket_id, remedy="List tickets to see their ids.")


def messages_sha256(messages: Sequence[Message]) -> str:
    """Fingerprint of a conversation, for the audit trail."""
    canonical = json.dumps([[m.role, m.content] for m in messages], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _to_ticket(row: TicketRow) -> Ticket:
    return Ticket(
        category=TicketCategory(row.category),
        priority=TicketPriority(row.priority),
        subject=row.subject,
        summary=row.summary,
        customer_request=row.customer_request,
        action=TicketAction.model_validate(row.action) if row.action else None,
        ticket_id=row.ticket_id,
        status=TicketStatus(row.status),
        created_at=row.created_at,
        customer=row.customer,
        outcome=row.outcome,
        conversation_id=row.conversation_id,
        model_version=row.model_version,
    )
