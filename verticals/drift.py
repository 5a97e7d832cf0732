"""Whether two rows of counts come from one population: PSI, and a test that knows how large they are. Ignores outcomes.

PSI (of scores) and CSI (of a field) are one formula over other bins. Under no change, PSI * n m / (n + m) is about
chi-square with bins - 1 degrees of freedom (Yurdakul and Naranjo 2020), so .25 means nothing without n and m.
Shapes: B bins; n cases now, m in the reference; N blocks of cases that depend on each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

MIN_EXPECTED = 5.0  # of a bin in either sample, for the chi-square distribution to hold
Counts = NDArray[Any]


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


def psi(reference_B: Counts, now_B: Counts) -> float:
    """Population stability index of two rows of counts; an empty cell counts as half a case, to keep it finite."""
    share = [np.maximum(c, 0.5) / np.maximum(c, 0.5).sum() for c in (reference_B, now_B)]
    return float(((share[1] - share[0]) * np.log(share[1] / share[0])).sum())


def compare(reference_B: Counts, now_B: Counts) -> Drift:
    """PSI of counts over the same bins, and Pearson's test of homogeneity.

    Neighbouring bins are merged, for the test alone, until each expects `MIN_EXPECTED` cases in both samples.
    """
    n, m = int(now_B.sum()), int(reference_B.sum())
    value, num_bins = psi(reference_B, now_B), len(reference_B)
    merged = _merge(np.stack([reference_B, now_B]))
    freedom = merged.shape[1] - 1
    if freedom == 0:
        return Drift(value, num_bins, 0.0, 0, float("nan"), n, m)
    statistic = _chi_square(merged)
    return Drift(value, num_bins, statistic, freedom, float(stats.chi2.cdf(statistic, freedom)), n, m)


def design_effect(blocks_NB: Counts) -> float:
    """By how much cases of one block resemble each other: Pearson's dispersion between blocks, 1 or more.

    Counts over it are worth as many independent ones (Rao and Scott 1981, doi:10.1080/01621459.1981.10477633; first
    order). 1 where there is one block, or too little in them to tell.
    """
    blocks_NB = blocks_NB[:, blocks_NB.sum(axis=0) > 0]
    blocks_NB = blocks_NB[blocks_NB.sum(axis=1) > 0]
    freedom = (blocks_NB.shape[0] - 1) * (blocks_NB.shape[1] - 1)
    if freedom < 1:
        return 1.0
    return max(1.0, _chi_square(blocks_NB) / float(freedom))


def _chi_square(counts_NB: Counts) -> float:
    """Pearson's statistic of rows from one population."""
    expected_NB = counts_NB.sum(axis=1, keepdims=True) * counts_NB.sum(axis=0) / counts_NB.sum()
    return float(((counts_NB - expected_NB) ** 2 / expected_NB).sum())


def _merge(counts_2B: Counts) -> Counts:
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
