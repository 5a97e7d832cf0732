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
    assert fusion.convex_combination([{}], weights=[1]) == []


def test_one_weight_for_each_ranking() -> None:
    with pytest.raises(ValueError, match="weights: one for each of 2 rankings is needed"):
        fusion.reciprocal_rank([["a"], ["b"]], weights=[1])


def test_a_convex_combination_scales_each_ranking_to_one_and_weighs_it() -> None:
    fused = fusion.convex_combination([{"a": 10.0, "b": 5.0, "c": 0.0}, {"b": 0.9, "d": 0.9}], weights=[1.0, 0.5])

    assert dict(fused) == pytest.approx({"a": 1.0, "b": 0.5 + 0.5, "c": 0.0, "d": 0.5})
    assert fused[0][0] == "a"


def test_a_floor_takes_the_place_of_the_lowest_score() -> None:
    fused = fusion.convex_combination([{"a": 1.0, "b": 0.0}, {"b": 4.0, "a": 2.0}], weights=[1, 1], floors=[-1.0, 0.0])

    assert dict(fused) == pytest.approx({"a": 1 + 0.5, "b": 0.5 + 1})


@pytest.mark.parametrize(
    ("name", "options"), [("weights", {"weights": [1]}), ("floors", {"weights": [1, 1], "floors": [0]})]
)
def test_a_convex_combination_needs_a_weight_and_a_floor_for_each_ranking(
    name: str, options: dict[str, list[float]]
) -> None:
    with pytest.raises(ValueError, match=f"{name}: one for each of 2 rankings is needed"):
        fusion.convex_combination([{"a": 1.0}, {"b": 1.0}], **options)
