"""Whether decisions differ by protected group: adverse impact ratio, equal opportunity. Ignores why they differ.

Shape: N applicants. Each figure carries its caveat, because neither shows discrimination nor rules it out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verticals.bootstrap import wilson_interval
from verticals.finance.validation.rules import Grade

Z = 1.959964
FOUR_FIFTHS = 0.8
MIN_GROUP = 30  # applicants of a group; below, the interval says nothing that would not be read as something
IMPACT_CAVEAT = (
    "A ratio compares outcomes, not equally creditworthy applicants: it neither shows discrimination nor rules it out. "
    "The group with the highest rate was chosen from this sample, which lowers the ratio a little."
)
OPPORTUNITY_CAVEAT = (
    "Repayment is known only where credit was granted or in a development sample; those whom a policy refused before "
    "are missing from it."
)


@dataclass(frozen=True)
class Compared:
    """A group against the reference group."""

    group: str
    reference: str
    value: float
    low: float
    high: float
    count: int
    count_reference: int
    grade: Grade


def adverse_impact(approved: NDArray[np.bool_], group: Sequence[str | None]) -> list[Compared]:
    """Each group's approval rate over that of the group with the highest (29 CFR 1607.4(D)), with Katz's interval.

    Groups under `MIN_GROUP` are compared, but not graded, and never the reference. Empty under two groups.
    """
    counts = _counts(approved, group)
    large = {name: c for name, c in counts.items() if c[1] >= MIN_GROUP}
    if not large or len(counts) < 2:
        return []
    reference = max(large, key=lambda name: large[name][0] / large[name][1])
    found = []
    for name, (yes, total) in counts.items():
        if name == reference:
            continue
        value, low, high = risk_ratio(yes, total, *counts[reference])
        grade: Grade = "red" if high < FOUR_FIFTHS else "yellow" if low < FOUR_FIFTHS else "green"
        if total < MIN_GROUP or math.isnan(low):
            grade = "not measured"
        found.append(Compared(name, reference, value, low, high, total, counts[reference][1], grade))
    return found


def equal_opportunity(
    approved: NDArray[np.bool_], good: NDArray[np.bool_], group: Sequence[str | None]
) -> list[Compared]:
    """P(approved | good) of each group less that of the largest group (Hardt et al. 2016), with Newcombe's interval.

    Groups with under `MIN_GROUP` good applicants are compared, but not graded. Empty under two groups.
    """
    counts = _counts(approved[good], [g for g, keep in zip(group, good, strict=True) if keep])
    if len(counts) < 2:
        return []
    reference = max(counts, key=lambda name: counts[name][1])
    found = []
    for name, (yes, total) in counts.items():
        if name == reference:
            continue
        value, low, high = rate_difference(yes, total, *counts[reference])
        grade: Grade = "yellow" if low > 0 or high < 0 else "green"
        if total < MIN_GROUP:
            grade = "not measured"
        found.append(Compared(name, reference, value, low, high, total, counts[reference][1], grade))
    return found


def risk_ratio(yes: int, total: int, yes_reference: int, total_reference: int) -> tuple[float, float, float]:
    """(ratio, low, high) of two rates; 95 % interval on the logarithm (Katz et al. 1978), NaN where a rate is 0."""
    if not yes_reference:
        return float("nan"), float("nan"), float("nan")
    value = (yes / total) / (yes_reference / total_reference)
    if not yes:
        return 0.0, float("nan"), float("nan")
    se = math.sqrt(1 / yes - 1 / total + 1 / yes_reference - 1 / total_reference)
    return value, value * math.exp(-Z * se), value * math.exp(Z * se)


def rate_difference(yes: int, total: int, yes_reference: int, total_reference: int) -> tuple[float, float, float]:
    """(difference, low, high) of two rates; 95 % interval from both Wilson intervals (Newcombe 1998, method 10)."""
    p, q = yes / total, yes_reference / total_reference
    (p_low, p_high), (q_low, q_high) = wilson_interval(yes, total), wilson_interval(yes_reference, total_reference)
    return p - q, p - q - math.hypot(p - p_low, q_high - q), p - q + math.hypot(p_high - p, q - q_low)


def _counts(approved: NDArray[np.bool_], group: Sequence[str | None]) -> dict[str, tuple[int, int]]:
    """Group -> (approved, all), in order of name; those whose group is not known are left out."""
    names = sorted({g for g in group if g is not None})
    of = np.array([g if g is not None else "" for g in group], dtype=object)
    return {name: (int(approved[of == name].sum()), int((of == name).sum())) for name in names}
