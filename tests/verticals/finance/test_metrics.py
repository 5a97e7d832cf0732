"""Metrics against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, roc_auc_score, roc_curve

from verticals.finance import metrics


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 12)), min_size=2, max_size=80))
def test_auc_gini_and_ks_equal_scikit_learn_with_ties(rows: list[tuple[bool, int]]) -> None:
    default = np.array([float(d) for d, _ in rows])
    score = np.array([s / 12 for _, s in rows])
    if default.min() == default.max():
        assert np.isnan([metrics.auc(default, score), metrics.ks(default, score)]).all()
        return

    false_rate, true_rate, _ = roc_curve(default, score, drop_intermediate=False)
    assert metrics.auc(default, score) == pytest.approx(roc_auc_score(default, score))
    assert metrics.gini(default, score) == pytest.approx(2 * roc_auc_score(default, score) - 1)
    assert metrics.ks(default, score) == pytest.approx(np.abs(true_rate - false_rate).max())


def test_brier_and_calibration_slope_equal_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    logit = rng.normal(-1, 1.5, 400)
    default = (rng.random(400) < 1 / (1 + np.exp(-0.7 * logit))).astype(float)
    prob = 1 / (1 + np.exp(-logit))
    oracle = LogisticRegression(C=1e12, tol=1e-12, max_iter=1000).fit(logit[:, None], default)

    assert metrics.brier(default, prob) == pytest.approx(brier_score_loss(default, prob))
    assert metrics.calibration_slope(default, prob) == pytest.approx(oracle.coef_[0, 0], rel=1e-4)


def test_jeffreys_interval_is_closed_where_nothing_or_everything_happened() -> None:
    assert metrics.jeffreys_interval(20, 0)[0] == 0
    assert metrics.jeffreys_interval(20, 20)[1] == 1
    assert metrics.jeffreys_interval(100, 30) == (pytest.approx(0.2167, abs=1e-3), pytest.approx(0.3945, abs=1e-3))
