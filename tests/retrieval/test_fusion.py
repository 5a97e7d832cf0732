"""Fusion against sums done by hand."""

from __future__ import annotations

import pytest

from retrieval import fusion


def test_reciprocal_rank_adds_the_inverse_of_sixty_plus_rank() -> None:
    fused = fusion.reciprocal_rank([["a", "b", "c"], ["b", "d"]])

    assert [item for item, _ in fused] == ["b", "a", "d", "c"]
    assert dict(fused) == pytest.approx({"b": 1 / 62 + 1 / 61, "a": 1 / 61, "d": 1 / 62, "c": 1 / 63})


def test_weights_and_k_change_the_balance() -> None:
    fused = fusion.reciprocal_rank([["a", "b"], ["c", "b"]], weights=[1, 0.5], k=1)

    assert dict(fused) == pytest.approx({"a": 1 / 2, "b": 1 / 3 + 0.5 / 3, "c": 0.5 / 2})


def test_equal_scores_keep_the_order_of_first_appearance() -> None:
    assert [item for item, _ in fusion.reciprocal_rank([["x"], ["y"]])] == ["x", "y"]


def test_nothing_to_fuse_is_nothing() -> None:
    assert fusion.reciprocal_rank([[], []]) == []
    assert fusion.comb_sum([{}]) == []


def test_one_weight_for_each_ranking() -> None:
    with pytest.raises(ValueError, match="weights: one for each of 2 rankings is needed"):
        fusion.reciprocal_rank([["a"], ["b"]], weights=[1])


def test_comb_sum_scales_each_ranking_to_one_before_adding() -> None:
    fused = fusion.comb_sum([{"a": 10.0, "b": 5.0, "c": 0.0}, {"b": 0.9, "d": 0.9}])

    assert dict(fused) == pytest.approx({"a": 1.0, "b": 0.5 + 1.0, "c": 0.0, "d": 1.0})
    assert fused[0][0] == "b"
