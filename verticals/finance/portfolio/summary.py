"""Decisions over time: months, shift, migration, vintages, manual decisions. Ignores where all that is kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from typing import NamedTuple, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from verticals.finance.metrics import jeffreys_interval
from verticals.finance.portfolio.schemas import Month, Move, OverrideRow, PointsBin, Shift, VintageRow
from verticals.finance.schemas import Decision, Direction
from verticals.finance.validation import drift
from verticals.finance.validation.rules import light

BIN_POINTS = 10
DECISIONS: Sequence[Decision] = get_args(Decision)
REPLACES: Mapping[Direction, Decision] = {"low_side": "decline", "high_side": "approve", "referral": "refer"}


class Manual(NamedTuple):
    """A person's decision in force, on the scoring of this number."""

    scoring_id: int
    application_id: str
    automatic: str
    decision: str
    reason: str


def months(decided: pd.DataFrame) -> list[Month]:
    """One row a month.

    Args:
        decided: Columns `month` (YYYY-MM), `decision`, `points`, `prob_default`.
    """
    found = []
    for month, rows in decided.groupby("month", sort=True):
        share = rows["decision"].value_counts(normalize=True)
        found.append(
            Month(
                month=str(month),
                count=len(rows),
                shares={name: float(share.get(name, 0.0)) for name in DECISIONS},
                mean_points=float(rows["points"].mean()),
                mean_prob_default=float(rows["prob_default"].mean()),
            )
        )
    return found


def points_bins(points: NDArray[np.float64], reference: NDArray[np.float64]) -> list[PointsBin]:
    """Both distributions over the same bins of `BIN_POINTS`."""
    both = np.concatenate([points, reference])
    edges = np.arange(both.min() // BIN_POINTS * BIN_POINTS, both.max() + BIN_POINTS + 1, BIN_POINTS)
    counts, before = (np.histogram(one, edges)[0] for one in (points, reference))
    return [
        PointsBin(low=int(low), high=int(low) + BIN_POINTS, count=int(now), reference=int(then))
        for low, now, then in zip(edges[:-1], counts, before, strict=True)
    ]


def shift(points: NDArray[np.float64], reference: NDArray[np.float64]) -> Shift:
    """The scores against the development sample's, graded as the validation report grades them."""
    found = drift.of_scores(reference, points)
    low, high = found.interval()
    return Shift(
        psi=found.psi,
        low=low,
        high=high,
        confidence=found.confidence if found.freedom else None,
        grade=light(found.confidence, **drift.LIGHT),
    )


def moves(decided: pd.DataFrame) -> list[Move]:
    """First and last decision of each application that was scored more than once.

    Args:
        decided: Columns `application_id`, `decision`, in the order in which they were made.
    """
    ends = decided.groupby("application_id")["decision"].agg(["first", "last", "size"])
    again = ends[ends["size"] > 1]
    counts = Counter(zip(again["first"], again["last"], strict=True))
    return [Move(first=a, last=b, count=counts[a, b]) for a in DECISIONS for b in DECISIONS if counts[a, b]]


def vintages(decided: pd.DataFrame, outcomes: Mapping[str, tuple[bool, date]]) -> list[VintageRow]:
    """Approved credits by month of approval, with what is known of them.

    Args:
        decided: Columns `application_id`, `month`, `day` (date), `decision`, `prob_default`, in order of time.
        outcomes: Application -> whether it defaulted, and when that was seen.
    """
    approved = decided[decided["decision"] == "approve"].drop_duplicates("application_id", keep="last")
    return [_vintage(str(month), rows, outcomes) for month, rows in approved.groupby("month", sort=True)]


def overrides(
    counts: Mapping[str, int], made: Sequence[Manual], outcomes: Mapping[str, tuple[bool, date]]
) -> list[OverrideRow]:
    """Manual decisions by direction, each against the policy's decisions that it could have replaced.

    Args:
        counts: Policy's decision -> how many.
        made: What people decided instead, one a scoring.
        outcomes: As in `vintages`.
    """
    found = []
    for direction, replaced in REPLACES.items():
        mine, total = [one for one in made if one.automatic == replaced], counts.get(replaced, 0)
        granted = {one.application_id for one in mine if one.decision == "approve"}
        known = [outcomes[name][0] for name in granted if name in outcomes]
        low, high = jeffreys_interval(total, len(mine)) if total else (None, None)
        found.append(
            OverrideRow(
                direction=direction,
                count=len(mine),
                of=total,
                rate=len(mine) / total if total else None,
                low=low,
                high=high,
                reasons=dict(Counter(one.reason for one in mine).most_common()),
                approved_known=len(known),
                approved_defaults=sum(known),
            )
        )
    return found


def _vintage(month: str, rows: pd.DataFrame, outcomes: Mapping[str, tuple[bool, date]]) -> VintageRow:
    known = rows[rows["application_id"].isin(list(outcomes))]
    seen = [(outcomes[name], day) for name, day in zip(known["application_id"], known["day"], strict=True)]
    ages = np.array([_months_between(day, when) for (defaulted, when), day in seen if defaulted], dtype=int)
    watched = max((_months_between(day, when) for (_, when), day in seen), default=-1)
    count, defaults = len(seen), len(ages)
    low, high = jeffreys_interval(count, defaults) if count else (None, None)
    return VintageRow(
        month=month,
        approved=len(rows),
        known=count,
        defaults=defaults,
        default_rate=defaults / count if count else None,
        low=low,
        high=high,
        expected=float(known["prob_default"].mean()) if count else None,
        by_age=[float((ages <= age).sum() / count) for age in range(watched + 1)],
    )


def _months_between(start: date, end: date) -> int:
    """Whole calendar months, 0 if the end is before the start."""
    return max(0, 12 * (end.year - start.year) + end.month - start.month - (end.day < start.day))
