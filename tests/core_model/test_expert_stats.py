"""Balance figures against closed forms and against definitions written out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core_model.expert_stats import (
    coefficient_of_variation,
    dead_experts,
    describe_layers,
    describe_load,
    gini,
    normalized_entropy,
    utilisation_sd,
)

COUNTS = st.lists(st.integers(0, 10_000), min_size=2, max_size=40).filter(lambda counts: sum(counts) > 0)


def test_an_even_load_has_the_best_figures() -> None:
    stats = describe_load([7] * 16)

    assert (stats.entropy, stats.gini, stats.cv, stats.max_over_mean, stats.num_dead) == pytest.approx((1, 0, 0, 1, 0))
    assert stats.num_pairs == 112


def test_a_single_busy_expert_has_the_worst_figures() -> None:
    stats = describe_load([0, 0, 0, 80])

    assert stats.entropy == 0
    assert stats.gini == pytest.approx(3 / 4)
    assert stats.cv == pytest.approx(np.sqrt(3))
    assert (stats.max_over_mean, stats.num_dead) == (4, 3)


def test_a_layer_without_tokens_counts_as_balanced() -> None:
    stats = describe_load([0, 0, 0])

    assert (stats.entropy, stats.gini, stats.cv, stats.max_over_mean, stats.num_dead) == (1, 0, 0, 1, 0)


@given(COUNTS)
def test_gini_is_half_the_relative_mean_difference(counts: list[int]) -> None:
    pairs = np.abs(np.subtract.outer(counts, counts)).mean()

    assert gini(counts) == pytest.approx(pairs / (2 * np.mean(counts)), abs=1e-9)


@given(COUNTS)
def test_figures_do_not_depend_on_order_or_scale(counts: list[int]) -> None:
    other = [3 * count for count in reversed(counts)]

    assert normalized_entropy(other) == pytest.approx(normalized_entropy(counts))
    assert gini(other) == pytest.approx(gini(counts), abs=1e-9)
    assert coefficient_of_variation(other) == pytest.approx(coefficient_of_variation(counts))
    assert -1e-9 <= gini(counts) <= 1
    assert 0 <= normalized_entropy(counts) <= 1 + 1e-9


def test_dead_experts_are_named() -> None:
    assert dead_experts([0, 500, 1, 499]) == [0, 2]


def test_layers_are_described_in_order() -> None:
    assert list(describe_layers({3: [1, 1], 1: [2, 0]})) == [1, 3]


@pytest.mark.parametrize("counts", [[], [[1, 2]], 3])
def test_counts_of_another_shape_are_refused(counts: object) -> None:
    with pytest.raises(ValueError, match="one number per expert"):
        describe_load(counts)  # type: ignore[arg-type]


@pytest.mark.parametrize("counts", [[1, -1], [1, float("nan")]])
def test_impossible_counts_are_refused(counts: list[float]) -> None:
    with pytest.raises(ValueError, match="finite and 0 or more"):
        describe_load(counts)


def test_utilisation_is_each_experts_share_of_the_tokens() -> None:
    assert utilisation_sd([5, 5, 5, 5], num_experts_per_tok=2) == 0
    assert utilisation_sd([10, 10, 0, 0], num_experts_per_tok=2) == pytest.approx(0.5)  # all tokens, or none
    assert utilisation_sd([0, 0], num_experts_per_tok=1) == 0
