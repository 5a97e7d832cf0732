"""How well scores order what has a finding before what has none. Ignores where scores are from.

Shapes: N images.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


def ordered_pairs(labels_N: Floats, scores_N: Floats) -> tuple[float, float]:
    """Of the pairs of one image with the finding and one without: those in the right order, ties half; and all."""
    _, rank = np.unique(scores_N, return_inverse=True)
    bad, good = (np.bincount(rank, weights=of) for of in (labels_N, 1 - labels_N))
    return float((bad * (np.cumsum(good) - good / 2)).sum()), float(bad.sum() * good.sum())


def auc(labels_N: Floats, scores_N: Floats) -> float:
    """Area under the ROC curve; ties count half; NaN with one class only."""
    right, pairs = ordered_pairs(labels_N, scores_N)
    return right / pairs if pairs else float("nan")
