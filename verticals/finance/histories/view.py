"""The feature view: what is said of a history in numbers, each defined once. Ignores how they are computed.

`view_sql.py` and `view_frame.py` compute the same table in SQL (SQLite, PostgreSQL) and in pandas; a test holds them
together within 1e-9. A feature sees events up to `as_of`, inclusive. Without events counts and sums are 0 and all else
is missing (None in SQL, NaN in pandas).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from verticals.finance.histories.vocabulary import INCOME, SPENDING, Category, Kind

DAY_S = 86_400
TREND_DAYS = 30  # a trend is a change over so many days

Column = Literal["amount", "log_amount", "gap_d", "utilisation"]
"""What an event has: amount in currency; its natural logarithm, missing for 0; days since the event before it, of any
kind; balance / limit, missing without a positive limit."""


@dataclass(frozen=True)
class Where:
    """Which events count. Empty: all."""

    kinds: tuple[Kind, ...] = ()
    category: Category | None = None
    within_days: int | None = None  # of as_of


@dataclass(frozen=True)
class Count:
    """Number of events."""

    where: Where = Where()


@dataclass(frozen=True)
class CountCategories:
    """Number of different categories, missing ones left out."""

    where: Where = Where()


@dataclass(frozen=True)
class Total:
    """Sum of a column; 0 of nothing."""

    column: Column
    where: Where = Where()


@dataclass(frozen=True)
class Mean:
    """Arithmetic mean of a column's known values; `geometric`: e to the mean, for a column of logarithms."""

    column: Column
    where: Where = Where()
    geometric: bool = False


@dataclass(frozen=True)
class Spread:
    """Standard deviation of a column's known values (of the population: 0 for a single one)."""

    column: Column
    where: Where = Where()


@dataclass(frozen=True)
class Largest:
    """Maximum of a column's known values."""

    column: Column
    where: Where = Where()


@dataclass(frozen=True)
class Latest:
    """A column's value at the latest time at which it is known; the mean of several at that second."""

    column: Column
    where: Where = Where()


@dataclass(frozen=True)
class Trend:
    """Least-squares slope of a column over time, per `TREND_DAYS`; missing below two different times."""

    column: Column
    where: Where = Where()


@dataclass(frozen=True)
class DaysSince:
    """Days from the last event (or the first) to `as_of`."""

    where: Where = Where()
    first: bool = False


@dataclass(frozen=True)
class Ratio:
    """One measure over another; missing where either is, or the second is 0."""

    of: Measure
    to: Measure


Aggregate = Count | CountCategories | Total | Mean | Spread | Largest | Latest | Trend | DaysSince
Measure = Aggregate | Ratio


@dataclass(frozen=True)
class Feature:
    """A named number of the view."""

    name: str
    label: str
    measure: Measure


_SPENT, _EARNED = Where(SPENDING), Where(INCOME)
_SALARY, _GAMES = Where((Kind.SALARY,)), Where((Kind.PURCHASE,), category=Category.GAMBLING)
_CASH, _LATE = Where((Kind.CASH,)), Where((Kind.LATE_FEE,))
_DRAWN, _REPAID, _STATED = Where((Kind.DRAW,)), Where((Kind.REPAYMENT,)), Where((Kind.STATEMENT,))
_SPENT_90, _EARNED_90 = Where(SPENDING, within_days=90), Where(INCOME, within_days=90)

FEATURES: Sequence[Feature] = (
    Feature("num_events", "Events", Count()),
    Feature("num_events_90d", "Events in 90 days", Count(Where(within_days=90))),
    Feature("history_d", "Days since the first event", DaysSince(first=True)),
    Feature("recency_d", "Days since the last event", DaysSince()),
    Feature("interval_mean_d", "Days between events, mean", Mean("gap_d")),
    Feature("interval_sd_d", "Days between events, volatility", Spread("gap_d")),
    Feature("spend_geomean", "Amount spent, geometric mean", Mean("log_amount", _SPENT, geometric=True)),
    Feature("spend_log_sd", "Amount spent, spread of its logarithm", Spread("log_amount", _SPENT)),
    Feature("spend_max", "Amount spent, largest", Largest("amount", _SPENT)),
    Feature("spend_total", "Spent in all", Total("amount", _SPENT)),
    Feature("spend_trend", "Amount spent, trend of its logarithm", Trend("log_amount", _SPENT)),
    Feature("num_categories", "Categories of purchases", CountCategories()),
    Feature("salary_mean", "Salary, mean", Mean("amount", _SALARY)),
    Feature("salary_cv", "Salary, spread over mean", Ratio(Spread("amount", _SALARY), Mean("amount", _SALARY))),
    Feature("salary_trend", "Salary, trend of its logarithm", Trend("log_amount", _SALARY)),
    Feature("salary_recency_d", "Days since the last salary", DaysSince(_SALARY)),
    Feature("num_salaries_90d", "Salaries in 90 days", Count(Where((Kind.SALARY,), within_days=90))),
    Feature("income_total", "Income in all", Total("amount", _EARNED)),
    Feature("spend_share", "Spent, share of income", Ratio(Total("amount", _SPENT), Total("amount", _EARNED))),
    Feature(
        "spend_share_90d",
        "Spent, share of income in 90 days",
        Ratio(Total("amount", _SPENT_90), Total("amount", _EARNED_90)),
    ),
    Feature("cash_share", "Cash, share of what was spent", Ratio(Total("amount", _CASH), Total("amount", _SPENT))),
    Feature("num_games", "Payments for games of chance", Count(_GAMES)),
    Feature("games_share", "Games, share of what was spent", Ratio(Total("amount", _GAMES), Total("amount", _SPENT))),
    Feature("num_late_fees", "Fees for late payment", Count(_LATE)),
    Feature("late_fee_recency_d", "Days since the last such fee", DaysSince(_LATE)),
    Feature("num_draws", "Draws on the credit line", Count(_DRAWN)),
    Feature("draws_geomean", "Amount drawn, geometric mean", Mean("log_amount", _DRAWN, geometric=True)),
    Feature("num_repayments", "Repayments", Count(_REPAID)),
    Feature(
        "repaid_share", "Repaid, share of what was drawn", Ratio(Total("amount", _REPAID), Total("amount", _DRAWN))
    ),
    Feature("utilisation_mean", "Utilisation of the limit, mean", Mean("utilisation", _STATED)),
    Feature("utilisation_max", "Utilisation of the limit, largest", Largest("utilisation", _STATED)),
    Feature("utilisation_last", "Utilisation of the limit, latest", Latest("utilisation", _STATED)),
    Feature("utilisation_trend", "Utilisation of the limit, trend", Trend("utilisation", _STATED)),
)
"""All of it, in the order of the table."""

ZERO_WITHOUT_EVENTS = frozenset(f.name for f in FEATURES if isinstance(f.measure, Count | CountCategories | Total))
