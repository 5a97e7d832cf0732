"""Whether one metric really changed between two runs: interval, p value, and both corrected for how many were judged.

**In pairs**, where both runs scored the same examples and the metric is their mean: d_i is the change of example i,
turned so that more is better. The test is whether their signs could as well be others: exact (McNemar's test on
discordant pairs, as a binomial) where all changes have one size, else by 10,000 seeded sign flips (Fisher 1935, section
21). The interval is the bootstrap of the mean of d. Both know the number of examples.

**Without pairs**, from the two intervals alone ("MOVER": Zou and Donner 2008, Statistics in Medicine 27:1693-1702; for
proportions Newcombe 1998, Statistics in Medicine 17:873-890, method 10). A and B are the old and the new value, turned
so that more is better; d = B - A has the interval

    low  = d - sqrt((B - B.low)^2  + (A.high - A)^2)
    high = d + sqrt((B.high - B)^2 + (A - A.low)^2)

and p is that of the normal whose 95 % bound lies there. It treats the runs as independent: where they score the same
cases it errs towards silence.

**Many at once.** The metrics that are compared with one run are a family; q is p after Benjamini and Hochberg 1995
(JRSS B 57:289-300), so among the metrics called changed at most some 5 % are expected not to be.

Changes below one part in a million count as none: floating-point sums differ between machines.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from verticals.bootstrap import bootstrap_interval
from verticals.contract import Example, Metric

Verdict = Literal["regressed", "improved", "steady", "incomparable"]
Reference = Literal["last", "week", "baseline"]
RELATIVE_NOISE = 1e-6
LEVEL = 0.05
Z_95 = 1.959964
FLIPS = 10_000


@dataclass(frozen=True)
class Against:
    """A metric beside its value in another run; `low` and `high` bound the change (95 %), positive = better."""

    reference: Reference
    run_id: str
    old: Metric
    verdict: Verdict
    change: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    q: float | None = None  # p, corrected for all metrics that are compared with that run
    num_pairs: int | None = None  # None: judged from the two intervals


def change_interval(old: Metric, new: Metric) -> tuple[float, float, float]:
    """(change, low, high) from `old` to `new` with its 95 % interval; positive = better. The rule: see the module.

    A bound on the wrong side of its value, as a percentile bootstrap may give, counts as no uncertainty on that side.
    """
    sign = 1.0 if new.higher_is_better else -1.0
    change = sign * (new.value - old.value)
    new_down, new_up = max(new.value - new.low, 0.0), max(new.high - new.value, 0.0)
    old_down, old_up = max(old.value - old.low, 0.0), max(old.high - old.value, 0.0)
    if not new.higher_is_better:
        new_down, new_up, old_down, old_up = new_up, new_down, old_up, old_down
    return change, change - math.hypot(new_down, old_up), change + math.hypot(new_up, old_down)


def compare_metric(
    old: Metric,
    new: Metric,
    *,
    run_id: str,
    reference: Reference = "last",
    old_examples: Mapping[str, Example] | None = None,
    new_examples: Mapping[str, Example] | None = None,
) -> Against:
    """Judge one metric against its value in another run, as if it were the only one."""
    if old.higher_is_better != new.higher_is_better:
        return Against(reference, run_id, old, "incomparable")
    pairs_N = _pairs(old, new, old_examples or {}, new_examples or {})
    if pairs_N is None:
        change, low, high = change_interval(old, new)
        p = _p_of_interval(change, low, high)
    else:
        change = float(pairs_N.mean())
        low, high = bootstrap_interval(pairs_N)
        p = sign_flip_p(pairs_N)
    if abs(change) <= RELATIVE_NOISE * max(abs(old.value), abs(new.value)):
        p = 1.0
    num_pairs = None if pairs_N is None else len(pairs_N)
    return decide(Against(reference, run_id, old, "steady", change, low, high, p, p, num_pairs))


def decide(against: Against) -> Against:
    """With the verdict that its change and its q give."""
    if against.q is None or against.change is None or against.q >= LEVEL:
        return against
    return replace(against, verdict="improved" if against.change > 0 else "regressed")


def correct(p_values: Sequence[float]) -> list[float]:
    """q of each p, after Benjamini and Hochberg 1995."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__, reverse=True)
    q, smallest = [1.0] * len(p_values), 1.0
    for rank, idx in zip(range(len(p_values), 0, -1), order, strict=True):
        smallest = min(smallest, p_values[idx] * len(p_values) / rank)
        q[idx] = smallest
    return q


def sign_flip_p(changes_N: NDArray[np.float64]) -> float:
    """Two-sided p that the mean of paired changes is zero; exact where all changes have one size.

    Args:
        changes_N: One change per example, (examples,).
    """
    moved = changes_N[changes_N != 0]
    if len(moved) == 0:
        return 1.0
    if np.ptp(np.abs(moved)) <= RELATIVE_NOISE * np.abs(moved).max():
        fewer = int(min((moved > 0).sum(), (moved < 0).sum()))
        tail = sum(math.comb(len(moved), k) for k in range(fewer + 1))
        return min(1.0, 2 * tail / (1 << len(moved)))
    signs = np.random.default_rng(0).choice((-1.0, 1.0), (FLIPS, len(moved)))
    as_far = int((np.abs(signs @ moved) >= abs(moved.sum()) * (1 - 1e-12)).sum())
    return (as_far + 1) / (FLIPS + 1)


def _pairs(
    old: Metric, new: Metric, old_examples: Mapping[str, Example], new_examples: Mapping[str, Example]
) -> NDArray[np.float64] | None:
    """The change of each example, if both runs scored the same ones and the metric is their mean."""
    name = new.name
    old_scores = {case_id: each.scores[name] for case_id, each in old_examples.items() if name in each.scores}
    new_scores = {case_id: each.scores[name] for case_id, each in new_examples.items() if name in each.scores}
    if not new_scores or old_scores.keys() != new_scores.keys():
        return None
    for metric, scores in ((old, old_scores), (new, new_scores)):
        if not math.isclose(metric.value, math.fsum(scores.values()) / len(scores), rel_tol=1e-9, abs_tol=1e-12):
            return None
    sign = 1.0 if new.higher_is_better else -1.0
    return np.array([sign * (score - old_scores[case_id]) for case_id, score in new_scores.items()])


def _p_of_interval(change: float, low: float, high: float) -> float:
    distance = change - low if change > 0 else high - change
    if change == 0:
        return 1.0
    return 0.0 if distance == 0 else math.erfc(Z_95 * abs(change) / distance / math.sqrt(2))


def moved_examples(
    old: Mapping[str, Example], new: Mapping[str, Example], metrics: Sequence[Metric]
) -> list[tuple[str, float]]:
    """Ids of examples that any metric scores otherwise than before, worst first, with the sum of their changes."""
    signs = {metric.name: 1.0 if metric.higher_is_better else -1.0 for metric in metrics}
    found: dict[str, float] = {}
    for case_id in new.keys() & old.keys():
        before, now = old[case_id].scores, new[case_id].scores
        names = [name for name in now.keys() & before.keys() & signs.keys() if now[name] != before[name]]
        if names:
            found[case_id] = sum(signs[name] * (now[name] - before[name]) for name in names)
    return sorted(found.items(), key=lambda item: (item[1], item[0]))
