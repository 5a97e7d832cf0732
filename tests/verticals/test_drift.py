"""Counts of cases that resemble each other are worth fewer: the test keeps its level once they are counted so."""

from __future__ import annotations

import numpy as np
import pytest

from verticals.drift import Counts, compare, design_effect


def blocks(rng: np.random.Generator, *, num_blocks: int, size: int, alike: float) -> Counts:
    """Blocks of `size` cases in 8 bins; the larger `alike`, the more a block has a mind of its own."""
    shares = rng.dirichlet(np.full(8, 1 / alike), num_blocks) if alike else np.full((num_blocks, 8), 1 / 8)
    return np.stack([rng.multinomial(size, share) for share in shares])


def test_independent_cases_are_worth_what_they_count() -> None:
    rng = np.random.default_rng(0)

    assert design_effect(blocks(rng, num_blocks=200, size=100, alike=0)) == pytest.approx(1, abs=0.1)


def test_cases_that_come_ten_times_each_are_worth_a_tenth() -> None:
    rng = np.random.default_rng(0)

    assert design_effect(10 * blocks(rng, num_blocks=200, size=100, alike=0)) == pytest.approx(10, rel=0.1)


def test_one_block_or_one_bin_tells_nothing() -> None:
    assert design_effect(np.array([[3, 4, 5]])) == 1
    assert design_effect(np.array([[3, 0], [4, 0]])) == 1
    assert design_effect(np.zeros((4, 3))) == 1


@pytest.mark.parametrize("corrected", [True, False])
def test_blocks_of_like_cases_raise_false_alarms_unless_corrected(corrected: bool) -> None:
    rng, alarms, draws = np.random.default_rng(1), 0, 200
    for _ in range(draws):
        before, now = (blocks(rng, num_blocks=30, size=200, alike=0.2) for _ in range(2))
        effect = max(design_effect(before), design_effect(now)) if corrected else 1.0
        alarms += compare(before.sum(axis=0) / effect, now.sum(axis=0) / effect).confidence > 0.99

    assert alarms <= 6 if corrected else alarms > draws / 2  # one in a hundred is its level
