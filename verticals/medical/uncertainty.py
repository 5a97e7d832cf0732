"""How sure a model may be: calibrated probabilities, conformal sets, and a gate for images unlike those it knows.

All three are fitted on readings of films that the model had not seen. Ignores models and images: numbers in and out.
Shapes: N readings, D features.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Answer = Literal["present", "absent"]

COVERAGE = 0.9
_NEWTON_STEPS = 50


@dataclass(frozen=True)
class Calibration:
    """Of one kind of finding.

    Attributes:
        slope: 1 / temperature (Guo 2017, arXiv:1706.04599).
        offset: Added after it, because folds differ in how often a finding is present (Platt 1999).
        least_present: From which probability of presence on the set holds "present".
        most_present: Up to which it holds "absent".
    """

    slope: float
    offset: float
    least_present: float
    most_present: float

    @classmethod
    def fit(cls, logits_N: Floats, labels_N: Floats, *, coverage: float = COVERAGE) -> Self:
        """Fit on readings whose truth is known.

        Raises:
            ValueError: one of the two classes is missing.
        """
        if not 0 < labels_N.mean() < 1:
            raise ValueError("labels: both classes are needed to calibrate. Add films with and without the finding.")
        slope, offset = fit_logistic(logits_N, labels_N)
        prob_N = sigmoid(slope * logits_N + offset)
        return cls(
            slope=slope,
            offset=offset,
            least_present=1 - conformal_limit(1 - prob_N[labels_N == 1], coverage),
            most_present=conformal_limit(prob_N[labels_N == 0], coverage),
        )

    def prob(self, logits: Floats) -> Floats:
        """Probability of presence, 0-1."""
        return sigmoid(self.slope * np.asarray(logits) + self.offset)

    def confidence_set(self, prob: float) -> tuple[Answer, ...]:
        """Each answer that cannot be ruled out: of films with that truth, 90 % have it in their set.

        Both answers are a doubt; so is none, which says that the film is like neither.
        """
        answers: list[Answer] = ["present"] if prob >= self.least_present else []
        return (*answers, "absent") if prob <= self.most_present else tuple(answers)

    def to_json(self) -> dict[str, float]:
        """JSON-able; `Calibration(**kept)` reads it."""
        return asdict(self)


def fit_logistic(logits_N: Floats, labels_N: Floats) -> tuple[float, float]:
    """Slope and offset with the least log loss (Newton, steps halved); a slight ridge keeps separable data finite."""
    x_N2 = np.stack((logits_N, np.ones(len(logits_N))), 1).astype(float)
    ridge = np.eye(2) * 1e-3
    beta = np.array([1.0, 0.0])

    def loss(beta_2: Floats) -> float:
        z_N, away_2 = x_N2 @ beta_2, beta_2 - [1, 0]
        return float(np.sum(np.logaddexp(0, z_N) - labels_N * z_N) + away_2 @ ridge @ away_2 / 2)

    for _ in range(_NEWTON_STEPS):
        prob_N = sigmoid(x_N2 @ beta)
        slope_2 = x_N2.T @ (prob_N - labels_N) + ridge @ (beta - [1, 0])
        step = np.linalg.solve(x_N2.T * (prob_N * (1 - prob_N)) @ x_N2 + ridge, slope_2)
        while np.abs(step).max() >= 1e-9 and loss(beta - step) > loss(beta):
            step = step / 2  # far from the optimum a whole step may overshoot
        beta = beta - step
        if np.abs(step).max() < 1e-9:
            break
    return float(beta[0]), float(beta[1])


def conformal_limit(scores_N: Floats, coverage: float) -> float:
    """The score that a new case of the class exceeds with probability 1 - coverage at most; 1 if too few are known.

    Split conformal prediction, a class at a time (Vovk 2012, arXiv:1209.2673). Scores are 0-1, high is strange.
    """
    rank = math.ceil((len(scores_N) + 1) * coverage)
    return float(np.sort(scores_N)[rank - 1]) if rank <= len(scores_N) else 1.0


def calibration_error(prob_N: Floats, labels_N: Floats, *, num_bins: int = 10) -> float:
    """Expected calibration error over bins of equally many readings (Nguyen and O'Connor 2015)."""
    order = np.argsort(prob_N, kind="stable")
    gaps = [len(rows) * abs(prob_N[rows].mean() - labels_N[rows].mean()) for rows in np.array_split(order, num_bins)]
    return float(sum(gaps) / len(prob_N))


@dataclass(frozen=True)
class Gate:
    """Lets in what resembles the images that a model learned from (Lee 2018, arXiv:1807.03888, with one class).

    Attributes:
        mean_D, whitening_DD: Of the features of those images.
        limit: Distances above it are out of distribution.
    """

    mean_D: Floats
    whitening_DD: Floats
    limit: float

    @classmethod
    def fit(cls, features_ND: Floats, *, accepted: float, shrinkage: float = 0.1) -> Self:
        """Fit on the features of known images.

        Args:
            accepted: Share of such images, unseen, that shall pass; the limit is theirs, by five-fold cross-fitting.
            shrinkage: Of the covariance towards a multiple of the identity (Ledoit and Wolf 2004).
        """
        folds = np.arange(len(features_ND)) % 5
        unseen = np.empty(len(features_ND))
        for fold in range(5):
            mean_D, whitening_DD = _whitening(features_ND[folds != fold], shrinkage)
            unseen[folds == fold] = _distance(features_ND[folds == fold], mean_D, whitening_DD)
        mean_D, whitening_DD = _whitening(features_ND, shrinkage)
        return cls(mean_D, whitening_DD, float(np.quantile(unseen, accepted)))

    def distance(self, features_ND: Floats) -> Floats:
        """Mahalanobis distance by the square root of D: about 1 for known images."""
        return _distance(features_ND, self.mean_D, self.whitening_DD)


def _whitening(features_ND: Floats, shrinkage: float) -> tuple[Floats, Floats]:
    mean_D = features_ND.mean(0)
    covariance_DD = np.cov(features_ND - mean_D, rowvar=False)
    scale = np.trace(covariance_DD) / len(covariance_DD)
    shrunk_DD = (1 - shrinkage) * covariance_DD + shrinkage * scale * np.eye(len(covariance_DD))
    values_D, vectors_DD = np.linalg.eigh(shrunk_DD)
    return mean_D, vectors_DD / np.sqrt(values_D)


def _distance(features_ND: Floats, mean_D: Floats, whitening_DD: Floats) -> Floats:
    return np.asarray(np.sqrt((((features_ND - mean_D) @ whitening_DD) ** 2).mean(-1)))


def sigmoid(x: Floats) -> Floats:
    """Probability of a logit, without overflow."""
    return 1 / (1 + np.exp(-np.clip(x, -60, 60)))
