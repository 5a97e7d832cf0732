"""What customers ask and in what tone, what answers come to, and the thumbs they get. Ignores what it means.

Counts of all tenants together, of intents and tones: no words.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, case, func, or_, select
from sqlalchemy.orm import Session

from verticals.bootstrap import wilson_interval
from verticals.contract import Metric, Resources
from verticals.support.feedback import CITATIONS
from verticals.support.schemas import Rating
from verticals.support.tables import FeedbackRow, HandoffRow, MessageRow, SessionRow
from verticals.watched import Distribution, Period, Watch

MAX_INTENTS = 50  # the commonest; the others together


def watch(resources: Resources, period: Period) -> Watch:
    """The period's sessions, against those of the time before."""
    message, session_row = MessageRow, SessionRow
    asked = (message.tenant.in_(period.tenants), message.role == "customer", message.understood.is_not(None))
    answered = (message.tenant.in_(period.tenants), message.role == "assistant")
    is_cited = case((or_(*(message.content.like(pattern) for pattern in CITATIONS)), "cited"), else_="not cited")
    taken = select(HandoffRow.session_id).where(HandoffRow.tenant == session_row.tenant)
    is_taken = case((session_row.session_id.in_(taken), "handed over"), else_="by itself")
    counted = (
        ("intent", "input", message.understood["intent"].as_string(), message.created_at, asked),
        ("tone", "input", message.understood["tone"].as_string(), message.created_at, asked),
        ("citation", "output", is_cited, message.created_at, answered),
        ("hand-off", "output", is_taken, session_row.created_at, (session_row.tenant.in_(period.tenants),)),
    )
    with resources.sessions() as session:
        found = tuple(_of(session, *one, period=period) for one in counted)
        return Watch(found, _thumbs(session, period))


def _of(
    session: Session,
    name: str,
    side: Any,
    what: ColumnElement[Any],
    at: Any,
    where: tuple[ColumnElement[bool], ...],
    *,
    period: Period,
) -> Distribution:
    def count(start: datetime, end: datetime) -> dict[str, int]:
        query: Select[Any] = select(what.label("what"), func.count()).where(*where, at >= start, at < end)
        return {str(value or "not known"): number for value, number in session.execute(query.group_by("what"))}

    before, now = count(period.reference_start, period.start), count(period.start, period.end)
    commonest = sorted(before | now, key=lambda each: (-before.get(each, 0) - now.get(each, 0), each))[:MAX_INTENTS]
    bins = [*sorted(commonest), "others"]
    rows = []
    for counts in (before, now):
        known = [counts.get(each, 0) for each in bins[:-1]]
        rows.append((*known, sum(counts.values()) - sum(known)))
    return Distribution(name, side, "earlier", tuple(bins), *rows)


def _thumbs(session: Session, period: Period) -> tuple[Metric, ...]:
    row = FeedbackRow
    rated = select(row.rating, func.count()).where(row.tenant.in_(period.tenants), row.created_at >= period.start)
    counts: dict[str, int] = {found[0]: found[1] for found in session.execute(rated.group_by(row.rating))}
    up, total = counts.get(Rating.UP.value, 0), sum(counts.values())
    return (Metric("liked", up / total, *wilson_interval(up, total), total),) if total else ()
