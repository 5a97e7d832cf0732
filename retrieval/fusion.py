"""Several rankings to one, a function per variant. Ignores what is ranked."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

Item = TypeVar("Item", bound=Hashable)


def reciprocal_rank(
    rankings: Sequence[Sequence[Item]], *, weights: Sequence[float] | None = None, k: float = 60
) -> list[tuple[Item, float]]:
    """Reciprocal rank fusion: sum of weight / (k + rank), ranks from 1 (Cormack 2009, doi:10.1145/1571941.1572114).

    Args:
        rankings: Items best first; an item missing from a ranking adds nothing.
        weights: Trust in each ranking; all 1, as in the paper, if None.
        k: Damps the lead of the first ranks; 60 is the paper's.
    Returns:
        (item, score), best first; equal scores in order of first appearance.
    Raises:
        ValueError: there is not one weight for each ranking.
    """
    weights = [1.0] * len(rankings) if weights is None else weights
    if len(weights) != len(rankings):
        raise ValueError(f"weights: one for each of {len(rankings)} rankings is needed (got {len(weights)}).")
    scores: dict[Item, float] = {}
    for ranking, weight in zip(rankings, weights, strict=True):
        for rank, item in enumerate(ranking, start=1):
            scores[item] = scores.get(item, 0.0) + weight / (k + rank)
    return _best_first(scores)


def comb_sum(scored: Sequence[Mapping[Item, float]]) -> list[tuple[Item, float]]:
    """CombSUM over scores scaled to 0-1 within each ranking (Fox and Shaw 1994, NIST SP 500-215).

    Args:
        scored: Item to score, higher is better; an item missing from a ranking adds nothing.
    Returns:
        (item, score), best first; equal scores in order of first appearance.
    """
    sums: dict[Item, float] = {}
    for ranking in scored:
        low, high = min(ranking.values(), default=0.0), max(ranking.values(), default=0.0)
        for item, score in ranking.items():
            sums[item] = sums.get(item, 0.0) + ((score - low) / (high - low) if high > low else 1.0)
    return _best_first(sums)


def _best_first(scores: Mapping[Item, float]) -> list[tuple[Item, float]]:
    return sorted(scores.items(), key=lambda pair: -pair[1])
