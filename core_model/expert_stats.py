"""How evenly a router spreads its tokens: figures over counts of tokens per expert. Ignores where counts come from.

Shapes: E experts. All figures of a layer that has seen no token are those of perfect balance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class LoadStats:
    """Balance of one layer.

    Args:
        entropy: Of the load shares over ln E: 1 is even, 0 is a single expert.
        gini: 0 is even, 1 - 1/E is a single expert.
        cv: Coefficient of variation: standard deviation over mean; 0 is even, sqrt(E - 1) is a single expert.
        max_over_mean: Load of the busiest expert over the mean: under expert parallelism, the slow-down of the layer.
        num_dead: Experts that got less than a hundredth of the mean load.
        num_pairs: Token-expert pairs counted.
    """

    entropy: float
    gini: float
    cv: float
    max_over_mean: float
    num_dead: int
    num_pairs: int


DEAD_SHARE = 0.01  # of the mean load


def describe_load(counts_E: ArrayLike) -> LoadStats:
    """All figures of one layer.

    Args:
        counts_E: Token-expert pairs per expert, (E,), 0 or more.

    Raises:
        ValueError: no expert, a negative count, or one that is not a number.
    """
    counts = _checked(counts_E)
    mean = counts.mean()
    return LoadStats(
        entropy=normalized_entropy(counts),
        gini=gini(counts),
        cv=coefficient_of_variation(counts),
        max_over_mean=float(counts.max() / mean) if mean else 1.0,
        num_dead=len(dead_experts(counts)),
        num_pairs=int(counts.sum()),
    )


def describe_layers(counts: Mapping[int, ArrayLike]) -> dict[int, LoadStats]:
    """`describe_load` for each MoE layer, by layer index; what monitoring exports."""
    return {layer_idx: describe_load(counts_E) for layer_idx, counts_E in sorted(counts.items())}


def normalized_entropy(counts_E: ArrayLike) -> float:
    """Entropy of the load shares over its maximum, ln E; 0 to 1. A single expert is evenly loaded: 1."""
    counts = _checked(counts_E)
    if not counts.sum() or len(counts) == 1:
        return 1.0
    share = counts[counts > 0] / counts.sum()
    return float(max(0.0, -(share * np.log(share)).sum()) / np.log(len(counts)))


def gini(counts_E: ArrayLike) -> float:
    """Gini coefficient: half the mean absolute difference of two experts' loads, over the mean load."""
    counts = np.sort(_checked(counts_E))
    if not counts.sum():
        return 0.0
    rank = np.arange(1, len(counts) + 1)
    return float(((2 * rank - len(counts) - 1) * counts).sum() / (len(counts) * counts.sum()))


def coefficient_of_variation(counts_E: ArrayLike) -> float:
    """Standard deviation (of the whole population) over the mean."""
    counts = _checked(counts_E)
    return float(counts.std() / counts.mean()) if counts.sum() else 0.0


def utilisation_sd(counts_E: ArrayLike, *, num_experts_per_tok: int) -> float:
    """Standard deviation of the experts' utilisation: each one's share of the layer's tokens, 0 to 1.

    0 is even; tokens that all go to the same K of E experts give sqrt(K/E - (K/E)**2).
    """
    counts = _checked(counts_E)
    return float((counts / counts.sum() * num_experts_per_tok).std()) if counts.sum() else 0.0


def dead_experts(counts_E: ArrayLike) -> list[int]:
    """Experts with less than a hundredth of the mean load, in order."""
    counts = _checked(counts_E)
    return [int(i) for i in np.flatnonzero(counts < DEAD_SHARE * counts.mean())]


def _checked(counts_E: ArrayLike | Sequence[float]) -> NDArray[np.float64]:
    counts = np.asarray(counts_E, dtype=np.float64)
    if counts.ndim != 1 or not len(counts):
        raise ValueError(f"counts: must be one number per expert (got shape {counts.shape}).")
    if not (np.isfinite(counts) & (counts >= 0)).all():
        raise ValueError("counts: must be finite and 0 or more. Give counts since the start, not differences.")
    return counts
