"""The feature view in pandas, from a table of events. Ignores what the features mean (`view.py`) and databases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from verticals.finance.histories.view import (
    DAY_S,
    FEATURES,
    TREND_DAYS,
    ZERO_WITHOUT_EVENTS,
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


def features_of(events: pd.DataFrame, *, as_of_s: int, customers: Sequence[str]) -> pd.DataFrame:
    """The view of these customers, a row each in their order, float64.

    Args:
        events: As `events.event_table` gives it; of other customers too, if need be.
    """
    seen = events[(events["at_s"] <= as_of_s) & events["customer"].isin(list(customers))]
    seen = seen.sort_values(["customer", "at_s"], kind="stable", ignore_index=True)
    known = _with_columns(seen, as_of_s)
    return complete(pd.DataFrame({f.name: _measure(f.measure, known, as_of_s) for f in FEATURES}), customers)


def complete(found: pd.DataFrame, customers: Sequence[str]) -> pd.DataFrame:
    """Rows for all customers, in order: those without events have 0 where nothing is 0, and else nothing."""
    table = found.reindex(list(customers)).astype(float)
    return table.fillna(dict.fromkeys(ZERO_WITHOUT_EVENTS, 0.0))


def _with_columns(seen: pd.DataFrame, as_of_s: int) -> pd.DataFrame:
    cents, balance, limit = (
        seen[name].to_numpy(float, na_value=np.nan) for name in ("amount_cents", "balance_cents", "limit_cents")
    )
    amount = cents / 100.0
    return seen.assign(
        amount=amount,
        log_amount=np.log(np.where(amount > 0, amount, np.nan)),
        gap_d=seen.groupby("customer")["at_s"].diff() / DAY_S,
        utilisation=balance / np.where(limit > 0, limit, np.nan),
        time=(seen["at_s"] - as_of_s) / (TREND_DAYS * DAY_S),
    )


def _measure(measure: Measure, known: pd.DataFrame, as_of_s: int) -> pd.Series[Any]:
    if isinstance(measure, Ratio):
        of, to = _measure(measure.of, known, as_of_s), _measure(measure.to, known, as_of_s)
        return of.reindex(known["customer"].unique()) / to.where(to != 0)
    found = _aggregate(measure, known[_inside(measure.where, known, as_of_s)], as_of_s)
    # A customer with events, but none of these, has 0 of them and not nothing: also as a part of a ratio.
    zero = isinstance(measure, Count | CountCategories | Total)
    return found.reindex(known["customer"].unique(), fill_value=0.0) if zero else found


def _aggregate(measure: Aggregate, rows: pd.DataFrame, as_of_s: int) -> pd.Series[Any]:
    found: pd.Series[Any]
    by: Any = rows.groupby("customer")
    match measure:
        case Count():
            found = by.size().astype(float)
        case CountCategories():
            found = by["category"].nunique().astype(float)
        case DaysSince():
            found = (as_of_s - (by["at_s"].min() if measure.first else by["at_s"].max())) / DAY_S
        case _:
            found = _of_column(measure, rows[rows[measure.column].notna()])
    return found


def _of_column(measure: Total | Mean | Spread | Largest | Latest | Trend, rows: pd.DataFrame) -> pd.Series[Any]:
    found: pd.Series[Any]
    by: Any = rows.groupby("customer")
    x: Any = by[measure.column]
    match measure:
        case Total():
            found = x.sum()
        case Mean():
            found = np.exp(x.mean()) if measure.geometric else x.mean()
        case Largest():
            found = x.max()
        case Spread():
            found = x.std(ddof=0)
        case Latest():
            latest: Any = rows[rows["at_s"] == by["at_s"].transform("max")].groupby("customer")
            found = latest[measure.column].mean()
        case Trend():
            found = _slope(rows, measure)
    return found


def _slope(rows: pd.DataFrame, measure: Trend) -> pd.Series[Any]:
    by: Any = rows.groupby("customer")
    from_mean = rows["time"] - by["time"].transform("mean")
    off = rows[measure.column] - by[measure.column].transform("mean")
    parts = pd.DataFrame({"customer": rows["customer"], "xy": from_mean * off, "xx": from_mean**2})
    sums: Any = parts.groupby("customer").sum()
    found: pd.Series[Any] = (sums["xy"] / sums["xx"]).where(by["at_s"].max() > by["at_s"].min())
    return found


def _inside(where: Where, known: pd.DataFrame, as_of_s: int) -> pd.Series[bool]:
    mask = pd.Series(True, index=known.index)
    if where.kinds:
        mask &= known["kind"].isin([str(kind) for kind in where.kinds])
    if where.category is not None:
        mask &= known["category"] == str(where.category)
    if where.within_days is not None:
        mask &= known["at_s"] > as_of_s - where.within_days * DAY_S
    return mask
