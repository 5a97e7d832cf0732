"""Bootstrap intervals against scipy's, Wilson's against published values, and the edges."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap

from verticals.bootstrap import bootstrap_interval, grouped_interval, wilson_interval


def test_the_interval_of_a_mean_is_scipys_percentile_interval() -> None:
    values = np.random.default_rng(1).normal(5, 2, 200)
    theirs = bootstrap((values,), np.mean, n_resamples=5000, method="percentile", rng=2).confidence_interval

    assert bootstrap_interval(values, draws=5000) == pytest.approx((theirs.low, theirs.high), abs=0.03)


def test_the_same_seed_gives_the_same_interval() -> None:
    values = [0, 1, 1, 0, 1]

    assert bootstrap_interval(values, seed=3) == bootstrap_interval(values, seed=3)
    assert bootstrap_interval(values, seed=3, draws=7) != bootstrap_interval(values, seed=4, draws=7)


def test_rows_of_several_columns_stay_together() -> None:
    rows = np.column_stack([np.arange(50), np.arange(50)])

    assert bootstrap_interval(rows, lambda r: float(np.abs(r[:, 0] - r[:, 1]).max())) == (0.0, 0.0)


def test_draws_without_a_value_are_left_out() -> None:
    low, high = bootstrap_interval([0.0, 1.0], lambda r: float("nan") if r.min() == r.max() else r.mean())

    assert (low, high) == (0.5, 0.5)
    assert np.isnan(bootstrap_interval([1.0], lambda r: float("nan"))).all()


def test_rows_that_are_groups_of_their_own_have_the_interval_of_rows() -> None:
    values = np.random.default_rng(1).normal(5, 2, 200)

    assert grouped_interval(lambda rows: float(values[rows].mean()), range(200), 500) == bootstrap_interval(
        values, draws=500
    )


def test_rows_of_a_group_are_drawn_together() -> None:
    groups = np.array(["b", "a", "b", "a", "c"])

    def torn(rows: np.ndarray) -> float:
        return float(len(set(np.bincount(rows, minlength=5)[groups == "b"])) > 1)

    assert grouped_interval(torn, groups, 200) == (0.0, 0.0)


@pytest.mark.parametrize(("values", "draws", "rule"), [([], 9, "at least one row"), ([1.0], 0, "draws")])
def test_bad_arguments_are_refused(values: list[float], draws: int, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        bootstrap_interval(values, draws=draws)


def test_the_interval_of_a_rate_agrees_with_newcombe_1998() -> None:
    # Newcombe 1998, Statistics in Medicine 17:857, table I, method 3: 81/263, 15/148, 0/20, 1/29
    found = [wilson_interval(*case) for case in ((81, 263), (15, 148), (0, 20), (1, 29))]

    assert [(round(low, 4), round(high, 4)) for low, high in found] == [
        (0.2553, 0.3662),
        (0.0624, 0.1605),
        (0.0, 0.1611),
        (0.0061, 0.1718),
    ]


def test_no_trials_have_no_interval() -> None:
    with pytest.raises(ValueError, match="trials: must be at least 1"):
        wilson_interval(0, 0)
