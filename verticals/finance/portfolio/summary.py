"""Decisions over time: months, shift, migration, vintages, manual decisions. Ignores where all that is kept."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from itertools import groupby
from typing import NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from verticals.finance.metrics import jeffreys_interval
from verticals.finance.portfolio.counts import Decided, Granted
from verticals.finance.portfolio.schemas import Month, Move, OverrideRow, PointsBin, Shift, VintageRow
from verticals.finance.schemas import Decision, Direction
from verticals.finance.validation import drift
from verticals.finance.validation.rules import light
from verticals.finance.validation.sample import month_label

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


def months(decided: Sequence[Decided]) -> list[Month]:
    """One row a month, in order.

    Args:
        decided: In the order of months.
    """
    found = []
    for month, group in groupby(decided, key=lambda one: one.month):
        cells = list(group)
        count, by_decision = sum(one.num for one in cells), counts(cells)
        found.append(
            Month(
                month=month_label(month),
                count=count,
                shares={name: by_decision[name] / count for name in DECISIONS},
                mean_points=sum(one.points * one.num for one in cells) / count,
                mean_prob_default=math.fsum(one.prob_sum for one in cells) / count,
            )
        )
    return found


def counts(decided: Sequence[Decided]) -> Counter[str]:
    """How many of each decision."""
    found: Counter[str] = Counter()
    for one in decided:
        found[one.decision] += one.num
    return found


def points_of(decided: Sequence[Decided]) -> NDArray[np.float64]:
    """The points of every scoring, (N,)."""
    return np.repeat([float(one.points) for one in decided], [one.num for one in decided])


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


def moves(counts: Mapping[tuple[str, str], int]) -> list[Move]:
    """By first decision, then by last.

    Args:
        counts: (first, last) of each application that was scored more than once -> how many.
    """
    return [Move(first=a, last=b, count=counts[a, b]) for a in DECISIONS for b in DECISIONS if (a, b) in counts]


def vintages(granted: Sequence[Granted]) -> list[VintageRow]:
    """Credits by month of approval, with what is known of them.

    Args:
        granted: In the order of months.
    """
    return [_vintage(month, list(group)) for month, group in groupby(granted, key=lambda one: one.month)]


def overrides(
    counts: Mapping[str, int], made: Sequence[Manual], outcomes: Mapping[str, tuple[bool, date]]
) -> list[OverrideRow]:
    """Manual decisions by direction, each against the policy's decisions that it could have replaced.

    Args:
        counts: Policy's decision -> how many.
        made: What people decided instead, one a scoring.
        outcomes: Application -> whether it defaulted, and when that was seen.
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


def _vintage(month: int, cells: Sequence[Granted]) -> VintageRow:
    seen = [(one.age, one) for one in cells if one.age is not None]
    ages: Counter[int] = Counter()
    for age, one in seen:
        ages[age] += one.num if one.defaulted else 0
    count, defaults, oldest = sum(one.num for _, one in seen), ages.total(), max((age for age, _ in seen), default=-1)
    low, high = jeffreys_interval(count, defaults) if count else (None, None)
    return VintageRow(
        month=month_label(month),
        approved=sum(one.num for one in cells),
        known=count,
        defaults=defaults,
        default_rate=defaults / count if count else None,
        low=low,
        high=high,
        expected=math.fsum(one.prob_sum for _, one in seen) / count if count else None,
        by_age=[sum(ages[i] for i in range(age + 1)) / count for age in range(oldest + 1)],
    )
