"""Points and odds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verticals.finance.scaling import Scaling, prob_default


def test_fifty_to_one_is_six_hundred_and_twenty_points_double_the_odds() -> None:
    scaling = Scaling()

    assert scaling.points_at(1 / 51) == pytest.approx(600)
    assert scaling.points_at(1 / 101) == pytest.approx(620)
    assert (scaling.factor, scaling.offset) == (pytest.approx(28.8539, abs=1e-4), pytest.approx(487.1229, abs=1e-4))


@given(st.floats(-700, 700))
def test_probability_is_the_logistic_function_of_the_logit(logit: float) -> None:
    expected = 1 / (1 + math.exp(-logit)) if logit > 0 else math.exp(logit) / (1 + math.exp(logit))

    assert float(prob_default(logit)) == pytest.approx(expected, abs=1e-15)


def test_points_fall_as_risk_rises() -> None:
    points = Scaling().points(np.linspace(-8, 8, 100))

    assert (np.diff(points) < 0).all()
