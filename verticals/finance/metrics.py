"""Discrimination and calibration of default scores. Knows no model and no data set.

`default` is 1 for bad; `score` is any number that rises with risk. Each takes (n,) arrays of equal length; those of
discrimination and the slope are NaN where only one class is present.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

Array = NDArray[np.float64]


def auc(default: Array, score: Array) -> float:
    """Area under the ROC curve: P(a bad scores riskier than a good), ties half (Mann and Whitney 1947)."""
    bads = int(default.sum())
    goods = len(default) - bads
    if not bads or not goods:
        return float("nan")
    ranks = stats.rankdata(score)
    return float((ranks[default == 1].sum() - bads * (bads + 1) / 2) / (bads * goods))


def gini(default: Array, score: Array) -> float:
    """2 AUC - 1, the accuracy ratio."""
    return 2 * auc(default, score) - 1


def ks(default: Array, score: Array) -> float:
    """Kolmogorov-Smirnov: the largest gap between the two classes' cumulative distributions, 0-1."""
    bads = default.sum()
    if bads in (0, len(default)):
        return float("nan")
    order = np.argsort(score, kind="stable")
    ordered, bad = score[order], default[order]
    gap = np.cumsum(bad) / bads - np.cumsum(1 - bad) / (len(bad) - bads)
    last_of_tie = np.append(ordered[1:] != ordered[:-1], True)
    return float(np.abs(gap[last_of_tie]).max())


def brier(default: Array, prob_default: Array) -> float:
    """Mean squared error of the probability (Brier 1950); lower is better."""
    return float(np.mean((prob_default - default) ** 2))


def auc_se(default: Array, score: Array) -> float:
    """Standard error of the AUC (DeLong et al. 1988); NaN under two of a class."""
    return _se(*_placements(default, score))


def auc_difference_se(default: Array, score: Array, other: Array) -> float:
    """Standard error of the difference of two scores' AUCs on the same applicants (DeLong et al. 1988)."""
    pairs = zip(_placements(default, score), _placements(default, other), strict=True)
    return _se(*(ours - theirs for ours, theirs in pairs))


def _placements(default: Array, score: Array) -> tuple[Array, Array]:
    """Share of goods that each bad outranks, and of bads that outrank each good; mid-ranks (Sun and Xu 2014)."""
    bad, good = score[default == 1], score[default == 0]
    ranks = stats.rankdata(np.concatenate([bad, good]))
    of_bad = (ranks[: len(bad)] - stats.rankdata(bad)) / max(len(good), 1)
    return of_bad, 1 - (ranks[len(bad) :] - stats.rankdata(good)) / max(len(bad), 1)


def _se(of_bad: Array, of_good: Array) -> float:
    if min(len(of_bad), len(of_good)) < 2:
        return float("nan")
    return float(np.sqrt(of_bad.var(ddof=1) / len(of_bad) + of_good.var(ddof=1) / len(of_good)))


@dataclass(frozen=True)
class CalibrationLine:
    """Outcome on the predicted logit: intercept and slope with standard errors; (0, 1) is calibrated."""

    intercept: float
    slope: float
    intercept_se: float
    slope_se: float


def calibration_line(default: Array, prob_default: Array) -> CalibrationLine:
    """Logistic regression of the outcome on the predicted logit (Cox 1958).

    All NaN where one class is present, or the predictions separate the classes or do not vary: none is finite then.
    """
    logit = _logit(prob_default)
    bad, good = logit[default == 1], logit[default == 0]
    if not len(bad) or not len(good) or bad.min() >= good.max() or bad.max() <= good.min():
        return CalibrationLine(*[float("nan")] * 4)
    X = np.stack([np.ones_like(logit), logit], axis=1)
    beta, information = _newton(X, default, offset=np.zeros(len(logit)))
    intercept_se, slope_se = np.sqrt(np.diag(np.linalg.inv(information)))
    return CalibrationLine(float(beta[0]), float(beta[1]), float(intercept_se), float(slope_se))


def calibration_in_the_large(default: Array, prob_default: Array) -> tuple[float, float]:
    """(intercept, standard error) with the slope held at 1: above 0 the predictions are too low. NaN for one class."""
    if default.sum() in (0, len(default)):
        return float("nan"), float("nan")
    X = np.ones((len(default), 1))
    beta, information = _newton(X, default, offset=_logit(prob_default))
    return float(beta[0]), float(information[0, 0] ** -0.5)


def calibration_slope(default: Array, prob_default: Array) -> float:
    """Slope of the outcome on the predicted logit (Cox 1958); 1 is calibrated, below 1 is overconfident."""
    return calibration_line(default, prob_default).slope


def _logit(prob_default: Array) -> Array:
    p = np.clip(prob_default, 1e-12, 1 - 1e-12)
    return np.asarray(np.log(p / (1 - p)))


def _newton(X: Array, default: Array, *, offset: Array) -> tuple[Array, Array]:
    """(maximum of the logistic likelihood, information there); the likelihood is concave."""
    beta, information = np.zeros(X.shape[1]), np.zeros((X.shape[1], X.shape[1]))
    for _ in range(50):
        mu = special.expit(X @ beta + offset)
        weight = np.maximum(mu * (1 - mu), 1e-12)
        information = X.T @ (X * weight[:, None])
        step = np.linalg.solve(information, X.T @ (default - mu))
        beta = beta + step
        if np.abs(step).max() < 1e-10:
            break
    return beta, information


def jeffreys_interval(count: int, events: int) -> tuple[float, float]:
    """95 % Jeffreys interval of a rate (Brown, Cai and DasGupta 2001), closed at 0 and 1."""
    low = 0.0 if events == 0 else float(stats.beta.ppf(0.025, events + 0.5, count - events + 0.5))
    high = 1.0 if events == count else float(stats.beta.ppf(0.975, events + 0.5, count - events + 0.5))
    return low, high
