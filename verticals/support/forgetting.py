"""What the vertical keeps of a customer beside their memory: shown, and erased. Ignores who asks and the audit trail.

Conversations go whole, with their checkpoints, ratings and hand-offs. What was done stays without words: a ticket keeps
its kind and times, an action and its execution keep which order and item. Orders, refunds and the account are the
shop's, which must keep them. The audit trail has ids and fingerprints alone, so its chain stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver
from sqlalchemy import ColumnElement, delete, or_, select
from sqlalchemy.orm import Session as Database
from sqlalchemy.orm import sessionmaker

from retrieval.ledger import Ledger
from verticals.contract import Base
from verticals.support.checkpoints import thread_id
from verticals.support.schemas import ActionStatus, TicketStatus
from verticals.support.shop.tables import ExecutionRow
from verticals.support.tables import ActionRow, FeedbackRow, HandoffRow, MessageRow, SessionRow, TicketRow
from verticals.undisturbed import hold

FORGOTTEN = "[forgotten]"
_KEPT_ARGS = ("order_id", "item", "reason")  # of a tool; the others are addresses


class ConversationRecords:
    """Sessions with all that belongs to them; see `verticals.contract.CustomerRecords`."""

    name = "conversations"

    def __init__(self, sessions: sessionmaker[Database], checkpointer: BaseCheckpointSaver[Any]) -> None:
        self._sessions, self._checkpointer = sessions, checkpointer

    def export(self, tenant: str, customer: str) -> list[dict[str, Any]]:
        """Sessions with messages, ratings and hand-offs, the oldest first."""
        whose = (SessionRow.tenant == tenant, SessionRow.customer == customer)
        with self._sessions() as db:
            return [
                {
                    **_columns(row),
                    **{
                        name: [_columns(one) for one in db.scalars(select(table).where(*_within(table, row)))]
                        for name, table in _PARTS.items()
                    },
                }
                for row in db.scalars(select(SessionRow).where(*whose).order_by(SessionRow.created_at))
            ]

    def erase(self, tenant: str, customer: str) -> int:
        """Delete them, checkpoints first: what is left after a crash is found and deleted the next time."""
        whose = select(SessionRow).where(SessionRow.tenant == tenant, SessionRow.customer == customer)
        with self._sessions() as db:
            rows = db.scalars(whose).all()
        for row in rows:
            self._checkpointer.delete_thread(thread_id(tenant, row.session_id))
            with self._sessions.begin() as db:
                hold(db, SessionRow, *_within(SessionRow, row))  # a message that comes now comes before, or not at all
                for table in (*_PARTS.values(), SessionRow):
                    db.execute(delete(table).where(*_within(table, row)))
        return len(rows)


class TicketRecords:
    """Tickets of a customer; see `verticals.contract.CustomerRecords`."""

    name = "tickets"

    def __init__(self, sessions: sessionmaker[Database]) -> None:
        self._sessions = sessions

    def export(self, tenant: str, customer: str) -> list[dict[str, Any]]:
        """Tickets, the oldest first."""
        return _export(self._sessions, TicketRow, _owned(TicketRow.tenant, TicketRow.customer, tenant, customer))

    def erase(self, tenant: str, customer: str) -> int:
        """Close them and take every word and the customer's name away; kind, priority and times stay."""
        mine = _owned(TicketRow.tenant, TicketRow.customer, tenant, customer)
        with self._sessions.begin() as db:
            hold(db, TicketRow, *mine)
            rows = db.scalars(select(TicketRow).where(*mine)).all()
            for row in rows:
                row.subject = row.summary = row.customer_request = FORGOTTEN
                row.outcome = row.outcome and FORGOTTEN
                row.action = row.customer = row.conversation_id = None
                row.status = TicketStatus.CLOSED.value
            return len(rows)


class ActionRecords:
    """Changes that a customer asked for, and their executions; see `verticals.contract.CustomerRecords`."""

    name = "actions"

    def __init__(self, sessions: sessionmaker[Database], checkpointer: BaseCheckpointSaver[Any]) -> None:
        self._sessions, self._checkpointer = sessions, checkpointer

    def export(self, tenant: str, customer: str) -> list[dict[str, Any]]:
        """Actions and executions."""
        asked = _owned(ActionRow.tenant, ActionRow.customer, tenant, customer)
        done = _owned(ExecutionRow.tenant, ExecutionRow.customer_id, tenant, customer)
        return [*_export(self._sessions, ActionRow, asked), *_export(self._sessions, ExecutionRow, done)]

    def erase(self, tenant: str, customer: str) -> int:
        """Take the words away; what waits for a person is withdrawn. What is accepted and not done yet stays for now.

        An accepted action is finished first by whoever calls this; if that failed, its arguments are still needed.
        """
        is_waiting = ActionRow.status == ActionStatus.WAITING.value
        asked = _owned(ActionRow.tenant, ActionRow.customer, tenant, customer)
        done = _owned(ExecutionRow.tenant, ExecutionRow.customer_id, tenant, customer)
        with self._sessions.begin() as db:
            hold(db, ActionRow, *asked)  # else one that is approved meanwhile is executed and called rejected
            rows = db.scalars(select(ActionRow).where(*asked, or_(is_waiting, ActionRow.outcome.is_not(None)))).all()
            for row in rows:
                if row.status == ActionStatus.WAITING:
                    row.status = ActionStatus.REJECTED.value
                row.args, row.words, row.outcome = _kept(row.args), FORGOTTEN, FORGOTTEN
                row.note = row.note and FORGOTTEN
            action_ids = [row.action_id for row in rows]
            for made in db.scalars(select(ExecutionRow).where(*done, ExecutionRow.key.in_(action_ids))):
                made.args, made.outcome = _kept(made.args), FORGOTTEN
        for action_id in action_ids:
            self._checkpointer.delete_thread(thread_id(tenant, action_id))
        return len(action_ids)


class AnswerRecords:
    """What a customer's answers were made from; see `verticals.contract.CustomerRecords`."""

    name = "answers"

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def export(self, tenant: str, customer: str) -> list[dict[str, Any]]:
        """What was searched for, and when."""
        entries = self._ledger.of_customer(customer, tenant=tenant)
        return [
            {"answer_id": one.answer_id, "query": one.query, "created_at": one.created_at.isoformat()}
            for one in entries
        ]

    def erase(self, tenant: str, customer: str) -> int:
        """Delete the entries."""
        return self._ledger.forget_customer(customer, tenant=tenant)


_PARTS: Mapping[str, type[MessageRow] | type[FeedbackRow] | type[HandoffRow]] = {
    "messages": MessageRow,
    "feedback": FeedbackRow,
    "handoffs": HandoffRow,
}


def _within(table: Any, session: SessionRow) -> tuple[ColumnElement[bool], ...]:
    return (table.tenant == session.tenant, table.session_id == session.session_id)


def _owned(of_tenant: Any, of_customer: Any, tenant: str, customer: str) -> tuple[ColumnElement[bool], ...]:
    return (of_tenant == tenant, of_customer == customer)


def _export(
    sessions: sessionmaker[Database], table: type[Base], whose: Sequence[ColumnElement[bool]]
) -> list[dict[str, Any]]:
    with sessions() as db:
        return [_columns(row) for row in db.scalars(select(table).where(*whose))]


def _columns(row: Base) -> dict[str, Any]:
    values = {column.key: getattr(row, column.key) for column in row.__table__.columns if column.key != "tenant"}
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()}


def _kept(args: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in args.items() if name in _KEPT_ARGS}
