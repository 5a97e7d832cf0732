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


def convex_combination(
    scored: Sequence[Mapping[Item, float]], *, weights: Sequence[float], floors: Sequence[float | None] | None = None
) -> list[tuple[Item, float]]:
    """Weighted sum of scores that are scaled to 0-1 within each ranking (Bruch 2022, arXiv:2210.11934).

    With equal weights and no floors it is CombSUM (Fox and Shaw 1994, NIST SP 500-215).

    Args:
        scored: Item to score, higher is better; an item missing from a ranking adds nothing.
        weights: Share of each ranking, 0 or more; they need not sum to 1.
        floors: The score that becomes 0, for each ranking, as the least that the score could be (0 for BM25, -1 for a
            cosine); the lowest that the ranking holds where None.
    Returns:
        (item, score), best first; equal scores in order of first appearance.
    Raises:
        ValueError: there is not one weight and one floor for each ranking.
    """
    floors = [None] * len(scored) if floors is None else floors
    for name, given in (("weights", weights), ("floors", floors)):
        if len(given) != len(scored):
            raise ValueError(f"{name}: one for each of {len(scored)} rankings is needed (got {len(given)}).")
    sums: dict[Item, float] = {}
    for ranking, weight, floor in zip(scored, weights, floors, strict=True):
        high = max(ranking.values(), default=0.0)
        low = min(ranking.values(), default=0.0) if floor is None else floor
        for item, score in ranking.items():
            sums[item] = sums.get(item, 0.0) + weight * ((score - low) / (high - low) if high > low else 1.0)
    return _best_first(sums)


def _best_first(scores: Mapping[Item, float]) -> list[tuple[Item, float]]:
    return sorted(scores.items(), key=lambda pair: -pair[1])
