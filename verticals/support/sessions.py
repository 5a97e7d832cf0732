"""Keep sessions and their messages: the truth of a conversation, on disk before it is answered. Ignores the agent.

A customer's message is stored before anything is done about it, and marked as wanting an answer; the answer is stored
in the transaction that takes the mark away. So after a crash it is known what is still to be answered.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast

from sqlalchemy import Row, Select, Table, func, insert, select, update
from sqlalchemy.orm import Session as Database
from sqlalchemy.orm import sessionmaker

from verticals.contract import Conflict, Context, Decision, NotFound
from verticals.support.memory.store import CustomerMemory, Owner
from verticals.support.schemas import ListSessionsRequest, Message, Session, SessionMessage, SessionPage, SessionState
from verticals.support.schemas import Source as SourceSchema
from verticals.support.tables import HandoffRow, MessageRow, SessionRow
from verticals.undisturbed import hold

# By columns, not objects, where the first word of an answer waits for it.
_SESSIONS, _MESSAGES = cast(Table, SessionRow.__table__), cast(Table, MessageRow.__table__)
_SESSION, _MESSAGE = _SESSIONS.c, _MESSAGES.c
_READ_BACK = 16  # messages that can hold the last five turns


class SessionStore:
    """Sessions of one database; a customer's key sees that customer's, another one does not exist.

    Args:
        sessions: Sessions on a database with the tables of `tables.py`.
        memory: Is given each message of a known customer, in the transaction that stores it.
    """

    def __init__(self, sessions: sessionmaker[Database], memory: CustomerMemory | None = None) -> None:
        self._sessions, self._memory = sessions, memory

    def create(self, context: Context) -> Session:
        """A new session of the key's customer."""
        now = datetime.now(UTC)
        row = SessionRow(
            tenant=context.tenant,
            session_id=f"s-{uuid.uuid4().hex}",
            customer=context.customer,
            state=SessionState.BOT.value,
            num_messages=0,
            created_at=now,
            updated_at=now,
        )
        with self._sessions.begin() as db:
            db.add(row)
            return to_session(row)

    def get(self, session_id: str, context: Context) -> Session:
        """One session.

        Raises:
            NotFound: there is none, or it is another tenant's or customer's.
        """
        with self._sessions() as db:
            return to_session(find_session(db, session_id, context))

    def exists(self, session_id: str, tenant: str) -> bool:
        """Whether there is such a session, whosever it is."""
        with self._sessions() as db:
            return db.get(SessionRow, (tenant, session_id)) is not None

    def page(self, request: ListSessionsRequest, context: Context) -> SessionPage:
        """A page of sessions, the latest first."""
        mine = select(SessionRow).where(SessionRow.tenant == context.tenant)
        if context.customer is not None:
            mine = mine.where(SessionRow.customer == context.customer)
        if request.state is not None:
            mine = mine.where(SessionRow.state == request.state.value)
        page = mine.order_by(SessionRow.updated_at.desc(), SessionRow.session_id)
        with self._sessions() as db:
            rows = db.scalars(page.limit(request.limit).offset(request.offset))
            return SessionPage(sessions=[to_session(row) for row in rows], total=count(db, mine))

    def close(self, session_id: str, context: Context) -> Session:
        """End it, and withdraw its hand-off; again is the same."""
        now, mine = datetime.now(UTC), (HandoffRow.tenant == context.tenant, HandoffRow.session_id == session_id)
        with self._sessions.begin() as db:
            row = held_session(db, session_id, context)
            row.state, row.updated_at = SessionState.CLOSED.value, now
            is_open = HandoffRow.status != "returned"
            db.execute(update(HandoffRow).where(*mine, is_open).values(status="returned", returned_at=now))
            return to_session(row)

    def receive(self, session_id: str, content: str, context: Context) -> tuple[SessionState, int]:
        """Store the customer's message; who has the session, and the message's number.

        Raises:
            NotFound: as `get`; a key without the session's customer cannot speak for them.
            Conflict: the session is closed.
        """
        with self._sessions.begin() as db:
            row = _count_message(db, context.tenant, session_id)
            if row.customer != context.customer:
                raise _no_session(session_id)
            state = SessionState(row.state)
            if state == SessionState.CLOSED:
                raise Conflict("the session is closed", field="session_id", remedy="Begin a new one.")
            wants_answer = state == SessionState.BOT
            number = add_message(db, row, role="customer", content=content, wants_answer=wants_answer, is_counted=True)
            if self._memory is not None and context.customer is not None:
                owner, now = Owner(context.tenant, context.customer), datetime.now(UTC)
                self._memory.note(owner, session=db, session_id=session_id, turn=number, text=content, said_at=now)
            return state, number

    def answer(
        self,
        session_id: str,
        number: int,
        *,
        content: str,
        sources: Sequence[dict[str, Any]],
        understood: dict[str, Any] | None,
        context: Context,
        decision: Decision,
    ) -> SessionState:
        """Store the answer to a message, and how the message was understood, with its audit entry, once.

        Returns:
            Who has the session now.
        """
        key = (MessageRow.tenant == context.tenant, MessageRow.session_id == session_id, MessageRow.number == number)
        take = update(MessageRow).where(*key, MessageRow.wants_answer).values(wants_answer=False, understood=understood)
        with self._sessions.begin() as db:
            row = held_session(db, session_id, context)
            is_first = db.execute(take).rowcount == 1  # type: ignore[attr-defined]
            if is_first:
                if content:
                    add_message(db, row, role="assistant", content=content, sources=sources)
                context.record(decision, session=db)
            return SessionState(row.state)

    def note_failure(self, session_id: str, number: int, tenant: str) -> int:
        """The agent broke off before it had an answer to a message; how often by now."""
        key = (MessageRow.tenant == tenant, MessageRow.session_id == session_id, MessageRow.number == number)
        raised = update(MessageRow).where(*key).values(failures=MessageRow.failures + 1).returning(MessageRow.failures)
        with self._sessions.begin() as db:
            if (failures := db.scalar(raised)) is None:  # the customer was forgotten in mid-answer
                raise _no_session(session_id)
            return int(failures)

    def messages(self, session_id: str, tenant: str) -> tuple[list[SessionMessage], bool]:
        """All messages, oldest first, and whether one wants an answer."""
        mine = (MessageRow.tenant == tenant, MessageRow.session_id == session_id)
        with self._sessions() as db:
            rows = db.scalars(select(MessageRow).where(*mine).order_by(MessageRow.number)).all()
        return [to_message(row) for row in rows], any(row.wants_answer for row in rows)

    def waiting(self, session_id: str, tenant: str) -> list[tuple[int, list[Message]]]:
        """Each message that wants an answer, oldest first, and the talk up to it; a person speaks as the assistant."""
        mine = (_MESSAGE.tenant == tenant, _MESSAGE.session_id == session_id)
        numbers = select(_MESSAGE.number).where(*mine, _MESSAGE.wants_answer).order_by(_MESSAGE.number)
        talk = select(_MESSAGE.role, _MESSAGE.content).where(*mine).order_by(_MESSAGE.number.desc()).limit(_READ_BACK)
        with self._sessions() as db:
            return [
                (number, [_said(*row) for row in db.execute(talk.where(_MESSAGE.number <= number)).all()[::-1]])
                for number in db.scalars(numbers).all()
            ]


def talks_of(db: Database, session_id: str, tenant: str) -> list[list[Message]]:
    """For each message of the customer, the talk up to it on which it was answered; none where no such session is."""
    mine = (_MESSAGE.tenant == tenant, _MESSAGE.session_id == session_id)
    rows = db.execute(select(_MESSAGE.role, _MESSAGE.content).where(*mine).order_by(_MESSAGE.number)).all()
    talk = [_said(*row) for row in rows]
    return [talk[max(0, end - _READ_BACK) : end] for end, row in enumerate(rows, start=1) if row.role == "customer"]


def _said(role: str, content: str) -> Message:
    return Message(role="user" if role == "customer" else "assistant", content=content)


def find_session(db: Database, session_id: str, context: Context) -> SessionRow:
    """The session's row, for the key's customer or for the tenant's staff.

    Raises:
        NotFound: see `SessionStore.get`.
    """
    row = db.get(SessionRow, (context.tenant, session_id))
    if row is None or context.customer not in (None, row.customer):
        raise _no_session(session_id)
    return row


def held_session(db: Database, session_id: str, context: Context) -> SessionRow:
    """As `find_session`; nobody else changes it, its messages or its hand-offs until the commit."""
    hold(db, SessionRow, SessionRow.tenant == context.tenant, SessionRow.session_id == session_id)
    return find_session(db, session_id, context)


def add_message(
    db: Database,
    row: SessionRow | Row[*tuple[Any, ...]],
    *,
    role: str,
    content: str,
    wants_answer: bool = False,
    sources: Sequence[dict[str, Any]] = (),
    action_id: str | None = None,
    is_counted: bool = False,
) -> int:
    """Append to a session in the caller's transaction; the message's number, from 1.

    Args:
        row: The session's; `is_counted`: as `_count_message` gave it, for this message.
    """
    number = int((row if is_counted else _count_message(db, row.tenant, row.session_id)).num_messages)
    message = {
        "tenant": row.tenant,
        "session_id": row.session_id,
        "number": number,
        "role": role,
        "content": content,
        "sources": list(sources),
        "wants_answer": wants_answer,
        "action_id": action_id,
        "understood": None,
        "failures": 0,
        "created_at": datetime.now(UTC),
    }
    db.execute(insert(_MESSAGES), message)
    return number


def _count_message(db: Database, tenant: str, session_id: str) -> Row[*tuple[Any, ...]]:
    """The session's row with one message more, held until the commit."""
    mine = (_SESSION.tenant == tenant, _SESSION.session_id == session_id)
    raised = update(_SESSIONS).where(*mine).values(num_messages=_SESSION.num_messages + 1, updated_at=datetime.now(UTC))
    row = db.execute(raised.returning(*_SESSION)).one_or_none()
    if row is None:
        raise _no_session(session_id)
    return row


def count(db: Database, query: Select[Any]) -> int:
    """How many rows a query has."""
    return db.scalar(select(func.count()).select_from(query.subquery())) or 0


def to_session(row: SessionRow) -> Session:
    """A row as it is shown."""
    return Session(
        session_id=row.session_id,
        state=SessionState(row.state),
        customer=row.customer,
        num_messages=row.num_messages,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def to_message(row: MessageRow) -> SessionMessage:
    """A row as it is shown."""
    return SessionMessage.model_validate(
        {
            "number": row.number,
            "role": row.role,
            "content": row.content,
            "created_at": row.created_at,
            "sources": [SourceSchema.model_validate(source) for source in row.sources],
            "action_id": row.action_id,
            "understood": row.understood,
        }
    )


def _no_session(session_id: str) -> NotFound:
    return NotFound("no such session", field="session_id", value=session_id, remedy="Begin one.")
