"""Hand a session to a person and back: an explicit act, with reason and summary, told to the customer. Ignores the bot.

    bot ── open ──> waiting ── take over ──> person ── hand back ──> bot, or closed

While the state is not `bot` the agent is silent, and a session has at most one hand-off that is not returned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from sqlalchemy import case, select
from sqlalchemy.orm import Session as Database
from sqlalchemy.orm import sessionmaker

from verticals.contract import Conflict, Context, Decision, NotFound
from verticals.support.actions import action_id_of
from verticals.support.phrases import for_customer
from verticals.support.schemas import (
    Action,
    Handoff,
    HandoffPage,
    ListHandoffsRequest,
    Message,
    SessionMessage,
    SessionState,
    SlotValue,
    TicketPriority,
    Tone,
)
from verticals.support.sessions import add_message, count, held_session, to_message
from verticals.support.tables import HandoffRow, MessageRow, SessionRow
from verticals.support.triage import decide_priority
from verticals.support.understanding.tone import raise_priority
from verticals.undisturbed import hold

Reason = Literal["asked", "unanswered", "failed"]

JOINED = "A colleague has joined the conversation."
RETURNED = 'You are back with the automated assistant. Write "person" if you need a colleague again.'
ENDED = "The colleague has closed the conversation."
HANDED_OFF = "I'm handing this conversation to a colleague, who will answer you here. I stay silent until then."
_SUMMARY_CHARS = 600
_URGENCY = case({p.value: -rank for rank, p in enumerate(TicketPriority)}, value=HandoffRow.priority, else_=0)


@dataclass(frozen=True)
class Brief:
    """What a person should know besides the customer's words.

    Attributes:
        tone: Of the conversation; it raises the priority.
        intent: Of the last message; None if nothing read it.
        tried: What the assistant did, oldest first.
        slots: What the customer has given so far.
    """

    tone: Tone = Tone.CALM
    intent: str | None = None
    tried: Sequence[str] = ()
    slots: Sequence[SlotValue] = ()


class HandoffDesk:
    """The inbox of the people behind the bot."""

    def __init__(self, sessions: sessionmaker[Database]) -> None:
        self._sessions = sessions

    def open(
        self, session_id: str, number: int, window: Sequence[Message], context: Context, *, reason: Reason, brief: Brief
    ) -> Handoff:
        """Ask for a person; the bot is silent from here. The same message again gives the hand-off it already has.

        Args:
            session_id: Which session.
            number: The customer's message that led to it.
            window: The last turns, for the summary.
            context: Who asks.
            reason: Why.
            brief: What else the person should know.
        """
        handoff_id = f"H{action_id_of(context.tenant, session_id, str(number))[1:]}"
        said = [" ".join(message.content.split()) for message in window if message.role == "user"]
        with self._sessions.begin() as db:
            session = held_session(db, session_id, context)
            row = db.get(HandoffRow, (context.tenant, handoff_id))
            if row is None:
                row = _new_row(session, handoff_id, said, reason=reason, brief=brief)
                db.add(row)
                if session.state == SessionState.CLOSED:  # meanwhile: then it is withdrawn, as closing does
                    row.status, row.returned_at = "returned", row.created_at
                else:
                    session.state = SessionState.WAITING.value
                context.record(_decision(handoff_id, "open", reason), session=db)
            return to_handoff(row)

    def open_failed(self, db: Database, action: Action, outcome: str, context: Context) -> None:
        """In the caller's transaction: a person looks after a change that was approved and could not be made.

        Nothing happens if the bot has not got the session; the same action again changes nothing.
        """
        session = db.get_one(SessionRow, (context.tenant, action.session_id))
        if session.state != SessionState.BOT:
            return
        handoff_id, brief = f"H{action.action_id[1:]}", Brief(tried=[f"{action.words}: {outcome}"])
        db.add(_new_row(session, handoff_id, [action.words], reason="failed", brief=brief))
        session.state = SessionState.WAITING.value
        add_message(db, session, role="assistant", content=HANDED_OFF)
        context.record(_decision(handoff_id, "open", "failed"), session=db)

    def page(self, request: ListHandoffsRequest, context: Context) -> HandoffPage:
        """A page of hand-offs, the most urgent first, then the oldest."""
        mine = select(HandoffRow).where(HandoffRow.tenant == context.tenant)
        if request.status is not None:
            mine = mine.where(HandoffRow.status == request.status)
        page = mine.order_by(_URGENCY, HandoffRow.created_at, HandoffRow.handoff_id)
        page = page.limit(request.limit).offset(request.offset)
        with self._sessions() as db:
            return HandoffPage(handoffs=[to_handoff(row) for row in db.scalars(page)], total=count(db, mine))

    def of_session(self, session_id: str, tenant: str) -> Sequence[Handoff]:
        """A session's hand-offs, oldest first."""
        mine = (HandoffRow.tenant == tenant, HandoffRow.session_id == session_id)
        with self._sessions() as db:
            return [to_handoff(r) for r in db.scalars(select(HandoffRow).where(*mine).order_by(HandoffRow.created_at))]

    def take_over(self, handoff_id: str, context: Context) -> Handoff:
        """The caller takes the session; the customer is told.

        Raises:
            NotFound: no such hand-off.
            Conflict: somebody has it, or it is returned.
        """
        with self._sessions.begin() as db:
            row, session = self._find(db, handoff_id, context, status="waiting")
            row.status, row.person, row.taken_at = "taken", context.actor, datetime.now(UTC)
            self._move(db, session, SessionState.PERSON, JOINED)
            context.record(_decision(handoff_id, "take over", row.reason), session=db)
            return to_handoff(row)

    def reply(self, handoff_id: str, content: str, context: Context) -> SessionMessage:
        """Write to the customer as a person.

        Raises:
            NotFound, Conflict: as `take_over`; the hand-off must be taken.
        """
        with self._sessions.begin() as db:
            _, session = self._find(db, handoff_id, context, status="taken")
            number = add_message(db, session, role="person", content=content)
            db.flush()
            return to_message(db.get_one(MessageRow, (context.tenant, session.session_id, number)))

    def hand_back(self, handoff_id: str, context: Context, *, close: bool) -> Handoff:
        """Give the session back to the bot, or close it; the customer is told.

        Raises:
            NotFound, Conflict: as `take_over`; the hand-off must be taken.
        """
        with self._sessions.begin() as db:
            row, session = self._find(db, handoff_id, context, status="taken")
            row.status, row.returned_at = "returned", datetime.now(UTC)
            state, words = (SessionState.CLOSED, ENDED) if close else (SessionState.BOT, RETURNED)
            self._move(db, session, state, words)
            context.record(_decision(handoff_id, "close" if close else "hand back", row.reason), session=db)
            return to_handoff(row)

    def _find(self, db: Database, handoff_id: str, context: Context, *, status: str) -> tuple[HandoffRow, SessionRow]:
        mine = (HandoffRow.tenant == context.tenant, HandoffRow.handoff_id == handoff_id)
        session_id = db.scalar(select(HandoffRow.session_id).where(*mine))
        hold(db, SessionRow, SessionRow.tenant == context.tenant, SessionRow.session_id == session_id)
        row = db.get(HandoffRow, (context.tenant, handoff_id))
        if row is None:
            raise NotFound("no such hand-off", field="handoff_id", value=handoff_id, remedy="List hand-offs.")
        if row.status != status:
            raise Conflict(f"must be {status}", field="status", value=row.status, remedy="Read the list again.")
        return row, db.get_one(SessionRow, (context.tenant, row.session_id))

    def _move(self, db: Database, session: SessionRow, state: SessionState, words: str) -> None:
        if session.state != SessionState.CLOSED:
            session.state = state.value
        mine = (MessageRow.tenant == session.tenant, MessageRow.session_id == session.session_id)
        said = select(MessageRow.content).where(*mine, MessageRow.role == "customer").order_by(MessageRow.number)
        add_message(db, session, role="assistant", content=for_customer(words, db.scalars(said).all()))


def _new_row(session: SessionRow, handoff_id: str, said: Sequence[str], *, reason: Reason, brief: Brief) -> HandoffRow:
    return HandoffRow(
        tenant=session.tenant,
        handoff_id=handoff_id,
        session_id=session.session_id,
        customer=session.customer,
        status="waiting",
        reason=reason,
        priority=raise_priority(decide_priority(said), brief.tone).value,
        tone=brief.tone.value,
        intent=brief.intent,
        summary=" / ".join(said)[-_SUMMARY_CHARS:],
        tried=list(brief.tried),
        slots=[slot.model_dump() for slot in brief.slots],
        created_at=datetime.now(UTC),
    )


def to_handoff(row: HandoffRow) -> Handoff:
    """A row as it is shown."""
    return Handoff.model_validate({name: getattr(row, name) for name in Handoff.model_fields})


def _decision(handoff_id: str, step: str, reason: str) -> Decision:
    return Decision(
        kind="support.handoff",
        subject=handoff_id,
        input_sha256="",
        outcome={"step": step, "reason": reason},
        model_version="rules",
    )
