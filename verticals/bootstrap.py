"""95 % intervals: percentile bootstrap of a statistic of rows, alone or in groups; Wilson of a rate. Ignores pairs."""

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
    return _middle([float(statistic(rows[rng.integers(0, len(rows), len(rows))])) for _ in range(draws)])


def grouped_interval(
    statistic: Callable[[NDArray[np.int64]], float], groups: ArrayLike, draws: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """As `bootstrap_interval` where rows of one group depend on each other: whole groups are drawn.

    After Davison and Hinkley 1997, section 2.4.

    Args:
        statistic: Maps the places of resampled rows to one number; NaN is left out.
        groups: Whose each row is, (n,).
    """
    members = rows_of_groups(groups)
    rng = np.random.default_rng(seed)
    drawn = (np.concatenate([members[g] for g in rng.integers(0, len(members), len(members))]) for _ in range(draws))
    return _middle([statistic(rows) for rows in drawn])


def rows_of_groups(groups: ArrayLike) -> list[NDArray[np.int64]]:
    """The rows of each group, by the order of their names.

    Args:
        groups: Whose each row is, (n,).
    """
    _, group_N = np.unique(np.asarray(groups), return_inverse=True)
    return np.split(np.argsort(group_N, kind="stable"), np.cumsum(np.bincount(group_N))[:-1])


def _middle(values: list[float]) -> tuple[float, float]:
    known = np.array(values)[~np.isnan(values)]
    if len(known) == 0:
        return float("nan"), float("nan")
    low, high = np.percentile(known, [2.5, 97.5])
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
