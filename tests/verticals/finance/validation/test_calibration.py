"""Calibration against integrals, textbook formulas and worked examples."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate

from tests.verticals.finance.validation.samples import sample
from verticals.finance import metrics
from verticals.finance.validation import calibration
from verticals.finance.validation.rules import light


@pytest.mark.parametrize(("n", "d", "predicted"), [(100, 5, 0.03), (50, 1, 0.05), (400, 90, 0.2)])
def test_jeffreys_confidence_is_the_posterior_mass_above_the_prediction(n: int, d: int, predicted: float) -> None:
    def density(p: float) -> float:  # prior p^-1/2 (1-p)^-1/2 times the binomial likelihood, scaled against underflow
        return math.exp((d - 0.5) * math.log(p) + (n - d - 0.5) * math.log(1 - p) - at_mode)

    at_mode = 0.0
    at_mode = math.log(density(d / n))
    above = integrate.quad(density, predicted, 1, points=[d / n] if d / n > predicted else None)[0]
    whole = integrate.quad(density, 0, 1, points=[d / n])[0]
    default = np.repeat([1.0, 0.0], [d, n - d])

    assert calibration.jeffreys(default, np.full(n, predicted)).confidence == pytest.approx(above / whole, abs=1e-6)


def test_the_light_turns_as_defaults_mount_over_the_prediction() -> None:
    grades = [
        calibration.jeffreys(np.repeat([1.0, 0.0], [d, 200 - d]), np.full(200, 0.05)).grade for d in (5, 10, 16, 17, 30)
    ]

    assert grades == ["green", "green", "yellow", "yellow", "red"]
    assert [light(c) for c in (0.9499, 0.95, 0.9989, 0.999, math.nan)] == [
        "green", "yellow", "yellow", "red", "not measured",
    ]  # fmt: skip


def test_too_high_a_prediction_is_not_graded_down() -> None:
    assert calibration.jeffreys(np.repeat([1.0, 0.0], [1, 199]), np.full(200, 0.3)).grade == "green"


def test_bands_hold_everyone_once_in_order_of_prediction() -> None:
    prob = np.random.default_rng(1).random(103)
    bands = calibration.bands_of(prob)

    assert sorted(np.concatenate(bands)) == list(range(103))
    assert all(prob[a].max() <= prob[b].min() for a, b in pairwise(bands))
    assert len(calibration.bands_of(prob[:4])) == 4


def test_hosmer_lemeshow_equals_the_textbook_sum_over_both_outcomes() -> None:
    s = sample(500, seed=2)
    statistic, freedom, _ = calibration.hosmer_lemeshow(s.default, s.prob_default, seen=False)
    textbook = 0.0
    for g in np.array_split(np.argsort(s.prob_default, kind="stable"), 10):
        for observed, expected in (
            (s.default[g].sum(), s.prob_default[g].sum()),
            ((1 - s.default[g]).sum(), (1 - s.prob_default[g]).sum()),
        ):
            textbook += (observed - expected) ** 2 / expected

    assert statistic == pytest.approx(textbook)
    assert freedom == 10
    assert calibration.hosmer_lemeshow(s.default, s.prob_default, seen=True)[1] == 8


def test_hosmer_lemeshow_finds_a_prediction_that_is_too_low() -> None:
    right, low = sample(3000, seed=3), sample(3000, seed=3, told=-0.5)

    assert calibration.hosmer_lemeshow(right.default, right.prob_default, seen=False)[2] > 0.05
    assert calibration.hosmer_lemeshow(low.default, low.prob_default, seen=False)[2] < 1e-6


@given(st.lists(st.tuples(st.booleans(), st.floats(0.001, 0.999)), min_size=2, max_size=60))
def test_the_parts_of_the_brier_score_make_the_whole(rows: list[tuple[bool, float]]) -> None:
    default, prob = np.array([float(d) for d, _ in rows]), np.array([p for _, p in rows])
    p = calibration.brier_parts(default, prob)

    assert p.brier == pytest.approx(metrics.brier(default, prob))
    assert p.reliability - p.resolution + p.uncertainty + p.within == pytest.approx(p.brier, abs=1e-12)
    assert min(p.reliability, p.resolution, p.uncertainty) >= 0


def test_murphys_parts_of_a_worked_example() -> None:
    """Ten forecasts of .2 with 1 bad, ten of .6 with 6 bad: all within one value, so nothing is left within bands."""
    prob = np.repeat([0.2, 0.6], 10)
    default = np.array([1.0] + [0.0] * 9 + [1.0] * 6 + [0.0] * 4)
    bands = calibration.brier_parts(default, prob)
    base = 7 / 20

    # bands are pairs here, so compare with the sums over pairs
    pairs = default.reshape(10, 2).mean(axis=1)
    assert bands.reliability == pytest.approx(np.mean((prob[::2] - pairs) ** 2))
    assert bands.resolution == pytest.approx(np.mean((pairs - base) ** 2))
    assert bands.uncertainty == pytest.approx(base * (1 - base))
    assert bands.within == pytest.approx(0, abs=1e-15)


def test_intervals_of_the_parts_hold_them_and_stay_above_zero() -> None:
    s = sample(800, seed=4)
    low, high = calibration.brier_intervals(s.default, s.prob_default)
    found = calibration.brier_parts(s.default, s.prob_default)

    for name in ("brier", "reliability", "resolution", "uncertainty", "within"):
        assert getattr(low, name) <= getattr(found, name) <= getattr(high, name)
    assert low.reliability >= 0
