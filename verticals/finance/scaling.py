"""Points on the logarithm of the odds: points = offset + factor * ln(odds good:bad). Knows no model.

Siddiqi (2017), Intelligent Credit Scoring, 2nd edition, chapter 10.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Scaling:
    """600 points at odds of 50 good to 1 bad; every 20 points double the odds."""

    base_points: float = 600.0
    base_odds: float = 50.0
    pdo: float = 20.0

    @property
    def factor(self) -> float:
        """Points per unit of ln(odds): 28.8539 by default."""
        return self.pdo / math.log(2.0)

    @property
    def offset(self) -> float:
        """Points at odds 1:1: 487.1230 by default."""
        return self.base_points - self.factor * math.log(self.base_odds)

    def points(self, logit: ArrayLike) -> NDArray[np.float64]:
        """Unrounded points of ln(odds bad:good), any shape."""
        return self.offset - self.factor * np.asarray(logit, dtype=np.float64)

    def points_at(self, prob_default: float) -> float:
        """Unrounded points at a probability of default in (0, 1)."""
        return float(self.points(math.log(prob_default / (1.0 - prob_default))))


def prob_default(logit: ArrayLike) -> NDArray[np.float64]:
    """Probability of default of ln(odds bad:good), any shape; no overflow at either end."""
    return 0.5 * (1.0 + np.tanh(0.5 * np.asarray(logit, dtype=np.float64)))
