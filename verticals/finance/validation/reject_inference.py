"""Fitting on those who were accepted when all who apply will be scored: five ways to bring the rejected in.

None can know what a refused applicant would have done. Where refusal depends on what the model sees, the accepted
alone already suffice in principle; where it depends on what it does not see, no method below repairs that (Hand and
Henley 1993; Crook and Banasik 2004). benchmarks/reject_inference.py measures both, with the truth beside.

Ignores the kind of model: a method makes rows with outcomes and weights, and a `Fit` fits them. Shapes: A accepted,
R rejected, D fields.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from verticals.finance.validation.sample import Array

Predict = Callable[[Array], Array]
"""(N, D) -> probability of default, (N,)."""
Fit = Callable[[Array, Array, Array], Predict]
"""(rows (N, D), default (N,), weight (N,)) -> a fitted model."""

NUM_BANDS = 10
MIN_ACCEPTED_SHARE = 0.02  # of a band, in a weight: one accepted applicant never stands for more than fifty


@dataclass(frozen=True)
class Through:
    """Who came through the door: accepted with outcomes, rejected without.

    `prudence` multiplies the rejected's inferred odds of default: 1 says that refused applicants behave as accepted
    ones with the same score, above 1 that they are worse. It is an assumption, never an estimate.
    """

    accepted_AD: Array
    default_A: Array
    rejected_RD: Array
    prudence: float = 1.0
    seed: int = 0


Method = Callable[[Through, Fit], Predict]


def accepted_only(data: Through, fit: Fit) -> Predict:
    """The baseline: forget the rejected."""
    return fit(data.accepted_AD, data.default_A, np.ones(len(data.default_A)))


def extrapolation(data: Through, fit: Fit) -> Predict:
    """The baseline's guess as a label: the riskiest rejected are bad, as many as it expects among them."""
    prob_R = _inferred(data, fit)
    bads = round(float(prob_R.sum()))
    label_R = np.zeros(len(prob_R))
    label_R[np.argsort(-prob_R, kind="stable")[:bads]] = 1
    return _fit_all(data, fit, label_R)


def reweighting(data: Through, fit: Fit) -> Predict:
    """Each accepted stands for those of its score band: weight all / accepted (augmentation, Hsia 1978)."""
    score = accepted_only(data, fit)
    score_A, score_R = score(data.accepted_AD), score(data.rejected_RD)
    edges = np.quantile(np.concatenate([score_A, score_R]), np.linspace(0, 1, NUM_BANDS + 1)[1:-1])
    band_A, band_R = np.searchsorted(edges, score_A), np.searchsorted(edges, score_R)
    accepted, rejected = (np.bincount(b, minlength=NUM_BANDS) for b in (band_A, band_R))
    share = np.maximum(accepted / np.maximum(accepted + rejected, 1), MIN_ACCEPTED_SHARE)
    return fit(data.accepted_AD, data.default_A, 1 / share[band_A])


def parcelling(data: Through, fit: Fit) -> Predict:
    """Outcomes drawn for the rejected of each score band at the accepted's default rate there, made worse by prudence.

    A band without accepted applicants takes the model's mean.
    """
    score = accepted_only(data, fit)
    score_A, score_R = score(data.accepted_AD), score(data.rejected_RD)
    edges = np.quantile(score_R, np.linspace(0, 1, NUM_BANDS + 1)[1:-1])
    band_A, band_R = np.searchsorted(edges, score_A), np.searchsorted(edges, score_R)
    rng, label_R = np.random.default_rng(data.seed), np.zeros(len(score_R))
    for band in np.unique(band_R):
        inside_A, inside_R = band_A == band, band_R == band
        rate = data.default_A[inside_A].mean() if inside_A.any() else score_R[inside_R].mean()
        bads = round(float(_worse(np.array([rate]), data.prudence)[0] * inside_R.sum()))
        label_R[rng.permutation(np.flatnonzero(inside_R))[:bads]] = 1
    return _fit_all(data, fit, label_R)


def fuzzy_augmentation(data: Through, fit: Fit) -> Predict:
    """Each rejected twice: as bad with the weight of its inferred probability, as good with the rest."""
    prob_R = _inferred(data, fit)
    rows = np.concatenate([data.accepted_AD, data.rejected_RD, data.rejected_RD])
    default = np.concatenate([data.default_A, np.ones(len(prob_R)), np.zeros(len(prob_R))])
    return fit(rows, default, np.concatenate([np.ones(len(data.default_A)), prob_R, 1 - prob_R]))


METHODS: Mapping[str, Method] = {
    "accepted only": accepted_only,
    "extrapolation": extrapolation,
    "reweighting": reweighting,
    "parcelling": parcelling,
    "fuzzy augmentation": fuzzy_augmentation,
}


def _inferred(data: Through, fit: Fit) -> Array:
    return _worse(accepted_only(data, fit)(data.rejected_RD), data.prudence)


def _worse(prob: Array, prudence: float) -> Array:
    """The odds times `prudence`, as a probability."""
    return np.asarray(prudence * prob / (prudence * prob + 1 - prob))


def _fit_all(data: Through, fit: Fit, label_R: Array) -> Predict:
    rows = np.concatenate([data.accepted_AD, data.rejected_RD])
    default = np.concatenate([data.default_A, label_R])
    return fit(rows, default, np.ones(len(default)))
