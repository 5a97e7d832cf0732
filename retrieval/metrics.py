"""Quality of one ranking against graded judgements. Ignores averaging over queries and intervals."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from math import log2


def ndcg_at_k(ranking: Sequence[str], gains: Mapping[str, float], k: int) -> float:
    """Normalised discounted cumulative gain, gain over log2(rank + 1) (Järvelin 2002, doi:10.1145/582415.582418).

    Args:
        ranking: Ids, best first, each at most once.
        gains: Judged id to its gain, 0 or more; an unjudged id has gain 0.
        k: Cut-off, at least 1.
    Returns:
        0-1; 0 if no id has a gain.
    Raises:
        ValueError: an id is ranked twice, or k is below 1.
    """
    _check(ranking, k)
    ideal = _dcg(sorted(gains.values(), reverse=True)[:k])
    return _dcg([gains.get(item, 0.0) for item in ranking[:k]]) / ideal if ideal > 0 else 0.0


def recall_at_k(ranking: Sequence[str], relevant: Collection[str], k: int) -> float:
    """Share of the relevant ids among the first k; 0 if nothing is relevant. Raises as `ndcg_at_k`."""
    _check(ranking, k)
    return len(set(ranking[:k]) & set(relevant)) / len(set(relevant)) if relevant else 0.0


def reciprocal_rank(ranking: Sequence[str], relevant: Collection[str]) -> float:
    """1 / rank of the first relevant id, 0 if there is none. Raises as `ndcg_at_k`."""
    _check(ranking, 1)
    return next((1 / rank for rank, item in enumerate(ranking, start=1) if item in relevant), 0.0)


def mrr(rankings: Sequence[Sequence[str]], relevant: Sequence[Collection[str]]) -> float:
    """Mean reciprocal rank over queries.

    Raises:
        ValueError: no queries, or the two sequences differ in length.
    """
    if not rankings:
        raise ValueError("rankings: at least one query is needed.")
    return sum(reciprocal_rank(*pair) for pair in zip(rankings, relevant, strict=True)) / len(rankings)


def _dcg(gains: Sequence[float]) -> float:
    return sum(gain / log2(rank + 1) for rank, gain in enumerate(gains, start=1))


def _check(ranking: Sequence[str], k: int) -> None:
    if k < 1:
        raise ValueError(f"k: must be at least 1 (got {k}).")
    if len(set(ranking)) != len(ranking):
        raise ValueError("ranking: an id appears twice. Keep its best rank only.")
