"""Fairness against scipy's relative risk and Newcombe's published example."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats.contingency import relative_risk

from verticals.finance.validation import fairness


@given(st.integers(1, 60), st.integers(60, 120), st.integers(1, 60), st.integers(60, 120))
def test_the_ratio_and_its_interval_equal_scipys(a: int, n: int, b: int, m: int) -> None:
    found = fairness.risk_ratio(a, n, b, m)
    oracle = relative_risk(a, n, b, m)
    interval = oracle.confidence_interval(0.95)

    assert found == pytest.approx((oracle.relative_risk, interval.low, interval.high), rel=1e-6)


def test_newcombes_published_example() -> None:
    """Newcombe 1998, table II, example (a): 56/70 against 48/80, method 10."""
    found = fairness.rate_difference(56, 70, 48, 80)

    assert found == (pytest.approx(0.2), pytest.approx(0.0524, abs=5e-5), pytest.approx(0.3339, abs=5e-5))


def groups(**of: tuple[int, int]) -> tuple[np.ndarray, list[str | None]]:
    """name=(approved, all)."""
    approved = [i < yes for yes, total in of.values() for i in range(total)]
    return np.array(approved), [name for name, (_, total) in of.items() for _ in range(total)]


def test_each_group_is_compared_with_the_one_of_the_highest_rate() -> None:
    found = fairness.adverse_impact(*groups(blue=(500, 1000), green=(300, 1000), red=(460, 1000)))

    assert [(c.group, c.reference, c.value) for c in found] == [
        ("green", "blue", pytest.approx(0.6)),
        ("red", "blue", pytest.approx(0.92)),
    ]
    assert [c.grade for c in found] == ["red", "green"]


def test_a_ratio_whose_interval_reaches_four_fifths_is_yellow() -> None:
    [found] = fairness.adverse_impact(*groups(a=(50, 100), b=(42, 100)))

    assert found.value == pytest.approx(0.84)
    assert found.low < 0.8
    assert found.grade == "yellow"


def test_a_small_group_is_shown_but_neither_graded_nor_the_reference() -> None:
    found = fairness.adverse_impact(*groups(few=(9, 9), many=(50, 100)))

    assert [(c.group, c.reference, c.grade) for c in found] == [("few", "many", "not measured")]


def test_a_group_without_any_approval_has_no_interval() -> None:
    [found] = fairness.adverse_impact(*groups(a=(0, 50), b=(20, 50)))

    assert found.value == 0
    assert np.isnan(found.high)
    assert found.grade == "not measured"


def test_unknown_groups_are_left_out_and_one_group_alone_compares_with_nobody() -> None:
    approved, of = groups(a=(20, 40), b=(10, 40))
    unknown = [None if g == "b" else g for g in of]

    assert fairness.adverse_impact(approved, unknown) == []
    assert fairness.equal_opportunity(approved, np.ones(80, bool), unknown) == []


def test_equal_opportunity_looks_at_those_who_repaid_alone() -> None:
    approved, of = groups(a=(60, 100), b=(60, 120))
    good = np.array([True] * 80 + [False] * 20 + [True] * 100 + [False] * 20)
    [found] = fairness.equal_opportunity(approved, good, of)

    assert (found.group, found.reference) == ("a", "b")
    assert found.value == pytest.approx(60 / 80 - 60 / 100)
    assert found.grade == "yellow"
