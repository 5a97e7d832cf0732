"""What was decided over a time, counted by the database, the same on SQLite and PostgreSQL. Ignores what it means.

Rows come back by month, points and age, never by application: a year of decisions is some thousand rows, however many
were decided. A month is the number of months since January 1970, in UTC, as in a validation sample.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Integer, and_, case, cast, extract, func, select
from sqlalchemy.orm import Session, aliased

from verticals.finance.manual.tables import FinanceOverride
from verticals.finance.portfolio.tables import FinanceOutcome
from verticals.finance.tables import FinanceDecision


class Decided(NamedTuple):
    """Scorings of one month, decision and points: how many, and the sum of their probabilities of default."""

    month: int
    decision: str
    points: int
    num: int
    prob_sum: float


class Granted(NamedTuple):
    """Credits of one month of their last approval that are as old and turned out as said; None: outcome not known.

    `age`: whole months from the approval to the day that the outcome was seen.
    """

    month: int
    age: int | None
    defaulted: bool | None
    num: int
    prob_sum: float


class Period(NamedTuple):
    """A tenant's scorings from `start` to before `end`."""

    tenant: str
    start: datetime
    end: datetime

    def holds(self) -> ColumnElement[bool]:
        """Whether a scoring is of this tenant and time."""
        d = FinanceDecision
        return and_(d.tenant == self.tenant, d.created_at >= self.start, d.created_at < self.end)


def count(session: Session, period: Period) -> int:
    """How many scorings there are."""
    return session.scalar(select(func.count()).select_from(FinanceDecision).where(period.holds())) or 0


def decided(session: Session, period: Period) -> list[Decided]:
    """All scorings, in the order of months."""
    d = FinanceDecision
    month = _month(d.created_at).label("month")
    rows = select(month, d.decision, d.points, func.count(), func.sum(d.prob_default)).where(period.holds())
    rows = rows.group_by("month", d.decision, d.points).order_by("month", d.points)
    return [Decided(*row) for row in session.execute(rows)]


def by_decision(session: Session, period: Period) -> dict[str, int]:
    """How many of each decision."""
    d = FinanceDecision
    counted = select(d.decision, func.count()).where(period.holds()).group_by(d.decision)
    return {row[0]: row[1] for row in session.execute(counted)}


def moves(session: Session, period: Period) -> dict[tuple[str, str], int]:
    """(first decision, last decision) of the applications that were scored more than once -> how many."""
    d, first, last = FinanceDecision, aliased(FinanceDecision), aliased(FinanceDecision)
    again = (
        select(func.min(d.id).label("first"), func.max(d.id).label("last"))
        .where(period.holds())
        .group_by(d.application_id)
        .having(func.count() > 1)
        .subquery()
    )
    ends = select(first.decision, last.decision, func.count()).join_from(again, first, first.id == again.c.first)
    counted = ends.join(last, last.id == again.c.last).group_by(first.decision, last.decision)
    return {(a, b): number for a, b, number in session.execute(counted)}


def granted(session: Session, period: Period) -> list[Granted]:
    """Each application's last approval, by whomever, with what is known of the credit; in the order of months."""
    d, o = FinanceDecision, FinanceOutcome
    final = func.coalesce(_held(), d.decision)
    approved = (
        select(func.max(d.id).label("id"))
        .where(period.holds(), final == "approve")
        .group_by(d.application_id)
        .subquery()
    )
    month = _month(d.created_at)
    months = _month(o.observed_on) - month
    full = months - case((extract("day", o.observed_on) < extract("day", d.created_at), 1), else_=0)
    age = case((full < 0, 0), else_=full)
    same = and_(o.tenant == d.tenant, o.application_id == d.application_id)
    rows = select(month.label("month"), age.label("age"), o.defaulted, func.count(), func.sum(d.prob_default))
    rows = rows.join_from(approved, d, d.id == approved.c.id).outerjoin(o, same)
    rows = rows.group_by("month", "age", o.defaulted).order_by("month", "age")
    return [Granted(*row) for row in session.execute(rows)]


def _held() -> ColumnElement[Any]:
    """What a person decided on a scoring and still holds; NULL: nobody did."""
    o, d = FinanceOverride, FinanceDecision
    mine = (o.tenant == d.tenant, o.scoring_id == d.id, o.state == "in_force")
    newest = select(o.decision).where(*mine).order_by(o.decided_at.desc(), o.override_id.desc()).limit(1)
    return newest.correlate(d).scalar_subquery()


def _month(day: Any) -> ColumnElement[int]:
    return cast(12 * (extract("year", day) - 1970) + extract("month", day) - 1, Integer)
