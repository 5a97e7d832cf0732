"""Whether two samples come from one population: PSI, and a test that knows how large they are. Ignores outcomes.

PSI (of scores) and CSI (of a field) are one formula over other bins. Under no change, PSI * n m / (n + m) is about
chi-square with bins - 1 degrees of freedom (Yurdakul and Naranjo 2020), so .25 means nothing without n and m.
Shapes: B bins; n cases now, m in the reference.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import optimize, stats

from verticals.finance.validation.sample import Array

NUM_BINS = 10
MAX_CATEGORIES = 50
MIN_EXPECTED = 5.0  # of a bin in either sample, for the chi-square distribution to hold
PSI_SHIFT = 0.25  # the convention
LIGHT = {"yellow_from": 0.99, "red_from": 0.999}  # ten fields, twelve months: at 95 % something would always be yellow


@dataclass(frozen=True)
class Drift:
    """PSI over `num_bins`, and the test on as many as it can use: `confidence` (0-1) that the samples differ."""

    psi: float
    num_bins: int
    chi_square: float
    freedom: int
    confidence: float
    num_now: int
    num_reference: int

    def interval(self) -> tuple[float, float]:
        """95 % interval of the population's PSI: the non-centralities under which this one is no surprise."""
        scale = self.num_now * self.num_reference / (self.num_now + self.num_reference)
        statistic, freedom = self.psi * scale, self.num_bins - 1

        def bound(probability: float) -> float:
            def gap(non_centrality: float) -> float:
                return float(stats.ncx2.cdf(statistic, freedom, non_centrality)) - probability

            if freedom == 0 or stats.chi2.cdf(statistic, freedom) <= probability:
                return 0.0
            return float(optimize.brentq(gap, 1e-9, 20 * statistic + 200))

        return bound(0.975) / scale, bound(0.025) / scale


def psi(reference_B: NDArray[np.int64], now_B: NDArray[np.int64]) -> float:
    """Population stability index of two rows of counts; an empty cell counts as half a case, to keep it finite."""
    share = [np.maximum(c, 0.5) / np.maximum(c, 0.5).sum() for c in (reference_B, now_B)]
    return float(((share[1] - share[0]) * np.log(share[1] / share[0])).sum())


def compare(reference_B: NDArray[np.int64], now_B: NDArray[np.int64]) -> Drift:
    """PSI of counts over the same bins, and Pearson's test of homogeneity.

    Neighbouring bins are merged, for the test alone, until each expects `MIN_EXPECTED` cases in both samples.
    """
    n, m = int(now_B.sum()), int(reference_B.sum())
    value, num_bins = psi(reference_B, now_B), len(reference_B)
    merged = _merge(np.stack([reference_B, now_B]))
    freedom = merged.shape[1] - 1
    if freedom == 0:
        return Drift(value, num_bins, 0.0, 0, float("nan"), n, m)
    expected = merged.sum(axis=1, keepdims=True) * merged.sum(axis=0) / merged.sum()
    statistic = float(((merged - expected) ** 2 / expected).sum())
    return Drift(value, num_bins, statistic, freedom, float(stats.chi2.cdf(statistic, freedom)), n, m)


def of_scores(reference: Array, now: Array, *, num_bins: int = NUM_BINS) -> Drift:
    """Drift of a score over bins with equal shares of the reference; tied scores stay in one bin."""
    edges = np.unique(np.quantile(reference, np.linspace(0, 1, num_bins + 1)[1:-1]))
    counts = [np.bincount(np.searchsorted(edges, s, side="left"), minlength=len(edges) + 1) for s in (reference, now)]
    filled = [c[(counts[0] + counts[1]) > 0] for c in counts]
    return compare(*filled)


def of_field(reference: pd.Series, now: pd.Series) -> Drift:
    """Drift of a field: numbers as `of_scores` bins them, categories as they are, a missing value as one more bin.

    Of more than `MAX_CATEGORIES` words the rarest share one bin.
    """
    if all(pd.api.types.is_numeric_dtype(s) for s in (reference, now)) and reference.nunique() > 2:
        edges = np.unique(np.quantile(reference.dropna(), np.linspace(0, 1, NUM_BINS + 1)[1:-1]))
        bins = [np.where(s.isna(), -1, np.searchsorted(edges, s.fillna(0), side="left")) for s in (reference, now)]
        names, index = np.unique(np.concatenate(bins), return_inverse=True)
    else:
        words = pd.concat([reference, now]).astype(object)
        names, index = np.unique(words.where(words.notna(), "").astype(str), return_inverse=True)
        order = np.argsort(np.argsort(-np.bincount(index), kind="stable"), kind="stable")
        index = np.minimum(order[index], MAX_CATEGORIES)
    size = min(len(names), MAX_CATEGORIES + 1)
    return compare(
        np.bincount(index[: len(reference)], minlength=size), np.bincount(index[len(reference) :], minlength=size)
    )


def _merge(counts_2B: NDArray[np.int64]) -> NDArray[np.int64]:
    """Merge the bin with the least expectation into its smaller neighbour until all expect enough."""
    while counts_2B.shape[1] > 1:
        expected_B = counts_2B.sum(axis=0) * counts_2B.sum(axis=1).min() / counts_2B.sum()
        small = int(np.argmin(expected_B))
        if expected_B[small] >= MIN_EXPECTED:
            break
        neighbours = [i for i in (small - 1, small + 1) if 0 <= i < counts_2B.shape[1]]
        into = min(neighbours, key=lambda i: expected_B[i])
        counts_2B[:, into] += counts_2B[:, small]
        counts_2B = np.delete(counts_2B, small, axis=1)
    return counts_2B
