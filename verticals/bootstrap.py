"""95 % intervals: percentile bootstrap for any statistic of rows, Wilson for a rate. Ignores clusters and pairs."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def bootstrap_interval(
    values: ArrayLike,
    statistic: Callable[[NDArray[Any]], float] = np.mean,
    draws: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """The 95 % percentile interval of `statistic` (Efron and Tibshirani 1993, chapter 13).

    Args:
        values: One row per independent case, shape (n,) or (n, columns); rows are resampled whole, so a statistic of
            several columns (labels and scores) keeps them together.
        statistic: Maps resampled rows to one number. A draw where it is NaN (one class only) is left out.
        draws: Resamples, at least 1.
        seed: Same seed, same interval.

    Returns:
        (low, high), the 2.5 and 97.5 percentiles; (nan, nan) when every draw is NaN.

    Raises:
        ValueError: `values` is empty or `draws` is below 1.
    """
    rows = np.asarray(values)
    if rows.ndim == 0 or len(rows) == 0:
        raise ValueError("values: at least one row is needed for an interval.")
    if draws < 1:
        raise ValueError(f"draws: must be at least 1 (got {draws}).")
    rng = np.random.default_rng(seed)
    stats = np.array([float(statistic(rows[rng.integers(0, len(rows), len(rows))])) for _ in range(draws)])
    stats = stats[~np.isnan(stats)]
    if len(stats) == 0:
        return float("nan"), float("nan")
    low, high = np.percentile(stats, [2.5, 97.5])
    return float(low), float(high)


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """The 95 % score interval of a rate (Wilson 1927): honest at 0 and 1, where a bootstrap has no width.

    Raises:
        ValueError: no trials.
    """
    if trials < 1:
        raise ValueError(f"trials: must be at least 1 (got {trials}).")
    z = 1.959964
    share = successes / trials
    middle = share + z * z / (2 * trials)
    half = z * sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)
