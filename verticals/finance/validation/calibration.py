"""Whether predicted default rates hold: per band, overall, and as parts of the Brier score. Ignores ranking.

Bands are equal groups by prediction. Shape: N applicants whose outcome is known.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from verticals.finance import metrics
from verticals.finance.validation.rules import Grade, light
from verticals.finance.validation.sample import Array

NUM_BANDS = 10


@dataclass(frozen=True)
class Band:
    """Predicted against observed. `confidence` is that the true rate exceeds the prediction (Jeffreys posterior)."""

    count: int
    defaults: int
    prob_default: float
    default_rate: float
    low: float
    high: float
    confidence: float
    grade: Grade


def bands_of(prob_default: Array, *, num_bands: int = NUM_BANDS) -> list[NDArray[np.intp]]:
    """Row numbers of equal groups by prediction, lowest first; fewer groups when the sample has fewer rows."""
    return [g for g in np.array_split(np.argsort(prob_default, kind="stable"), num_bands) if len(g)]


def jeffreys(default: Array, prob_default: Array) -> Band:
    """The Jeffreys test of a group's mean prediction (ECB 2019): posterior Beta(d + 1/2, n - d + 1/2)."""
    count, defaults = len(default), int(default.sum())
    predicted = float(prob_default.mean())
    confidence = float(stats.beta.sf(predicted, defaults + 0.5, count - defaults + 0.5))
    low, high = metrics.jeffreys_interval(count, defaults)
    return Band(count, defaults, predicted, defaults / count, low, high, confidence, light(confidence))


def traffic_light(default: Array, prob_default: Array, *, num_bands: int = NUM_BANDS) -> list[Band]:
    """One test a band. Ten bands of a calibrated model show a yellow or red one in four samples of ten."""
    return [jeffreys(default[g], prob_default[g]) for g in bands_of(prob_default, num_bands=num_bands)]


def hosmer_lemeshow(default: Array, prob_default: Array, *, seen: bool) -> tuple[float, int, float]:
    """Chi-square of observed against predicted defaults over the bands (Hosmer and Lemeshow 1980).

    Args:
        seen: The model was fitted on these rows, which costs two degrees of freedom.

    Returns:
        (statistic, degrees of freedom, p).
    """
    groups = bands_of(prob_default)
    statistic = 0.0
    for g in groups:
        expected = prob_default[g].sum()
        statistic += (default[g].sum() - expected) ** 2 / (expected * (1 - expected / len(g)))
    freedom = len(groups) - (2 if seen else 0)
    return float(statistic), freedom, float(stats.chi2.sf(statistic, freedom))


@dataclass(frozen=True)
class BrierParts:
    """brier = reliability - resolution + uncertainty + within."""

    brier: float
    reliability: float
    resolution: float
    uncertainty: float
    within: float


def brier_parts(default: Array, prob_default: Array) -> BrierParts:
    """Murphy's decomposition (1973) over the bands; `within` is what predictions vary inside them (Stephenson 2008)."""
    return _parts(default, prob_default, _band_of(prob_default), np.ones(len(default)))


def brier_intervals(default: Array, prob_default: Array, *, draws: int = 400, seed: int = 0) -> tuple[BrierParts, ...]:
    """(low, high) of each part: 95 % percentile bootstrap over applicants, bands held fixed.

    The percentiles are shifted down by the bootstrap's own bias: squares of sampling error add to reliability and
    resolution, and once more in each resample. No part but `within` falls below 0.
    """
    n, band_N, rng = len(default), _band_of(prob_default), np.random.default_rng(seed)
    weights = (np.bincount(rng.integers(0, n, n), minlength=n) for _ in range(draws))
    table = np.array([astuple(_parts(default, prob_default, band_N, weight_N)) for weight_N in weights])
    found = np.array(astuple(brier_parts(default, prob_default)))
    ends = np.percentile(table, [2.5, 97.5], axis=0) - (table.mean(axis=0) - found)
    ends[:, :4] = np.maximum(ends[:, :4], 0)
    return tuple(BrierParts(*(float(x) for x in end)) for end in ends)


def _band_of(prob_default: Array) -> NDArray[np.intp]:
    """Number of each row's band, (N,)."""
    band_N = np.empty(len(prob_default), dtype=np.intp)
    for i, g in enumerate(bands_of(prob_default)):
        band_N[g] = i
    return band_N


def _parts(default: Array, prob_default: Array, band_N: NDArray[np.intp], weight_N: NDArray[Any]) -> BrierParts:
    """The parts over weighted rows; a band without weight has none."""
    n = weight_N.sum()
    count_B = np.maximum(np.bincount(band_N, weight_N), 1e-12)
    predicted_B, observed_B = (np.bincount(band_N, weight_N * x) / count_B for x in (prob_default, default))
    base = float((weight_N * default).sum() / n)
    spread, surprise = prob_default - predicted_B[band_N], default - observed_B[band_N]
    return BrierParts(
        float((weight_N * (prob_default - default) ** 2).sum() / n),
        float((count_B * (predicted_B - observed_B) ** 2).sum() / n),
        float((count_B * (observed_B - base) ** 2).sum() / n),
        base * (1 - base),
        float((weight_N * (spread**2 - 2 * spread * surprise)).sum() / n),
    )
