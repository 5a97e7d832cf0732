"""A percentile bootstrap interval for any statistic of independent rows. Ignores clustered and paired designs."""

from __future__ import annotations

from collections.abc import Callable
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
