"""Figures of chest-film benchmarks: AUC within each set, and intervals over patients. Ignores models."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from benchmarks.films_data import Films, Floats
from verticals.bootstrap import grouped_interval
from verticals.medical.ranking import ordered_pairs
from verticals.medical.uncertainty import Calibration, calibration_error

DRAWS = 400
Rows = NDArray[np.int64]


def auc_within(labels_N: Floats, scores_N: Floats, set_N: NDArray[np.generic]) -> float:
    """Share of the pairs of one film with and one without, both of the same set, that the score orders rightly.

    Films of different sets are not compared: whoever tells the sets apart would otherwise seem to tell findings apart.
    """
    right, pairs = 0.0, 0.0
    for one in np.unique(set_N):
        here = set_N == one
        right_here, pairs_here = ordered_pairs(labels_N[here], scores_N[here])
        right, pairs = right + right_here, pairs + pairs_here
    return right / pairs if pairs else float("nan")


def auc_of(films: Films, y_N: Floats, score_N: Floats) -> Callable[[Rows], float]:
    """`auc_within` as a statistic of rows."""
    return lambda rows: auc_within(y_N[rows], score_N[rows], films.set_N[rows])


def with_interval(statistic: Callable[[Rows], float], group_N: Rows) -> tuple[float, float, float]:
    """The statistic of all rows, and its 95 % interval, patients drawn whole."""
    return (statistic(np.arange(len(group_N))), *grouped_interval(statistic, group_N, DRAWS))


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
