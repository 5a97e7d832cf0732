"""Drift against scipy and worked figures, and the errors of the test under both worlds."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from verticals.finance.validation import drift
from verticals.finance.validation.rules import light


def test_psi_of_a_worked_example() -> None:
    value = drift.psi(np.array([50, 50]), np.array([60, 40]))

    assert value == pytest.approx(0.1 * math.log(1.2) - 0.1 * math.log(0.8))


@given(st.lists(st.tuples(st.integers(20, 200), st.integers(20, 200)), min_size=2, max_size=12))
def test_the_test_is_pearsons_and_psi_is_symmetric(counts: list[tuple[int, int]]) -> None:
    before, now = np.array(counts).T
    found = drift.compare(before, now)
    oracle = stats.chi2_contingency(np.stack([before, now]), correction=False)

    assert (found.chi_square, found.freedom) == (pytest.approx(oracle.statistic), oracle.dof)
    assert found.confidence == pytest.approx(1 - oracle.pvalue, abs=1e-9)
    assert found.psi == pytest.approx(drift.compare(now, before).psi)
    assert found.psi >= 0


def test_thin_bins_are_merged_for_the_test_but_not_for_psi() -> None:
    before, now = np.array([500, 1, 2, 497]), np.array([100, 1, 0, 99])
    found = drift.compare(before, now)
    oracle = stats.chi2_contingency(np.array([[501, 499], [101, 99]]), correction=False)

    assert found.freedom <= 2
    assert found.psi == drift.psi(before, now)
    assert oracle.pvalue > 0.05
    assert light(found.confidence, **drift.LIGHT) == "green"


def test_one_bin_alone_cannot_be_tested() -> None:
    found = drift.of_scores(np.full(50, 3.0), np.full(20, 3.0))

    assert found.psi == 0
    assert np.isnan(found.confidence)
    assert found.interval() == (0, 0)


def test_an_empty_bin_keeps_psi_finite() -> None:
    assert math.isfinite(drift.psi(np.array([100, 0]), np.array([50, 50])))


def alarms(n: int, shift: float, *, draws: int = 500, seed: int = 7) -> float:
    rng = np.random.default_rng(seed)
    found = [drift.of_scores(rng.normal(size=1000), rng.normal(shift, size=n)).confidence for _ in range(draws)]
    return float(np.mean([light(c, **drift.LIGHT) != "green" for c in found]))


def test_small_samples_raise_few_false_alarms_and_a_quarter_of_a_deviation_is_found() -> None:
    assert alarms(200, 0.0) <= 0.05
    assert alarms(1000, 0.25) >= 0.9


def test_the_convention_misses_that_shift() -> None:
    rng = np.random.default_rng(8)
    found = [drift.of_scores(rng.normal(size=1000), rng.normal(0.25, size=1000)).psi for _ in range(100)]

    assert np.mean(np.array(found) > drift.PSI_SHIFT) == 0


def test_the_interval_covers_the_populations_psi() -> None:
    rng = np.random.default_rng(9)
    before, now = np.full(8, 1 / 8), np.array([0.09, 0.10, 0.11, 0.12, 0.13, 0.14, 0.15, 0.16])
    truth = float(((now - before) * np.log(now / before)).sum())
    ends = [drift.compare(rng.multinomial(900, before), rng.multinomial(700, now)).interval() for _ in range(300)]

    assert np.mean([low <= truth <= high for low, high in ends]) == pytest.approx(0.95, abs=0.035)


def test_a_field_is_compared_by_kind_and_missing_values_are_a_bin() -> None:
    numbers = pd.Series(np.arange(400.0))
    words = pd.Series(["a", "b"] * 200, dtype=object)

    assert drift.of_field(numbers, numbers).psi == 0
    assert drift.of_field(numbers, numbers.where(numbers % 2 == 0)).confidence > 0.999
    assert drift.of_field(words, words.where(words == "a", None)).confidence > 0.999
    assert drift.of_field(words, words).num_bins == 2
    assert drift.of_field(numbers, pd.Series(["x"] * 50, dtype=object)).psi > 1


def test_a_field_of_many_words_is_compared_by_its_common_ones() -> None:
    rng = np.random.default_rng(10)
    ids = pd.Series([f"a-{i}" for i in range(3000)], dtype=object)
    towns = pd.Series(rng.choice([f"t-{i}" for i in range(200)], 3000), dtype=object)

    assert drift.of_field(ids[:1500], ids[1500:]).num_bins == 51
    assert drift.of_field(towns[:1500], towns[1500:]).confidence < 0.99
