"""What a few-shot model is worth on images that it never learned from, and whether it may be enabled. Pure figures.

Intervals are 95 %, patients drawn whole. Calibration and conformal sets are fitted on the validation images too, so
their figures are cross-fitted: each patient's by what the others fitted.
Shapes: N validation images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verticals.bootstrap import grouped_interval
from verticals.medical.chest.reader import LEAST_AUC, LEAST_COVERAGE
from verticals.medical.fewshot.schemas import Figure, Figures
from verticals.medical.ranking import Floats, auc
from verticals.medical.uncertainty import Calibration, calibration_error

DRAWS = 1000
FOLDS = 5
BINS = 20
ROC_POINTS = 100
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Truth:
    """Of the validation images.

    Attributes:
        labels_N: 0 or 1.
        patient_N: Whose each is.
    """

    labels_N: Floats
    patient_N: NDArray[Any]

    def with_interval(self, statistic: Callable[[Rows], float]) -> Figure:
        """The statistic of all images, and its interval."""
        low, high = grouped_interval(statistic, self.patient_N, DRAWS)
        return Figure(value=statistic(np.arange(len(self.labels_N))), low=low, high=high)


def measure(scores_N: Floats, truth: Truth, *, passed_N: NDArray[np.bool_], probe_N: Floats | None) -> Figures:
    """All that is known of a model.

    Args:
        passed_N: Whether the gate lets each image in.
        probe_N: Scores of the linear probe that learned from the same images; None: this is it.
    """
    y_N = truth.labels_N
    prob_N, is_held_N, is_one_N = _cross_fitted(scores_N, truth)

    def gain(rows: Rows) -> float:
        assert probe_N is not None
        return auc(y_N[rows], scores_N[rows]) - auc(y_N[rows], probe_N[rows])

    def coverage(label: int) -> Figure:
        return truth.with_interval(lambda rows: _mean(is_held_N[rows][y_N[rows] == label]))

    false_positive, true_positive = roc(y_N, scores_N)
    return Figures(
        auc=truth.with_interval(lambda rows: auc(y_N[rows], scores_N[rows])),
        gain=None if probe_N is None else truth.with_interval(gain),
        calibration_error=truth.with_interval(lambda rows: calibration_error(prob_N[rows], y_N[rows])),
        coverage_present=coverage(1),
        coverage_absent=coverage(0),
        one_answer=truth.with_interval(lambda rows: _mean(is_one_N[rows])),
        gate_passed=truth.with_interval(lambda rows: _mean(passed_N[rows])),
        roc=[(round(float(x), 4), round(float(y), 4)) for x, y in zip(false_positive, true_positive, strict=True)],
        present=_histogram(prob_N[y_N == 1]),
        absent=_histogram(prob_N[y_N == 0]),
    )


def refusals(figures: Figures) -> list[str]:
    """Which rules of decision 0021 forbid to enable a model; none: it may be.

    An AUC in doubt counts against it. Coverage is so by construction, and is held against it only where it is refuted.
    """
    made = []
    if not figures.auc.low >= LEAST_AUC:
        made.append(f"the lower bound of its AUC is {figures.auc.low:.3f}, and must be at least {LEAST_AUC:.2f}")
    for name, coverage in (("present", figures.coverage_present), ("absent", figures.coverage_absent)):
        if not coverage.high >= LEAST_COVERAGE:
            made.append(
                f"its sets hold the truth of images with {name} for {coverage.high:.3f} at most, "
                f"and should for {LEAST_COVERAGE:.2f}"
            )
    if figures.gain is not None and not figures.gain.low > 0:
        made.append(
            f"it is not shown to be better than the linear probe: the lower bound of the difference is "
            f"{figures.gain.low:+.3f}"
        )
    return made


def roc(labels_N: Floats, scores_N: Floats) -> tuple[Floats, Floats]:
    """False and true positive rates from (0, 0) to (1, 1), a point each score at most, thinned to `ROC_POINTS`."""
    values, rank = np.unique(-scores_N, return_inverse=True)
    good, bad = (np.bincount(rank, weights=of, minlength=len(values)) for of in (1 - labels_N, labels_N))
    rates = [np.concatenate(([0.0], np.cumsum(of) / of.sum())) for of in (good, bad)]
    kept = np.unique(np.linspace(0, len(values), min(len(values) + 1, ROC_POINTS)).astype(int))
    return rates[0][kept], rates[1][kept]


def _cross_fitted(scores_N: Floats, truth: Truth) -> tuple[Floats, NDArray[np.bool_], NDArray[np.bool_]]:
    """Of each image, by what other patients' images fitted: probability, whether its set holds the truth, and only it.

    The last says whether the set has one answer.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    y_N = truth.labels_N
    prob_N, is_held_N, is_one_N = np.zeros(len(y_N)), np.zeros(len(y_N), bool), np.zeros(len(y_N), bool)
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    for fitted_at, rows in folds.split(scores_N, y_N, truth.patient_N):
        fitted = Calibration.fit(scores_N[fitted_at], y_N[fitted_at])
        prob_N[rows] = fitted.prob(scores_N[rows])
        for row in rows:
            answers = fitted.confidence_set(float(prob_N[row]))
            is_held_N[row] = ("present" if y_N[row] else "absent") in answers
            is_one_N[row] = len(answers) == 1
    return prob_N, is_held_N, is_one_N


def _histogram(prob_N: Floats) -> list[int]:
    return [int(count) for count in np.histogram(prob_N, BINS, (0, 1))[0]]


def _mean(values: NDArray[Any]) -> float:
    return float(values.mean()) if len(values) else float("nan")
