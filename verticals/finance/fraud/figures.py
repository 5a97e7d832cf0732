"""Figures of a fraud model, with intervals that know that frauds come together at a terminal. Ignores models.

Shapes: T transactions. `weight` says how often each counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

FALSE_POSITIVES = 0.01  # share of the genuine transactions that people look at for nothing
DRAWS = 200
Floats = NDArray[np.float64]
Metric = Callable[[Floats, Floats, Floats], float]
"""(fraud, score, weight), (T,) each -> a figure."""


def weighted_auc(fraud: Floats, score: Floats, weight: Floats) -> float:
    """AUC where row i counts `weight[i]` times; ties count half."""
    _, tie = np.unique(score, return_inverse=True)
    bad, good = (np.bincount(tie, weights=weight * of) for of in (fraud, 1 - fraud))
    below = np.cumsum(good) - good
    return float((bad * (below + good / 2)).sum() / (bad.sum() * good.sum()))


def weighted_recall(fraud: Floats, score: Floats, weight: Floats) -> float:
    """Share of the frauds above the score that `FALSE_POSITIVES` of the genuine ones exceed."""
    order = np.argsort(-score, kind="stable")
    bad, good = (np.cumsum((weight * of)[order]) for of in (fraud, 1 - fraud))
    last = np.searchsorted(good, FALSE_POSITIVES * good[-1], side="right") - 1
    return float(bad[last] / bad[-1]) if last >= 0 else 0.0


def flagged_share(of: int, threshold: float) -> Metric:
    """Share of the frauds (`of` 1: recall) or of the genuine (`of` 0: false positives) above a threshold."""

    def share(fraud: Floats, score: Floats, weight: Floats) -> float:
        counted = weight * (fraud == of)
        return float(counted[score > threshold].sum() / counted.sum())

    return share


def threshold_at(fraud: Floats, score: Floats, *, false_positives: float) -> float:
    """The score that at most this share of the genuine transactions exceed."""
    genuine = np.sort(score[fraud == 0])
    return float(genuine[len(genuine) - 1 - int(false_positives * len(genuine))])


def over_terminals(
    metrics: Sequence[Metric], fraud: Floats, scores: Sequence[Floats], terminal: NDArray[np.int64], *, draws: int
) -> tuple[Floats, Floats]:
    """Each metric of each score, (M, S), and the same under `draws` bootstraps over terminals, (draws, M, S)."""
    number = np.unique(terminal, return_inverse=True)[1]
    count, rng = int(number.max()) + 1, np.random.default_rng(0)

    def all_of(weight: Floats) -> list[list[float]]:
        return [[metric(fraud, score, weight) for score in scores] for metric in metrics]

    drawn = [all_of(rng.multinomial(count, np.full(count, 1 / count))[number].astype(float)) for _ in range(draws)]
    return np.array(all_of(np.ones(len(fraud)))), np.array(drawn)
