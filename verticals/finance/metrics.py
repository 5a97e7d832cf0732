"""Discrimination and calibration of default scores. Knows no model and no data set.

`default` is 1 for bad; `score` is any number that rises with risk. Each takes (n,) arrays of equal length; those of
discrimination and the slope are NaN where only one class is present.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

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


def calibration_slope(default: Array, prob_default: Array) -> float:
    """Slope of the outcome on the predicted logit (Cox 1958); 1 is calibrated, below 1 is overconfident."""
    if default.sum() in (0, len(default)):
        return float("nan")
    p = np.clip(prob_default, 1e-12, 1 - 1e-12)
    X = np.stack([np.ones_like(p), np.log(p / (1 - p))], axis=1)
    beta = np.array([0.0, 1.0])
    for _ in range(50):  # Newton-Raphson; the likelihood is concave
        mu = 1 / (1 + np.exp(-X @ beta))
        weight = np.maximum(mu * (1 - mu), 1e-12)
        step = np.linalg.solve(X.T @ (X * weight[:, None]), X.T @ (default - mu))
        beta = beta + step
        if np.abs(step).max() < 1e-10:
            break
    return float(beta[1])


def jeffreys_interval(count: int, events: int) -> tuple[float, float]:
    """95 % Jeffreys interval of a rate (Brown, Cai and DasGupta 2001), closed at 0 and 1."""
    low = 0.0 if events == 0 else float(stats.beta.ppf(0.025, events + 0.5, count - events + 0.5))
    high = 1.0 if events == count else float(stats.beta.ppf(0.975, events + 0.5, count - events + 0.5))
    return low, high
