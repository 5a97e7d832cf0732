"""Figures of chest-film benchmarks: AUC within each set, and intervals over patients. Ignores models."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from benchmarks.films_data import Films, Floats
from verticals.medical.uncertainty import Calibration, calibration_error

DRAWS = 400
Rows = NDArray[np.int64]


def auc(labels_N: Floats, scores_N: Floats) -> float:
    """Area under the ROC curve; ties count half; NaN with one class only."""
    return auc_within(labels_N, scores_N, np.zeros(len(labels_N)))


def auc_within(labels_N: Floats, scores_N: Floats, set_N: NDArray[np.generic]) -> float:
    """Share of the pairs of one film with and one without, both of the same set, that the score orders rightly.

    Films of different sets are not compared: whoever tells the sets apart would otherwise seem to tell findings apart.
    """
    right, pairs = 0.0, 0.0
    for one in np.unique(set_N):
        here = set_N == one
        labels, (_, rank) = labels_N[here], np.unique(scores_N[here], return_inverse=True)
        bad, good = (np.bincount(rank, weights=of) for of in (labels, 1 - labels))
        right += float((bad * (np.cumsum(good) - good / 2)).sum())
        pairs += float(bad.sum() * good.sum())
    return right / pairs if pairs else float("nan")


def auc_of(films: Films, y_N: Floats, score_N: Floats) -> Callable[[Rows], float]:
    """`auc_within` as a statistic of rows."""
    return lambda rows: auc_within(y_N[rows], score_N[rows], films.set_N[rows])


def grouped_interval(statistic: Callable[[Rows], float], group_N: Rows, draws: int = DRAWS) -> tuple[float, float]:
    """The 95 % percentile interval of a statistic of rows, patients drawn whole (Davison and Hinkley 1997, 2.4)."""
    _, group_N = np.unique(group_N, return_inverse=True)
    order = np.argsort(group_N, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(group_N))[:-1])
    rng = np.random.default_rng(0)
    drawn = (np.concatenate([members[g] for g in rng.integers(0, len(members), len(members))]) for _ in range(draws))
    values = [value for value in map(statistic, drawn) if not np.isnan(value)]
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def with_interval(statistic: Callable[[Rows], float], group_N: Rows) -> tuple[float, float, float]:
    """The statistic of all rows, and its interval."""
    return (statistic(np.arange(len(group_N))), *grouped_interval(statistic, group_N))


def told(figure: tuple[float, float, float], digits: int = 3) -> str:
    """ "0.731 [0.702, 0.760]"."""
    value, low, high = figure
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def calibrated(films: Films, scores_N: Floats, k: int) -> dict[str, tuple[float, float, float]]:
    """Figures of a kind."""
    y_N = films.labels_NK[:, k]
    prob_N, sets = np.zeros(len(y_N)), np.zeros((len(y_N), 2), bool)
    for train_rows, rows in films.folds:
        fitted = Calibration.fit(scores_N[train_rows], y_N[train_rows])
        prob_N[rows] = fitted.prob(scores_N[rows])
        sets[rows] = [[a in fitted.confidence_set(p) for a in ("absent", "present")] for p in prob_N[rows]]
    held_N = sets[np.arange(len(y_N)), y_N.astype(int)]
    raw_N = np.clip(scores_N, 0, 1)
    guess_N = (raw_N >= 0.5) == y_N

    def of(values_N: NDArray[np.bool_], label: int) -> Callable[[Rows], float]:
        return lambda rows: float(values_N[rows][y_N[rows] == label].mean())

    statistics: dict[str, Callable[[Rows], float]] = {
        "ECE": lambda rows: calibration_error(prob_N[rows], y_N[rows]),
        "ECE uncalibrated": lambda rows: calibration_error(raw_N[rows], y_N[rows]),
        "coverage present": of(held_N, 1),
        "coverage absent": of(held_N, 0),
        "one answer": lambda rows: float((sets[rows].sum(1) == 1).mean()),
        "uncalibrated answer right, present": of(guess_N, 1),
        "uncalibrated answer right, absent": of(guess_N, 0),
    }
    return {name: with_interval(statistic, films.group_N) for name, statistic in statistics.items()}
