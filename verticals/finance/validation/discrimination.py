"""How well a score separates good from bad: AUC, Gini and KS with intervals, tests of loss and heterogeneity.

Ignores whether probabilities are right, which is calibration.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from verticals.finance import metrics
from verticals.finance.validation.sample import Array, ScoredSample, month_label

Z = 1.959964
KS_DRAWS = 400
MIN_OF_CLASS = 10  # goods and bads of a vintage; with fewer a standard error means nothing


@dataclass(frozen=True)
class Measured:
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float


def auc(default: Array, score: Array) -> Measured:
    """AUC with DeLong's standard error on the logit scale, so that the interval stays within 0 and 1 (Pepe 2003)."""
    value, se = metrics.auc(default, score), metrics.auc_se(default, score)
    if not 0 < value < 1 or not se > 0:
        return Measured(value, float("nan"), float("nan"))
    centre, half = math.log(value / (1 - value)), Z * se / (value * (1 - value))
    low, high = (1 / (1 + math.exp(-(centre + side * half))) for side in (-1, 1))
    return Measured(value, low, high)


def gini(default: Array, score: Array) -> Measured:
    """2 AUC - 1."""
    found = auc(default, score)
    return Measured(2 * found.value - 1, 2 * found.low - 1, 2 * found.high - 1)


def ks(default: Array, score: Array, *, seed: int = 0) -> Measured:
    """KS with a 95 % percentile bootstrap over applicants within each class, sorted once for all draws.

    The percentiles are shifted down by the bootstrap's own bias: KS is a maximum, which resampling only raises.
    """
    value = metrics.ks(default, score)
    bads = int(default.sum())
    goods = len(default) - bads
    if not bads or not goods:
        return Measured(value, float("nan"), float("nan"))
    order = np.argsort(score, kind="stable")
    bad = default[order] == 1
    last_of_tie = np.append(score[order][1:] != score[order][:-1], True)
    rng = np.random.default_rng(seed)
    drawn = np.empty(KS_DRAWS)
    for i in range(KS_DRAWS):
        step = np.empty(len(order))
        step[bad] = np.bincount(rng.integers(0, bads, bads), minlength=bads) / bads
        step[~bad] = -np.bincount(rng.integers(0, goods, goods), minlength=goods) / goods
        drawn[i] = np.abs(np.cumsum(step)[last_of_tie]).max()
    low, high = np.percentile(drawn, [2.5, 97.5]) - (drawn.mean() - value)
    return Measured(value, max(0.0, float(low)), min(1.0, float(high)))


@dataclass(frozen=True)
class Fall:
    """How far the AUC of a later sample lies below an earlier one's, and the confidence (0-1) that it has fallen."""

    value: float
    low: float
    high: float
    confidence: float


def fall(earlier: ScoredSample, later: ScoredSample) -> Fall:
    """One-sided test of two independent samples' AUCs (DeLong); NaN where either has a class with under two."""
    before, after = (metrics.auc(s.default, s.prob_default) for s in (earlier, later))
    se = math.hypot(*(metrics.auc_se(s.default, s.prob_default) for s in (earlier, later)))
    value = before - after
    confidence = float(stats.norm.cdf(value / se)) if se > 0 else float("nan")
    return Fall(value, value - Z * se, value + Z * se, confidence)


@dataclass(frozen=True)
class Vintage:
    """Applicants of one month."""

    label: str
    sample: ScoredSample


def vintages(sample: ScoredSample) -> list[Vintage]:
    """The sample by month of application, in order; empty without dates."""
    if sample.month is None:
        return []
    return [Vintage(month_label(int(m)), sample.where(sample.month == m)) for m in np.unique(sample.month)]


def heterogeneity(parts: list[Vintage]) -> tuple[float, int, float]:
    """Cochran's Q of the AUC over vintages with at least `MIN_OF_CLASS` goods and bads.

    Returns:
        (Q, degrees of freedom, confidence 0-1 that the AUCs differ); NaN with fewer than two such vintages.
    """
    usable = [
        v.sample for v in parts if min(v.sample.default.sum(), len(v.sample) - v.sample.default.sum()) >= MIN_OF_CLASS
    ]
    aucs = np.array([metrics.auc(s.default, s.prob_default) for s in usable])
    ses = np.array([metrics.auc_se(s.default, s.prob_default) for s in usable])
    aucs, ses = aucs[ses > 0], ses[ses > 0]
    if len(aucs) < 2:
        return float("nan"), 0, float("nan")
    weight = ses**-2
    q = float((weight * (aucs - np.average(aucs, weights=weight)) ** 2).sum())
    return q, len(aucs) - 1, float(stats.chi2.cdf(q, len(aucs) - 1))
