"""Sensitivity: of a score whose every field is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.verticals.finance.validation.samples import sample
from verticals.finance import metrics
from verticals.finance.validation.sample import Array, ScoredSample
from verticals.finance.validation.sensitivity import MAX_ASKED, sensitivities


def by_income(frame: pd.DataFrame) -> Array:
    """500 points and 40 for each unit of income, which counts as 0 when it is not known; `kind` is not used."""
    return np.asarray(500 + 40 * pd.to_numeric(frame["income"]).fillna(0.0), dtype=float)


def over_500(points: Array) -> np.ndarray:
    return points >= 500


def rich(n: int) -> ScoredSample:
    s = sample(n)
    return ScoredSample(**(s.__dict__ | {"features": s.features.assign(income=s.features["income"].round(1) * 10)}))


def test_the_only_field_that_counts_loses_all_and_the_other_nothing() -> None:
    s = rich(1500)
    income, kind = sensitivities(s, by_income, approve=over_500)

    assert income.auc_lost == pytest.approx(metrics.auc(s.default, -by_income(s.features)) - 0.5)
    assert income.auc_lost_low < income.auc_lost < income.auc_lost_high
    assert (kind.auc_lost, kind.moved) == (0, None)


def test_a_tenth_more_never_moves_a_decision_away_from_zero() -> None:
    """Ten per cent more of an amount keeps its sign, and this policy asks for the sign alone."""
    income, _ = sensitivities(rich(500), by_income, approve=over_500)
    stricter, _ = sensitivities(rich(500), by_income, approve=lambda points: points >= 900)

    assert income.moved == 0
    assert stricter.moved is not None
    assert stricter.moved > 0
    assert income.mean_points > 0


def test_a_large_sample_is_asked_in_part() -> None:
    income, _ = sensitivities(rich(MAX_ASKED + 500), by_income, approve=over_500)

    assert income.n == MAX_ASKED
