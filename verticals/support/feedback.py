"""Thumbs for answers and the desk's figures; a thumb down is an example to review. Ignores how answers are made."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.orm import Session as Database
from sqlalchemy.orm import sessionmaker

from verticals.bootstrap import wilson_interval
from verticals.contract import Context, NotFound
from verticals.support.schemas import (
    FeedbackPage,
    ListFeedbackRequest,
    Quality,
    QualityRequest,
    RateAnswerRequest,
    RatedAnswer,
    Rating,
    Share,
    Source,
)
from verticals.support.sessions import count, held_session
from verticals.support.tables import ActionRow, FeedbackRow, HandoffRow, MessageRow, SessionRow
from verticals.undisturbed import see_one_state

CITATIONS = tuple(f"%[{number}]%" for number in range(1, 10))


class FeedbackDesk:
    """One method per operation: `(request, context)` to response."""

    def __init__(self, sessions: sessionmaker[Database]) -> None:
        self._sessions = sessions

    def rate_answer(self, request: RateAnswerRequest, context: Context) -> RatedAnswer:
        """Keep a thumb; a customer rates their own session's answers.

        Raises:
            NotFound: no such session for the caller, or no answer of that number in it.
        """
        with self._sessions.begin() as db:
            held_session(db, request.session_id, context)
            answer = db.get(MessageRow, (context.tenant, request.session_id, request.number))
            if answer is None or answer.role != "assistant":
                raise NotFound("is no answer of the session", field="number", value=request.number)
            row = FeedbackRow(
                tenant=context.tenant,
                session_id=request.session_id,
                number=request.number,
                rating=request.rating.value,
                comment=request.comment,
                actor=context.actor,
                created_at=datetime.now(UTC),
            )
            return _rated(db, db.merge(row), answer)

    def list_feedback(self, request: ListFeedbackRequest, context: Context) -> FeedbackPage:
        """A page of rated answers."""
        mine = select(FeedbackRow).where(FeedbackRow.tenant == context.tenant)
        if request.rating is not None:
            mine = mine.where(FeedbackRow.rating == request.rating.value)
        page = mine.order_by(FeedbackRow.created_at.desc()).limit(request.limit).offset(request.offset)
        with self._sessions() as db:
            see_one_state(db)
            rows = [(row, db.get_one(MessageRow, (row.tenant, row.session_id, row.number))) for row in db.scalars(page)]
            return FeedbackPage(answers=[_rated(db, *pair) for pair in rows], total=count(db, mine))

    def quality(self, request: QualityRequest, context: Context) -> Quality:
        """Figures of the last days."""
        since = datetime.now(UTC) - timedelta(days=request.days)
        sessions = select(SessionRow).where(SessionRow.tenant == context.tenant, SessionRow.created_at >= since)
        taken = select(HandoffRow.session_id).where(HandoffRow.tenant == context.tenant)
        spoken = select(MessageRow).where(
            MessageRow.tenant == context.tenant, MessageRow.role == "assistant", MessageRow.created_at >= since
        )
        rated = select(FeedbackRow).where(FeedbackRow.tenant == context.tenant, FeedbackRow.created_at >= since)
        is_cited = or_(*(MessageRow.content.like(pattern) for pattern in CITATIONS))
        with self._sessions() as db:
            see_one_state(db)
            return Quality(
                sessions=count(db, sessions),
                contained=_share(db, sessions, SessionRow.session_id.not_in(taken)),
                cited=_share(db, spoken, is_cited),
                liked=_share(db, rated, FeedbackRow.rating == Rating.UP.value),
                waiting_handoffs=_waiting(db, HandoffRow, context.tenant),
                waiting_approvals=_waiting(db, ActionRow, context.tenant),
            )


def _rated(db: Database, row: FeedbackRow, answer: MessageRow) -> RatedAnswer:
    earlier = (
        select(MessageRow.content)
        .where(MessageRow.tenant == row.tenant, MessageRow.session_id == row.session_id)
        .where(MessageRow.role == "customer", MessageRow.number < row.number)
        .order_by(MessageRow.number.desc())
        .limit(1)
    )
    return RatedAnswer(
        session_id=row.session_id,
        number=row.number,
        rating=Rating(row.rating),
        comment=row.comment,
        question=db.scalar(earlier) or "",
        answer=answer.content,
        sources=[Source.model_validate(source) for source in answer.sources],
        created_at=row.created_at,
    )


def _share(db: Database, of: Select[Any], hits: ColumnElement[bool]) -> Share:
    num_hits, total = count(db, of.where(hits)), count(db, of)
    if not total:
        return Share(count=0, total=0, share=None, low=None, high=None)
    low, high = wilson_interval(num_hits, total)
    return Share(count=num_hits, total=total, share=num_hits / total, low=low, high=high)


def _waiting(db: Database, table: type[HandoffRow] | type[ActionRow], tenant: str) -> int:
    query = select(func.count()).where(table.tenant == tenant, table.status == "waiting")
    return db.scalar(query) or 0
