"""The feature view in SQL, the same statement on SQLite and PostgreSQL. Ignores what the features mean (`view.py`).

Three steps: `e`, the events with their columns; `m`, a row a customer with means and last times; then all measures,
whose sums of squares are about those means, since a difference of large sums would lose digits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Double,
    Select,
    and_,
    case,
    cast,
    func,
    literal,
    literal_column,
    select,
    true,
)

from verticals.finance.histories.tables import FinanceEvent
from verticals.finance.histories.view import (
    DAY_S,
    FEATURES,
    TREND_DAYS,
    Aggregate,
    Count,
    CountCategories,
    DaysSince,
    Largest,
    Latest,
    Mean,
    Measure,
    Ratio,
    Spread,
    Total,
    Trend,
    Where,
)

Expression = ColumnElement[Any]


def feature_query(tenant: str, *, as_of_s: int, customers: Sequence[str] | None = None) -> Select[Any]:
    """A statement whose rows are `customer` and every feature; customers without events have no row.

    Args:
        customers: Whose; None: all of the tenant.
    """
    events = _events(tenant, as_of_s, customers)
    compiler = _Compiler(events, as_of_s)
    features = [compiler.measure(f.measure).label(f.name) for f in FEATURES]
    means = compiler.means()
    return (
        select(events.c.customer, *features)
        .join_from(events, means, means.c.customer == events.c.customer)
        .group_by(events.c.customer)
        .order_by(events.c.customer)
    )


def _events(tenant: str, as_of_s: int, customers: Sequence[str] | None) -> CTE:
    e = FinanceEvent
    amount, limit = cast(e.amount_cents, Double) / 100.0, cast(e.limit_cents, Double)
    before = func.lag(e.at_s).over(partition_by=e.customer, order_by=e.at_s)
    of_whom = true() if customers is None else e.customer.in_(customers)
    return (
        select(
            e.customer,
            e.at_s,
            e.kind,
            e.category,
            amount.label("amount"),
            case((e.amount_cents > 0, func.ln(amount))).label("log_amount"),
            (cast(e.at_s - before, Double) / float(DAY_S)).label("gap_d"),
            case((e.limit_cents > 0, cast(e.balance_cents, Double) / limit)).label("utilisation"),
            (cast(e.at_s - as_of_s, Double) / float(TREND_DAYS * DAY_S)).label("time"),
        )
        .where(e.tenant == tenant, e.at_s <= as_of_s, of_whom)
        .cte("e")
    )


class _Compiler:
    """Measures to expressions; collects the columns of `m` that they need on the way."""

    def __init__(self, events: CTE, as_of_s: int) -> None:
        self._e, self._as_of_s = events, as_of_s
        self._first_pass: dict[tuple[str, str, Where], tuple[str, Expression]] = {}

    def means(self) -> CTE:
        """`m`, a row a customer; call it after the measures."""
        columns = [expression.label(name) for name, expression in self._first_pass.values()]
        return select(self._e.c.customer, *columns).group_by(self._e.c.customer).cte("m")

    def measure(self, measure: Measure) -> Expression:
        """The expression of a measure over the rows of `e` joined to `m`, grouped by customer."""
        if isinstance(measure, Ratio):
            return self.measure(measure.of) / func.nullif(self.measure(measure.to), 0.0)
        return self._aggregate(measure)

    def _aggregate(self, measure: Aggregate) -> Expression:
        inside = self._inside(measure.where)
        match measure:
            case Count():
                return cast(func.count(case((inside, 1))), Double)
            case CountCategories():
                return cast(func.count(func.distinct(case((inside, self._e.c.category)))), Double)
            case DaysSince():
                end = (func.min if measure.first else func.max)(case((inside, self._e.c.at_s)))
                return cast(self._as_of_s - end, Double) / float(DAY_S)
        x = case((inside, self._e.c[measure.column]))
        match measure:
            case Total():
                return func.coalesce(func.sum(x), 0.0)
            case Mean():
                return func.exp(func.avg(x)) if measure.geometric else func.avg(x)
            case Largest():
                return func.max(x)
            case Spread():
                off = x - self._earlier("mean", measure, func.avg(x))
                return func.sqrt(func.avg(off * off))
            case Latest():
                known = and_(inside, self._e.c[measure.column].is_not(None))
                latest = self._earlier("latest", measure, func.max(case((known, self._e.c.at_s))))
                return func.avg(case((self._e.c.at_s == latest, x)))
            case Trend():
                return self._slope(inside, x, measure)

    def _slope(self, inside: Expression, x: Expression, measure: Trend) -> Expression:
        known = and_(inside, self._e.c[measure.column].is_not(None))
        t = case((known, self._e.c.time))
        from_mean = t - self._earlier("mean time", measure, func.avg(t))
        slope = func.sum(from_mean * (x - self._earlier("mean", measure, func.avg(x)))) / func.sum(
            from_mean * from_mean
        )
        # Not by the divisor: of equal times it may be a little above 0.
        return case((func.max(t) > func.min(t), slope))

    def _earlier(self, what: str, measure: Spread | Latest | Trend, expression: Expression) -> Expression:
        """The column of `m` with this expression; `what` tells those of one measure apart."""
        key = (what, measure.column, measure.where)
        name, _ = self._first_pass.setdefault(key, (f"v{len(self._first_pass)}", expression))
        return literal_column(f"m.{name}", Double)

    def _inside(self, where: Where) -> Expression:
        rules: list[Expression] = []
        if where.kinds:
            rules.append(self._e.c.kind.in_([str(kind) for kind in where.kinds]))
        if where.category is not None:
            rules.append(self._e.c.category == str(where.category))
        if where.within_days is not None:
            rules.append(self._e.c.at_s > self._as_of_s - where.within_days * DAY_S)
        return and_(*rules) if rules else literal(1) == 1
