"""Ranking metrics against trec_eval (through ir-measures) and by hand."""

from __future__ import annotations

import ir_measures
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ir_measures import RR, R, nDCG

from retrieval import metrics

IDS = [f"d{i}" for i in range(12)]
RANKINGS = st.lists(st.sampled_from(IDS), unique=True, min_size=1)
GAINS = st.dictionaries(st.sampled_from(IDS), st.integers(0, 3), min_size=1)


def _trec_eval(measure: ir_measures.Measure, ranking: list[str], gains: dict[str, int]) -> float:
    run = {"q": {item: float(len(ranking) - rank) for rank, item in enumerate(ranking)}}
    return float(ir_measures.calc_aggregate([measure], {"q": gains}, run)[measure])


@given(ranking=RANKINGS, gains=GAINS, k=st.sampled_from([1, 3, 5, 10]))
def test_the_metrics_are_those_of_trec_eval(ranking: list[str], gains: dict[str, int], k: int) -> None:
    relevant = {item for item, gain in gains.items() if gain > 0}

    assert metrics.ndcg_at_k(ranking, gains, k) == pytest.approx(_trec_eval(nDCG @ k, ranking, gains))
    assert metrics.recall_at_k(ranking, relevant, k) == pytest.approx(_trec_eval(R @ k, ranking, gains))
    assert metrics.reciprocal_rank(ranking, relevant) == pytest.approx(_trec_eval(RR, ranking, gains))


@given(queries=st.lists(st.tuples(RANKINGS, st.sets(st.sampled_from(IDS), min_size=1)), min_size=1, max_size=5))
def test_mrr_is_the_mean_reciprocal_rank_of_trec_eval(queries: list[tuple[list[str], set[str]]]) -> None:
    run = {str(i): {item: -float(rank) for rank, item in enumerate(ranking)} for i, (ranking, _) in enumerate(queries)}
    judged = {str(i): dict.fromkeys(relevant, 1) for i, (_, relevant) in enumerate(queries)}

    expected = ir_measures.calc_aggregate([RR], judged, run)[RR]
    assert metrics.mrr(*zip(*queries, strict=True)) == pytest.approx(expected)


def test_without_anything_relevant_the_metrics_are_zero() -> None:
    assert metrics.ndcg_at_k(["a"], {}, 5) == metrics.recall_at_k(["a"], set(), 5) == 0


def test_an_id_ranked_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="ranking: an id appears twice"):
        metrics.ndcg_at_k(["a", "a"], {"a": 1}, 5)


def test_a_cut_off_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match=r"k: must be at least 1 \(got 0\)"):
        metrics.recall_at_k(["a"], {"a"}, 0)


def test_mrr_needs_a_query() -> None:
    with pytest.raises(ValueError, match="rankings: at least one query is needed"):
        metrics.mrr([], [])
