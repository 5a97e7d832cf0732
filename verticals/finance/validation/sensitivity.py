"""What each field is worth to the score, and how far a small change of it moves decisions. Ignores outcomes otherwise.

The model is asked again with one field changed; nothing is refitted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from verticals.bootstrap import wilson_interval
from verticals.finance import metrics
from verticals.finance.validation.sample import Array, ScoredSample

RAISE = 1.10
Z = 1.959964
MAX_ASKED = 20_000  # drawn by chance: a field more is the whole sample scored twice more

Score = Callable[[pd.DataFrame], Array]
"""(N rows of the model's fields) -> points, (N,)."""


@dataclass(frozen=True)
class Sensitivity:
    """One field: AUC lost when it is not known; for a number, decisions that change when it is 10 % higher."""

    field: str
    n: int
    auc_lost: float
    auc_lost_low: float
    auc_lost_high: float
    moved: float | None
    moved_low: float
    moved_high: float
    mean_points: float


def sensitivities(
    sample: ScoredSample, score: Score, *, approve: Callable[[Array], NDArray[np.bool_]]
) -> tuple[Sensitivity, ...]:
    """Each field of `sample.features` in turn, on at most `MAX_ASKED` applicants whose outcome is known."""
    s = sample.observed
    if len(s) > MAX_ASKED:
        s = s.where(np.random.default_rng(0).permutation(len(s)) < MAX_ASKED)
    points = score(s.features)
    found = []
    for name in map(str, s.features):
        unknown = score(s.features.assign(**{name: pd.Series([None] * len(s), dtype=object)}))
        lost = metrics.auc(s.default, -points) - metrics.auc(s.default, -unknown)
        half = Z * metrics.auc_difference_se(s.default, -points, -unknown)
        moved, moved_low, moved_high, mean_points = None, np.nan, np.nan, 0.0
        if pd.api.types.is_numeric_dtype(s.features[name]):
            higher = score(s.features.assign(**{name: np.rint(s.features[name] * RAISE)}))
            changed = int((approve(np.rint(higher)) != approve(np.rint(points))).sum())
            moved, mean_points = changed / len(s), float(np.abs(higher - points).mean())
            moved_low, moved_high = wilson_interval(changed, len(s))
        found.append(
            Sensitivity(name, len(s), lost, lost - half, lost + half, moved, moved_low, moved_high, mean_points)
        )
    return tuple(found)
