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


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), min_size=6, max_size=40))
def test_the_standard_error_of_the_auc_equals_delongs_placements(rows: list[tuple[bool, int]]) -> None:
    default, score = np.array([float(d) for d, _ in rows]), np.array([float(s) for _, s in rows])
    bad, good = score[default == 1], score[default == 0]
    if min(len(bad), len(good)) < 2:
        assert np.isnan(metrics.auc_se(default, score))
        return
    wins = (bad[:, None] > good) + 0.5 * (bad[:, None] == good)

    variance = wins.mean(axis=1).var(ddof=1) / len(bad) + wins.mean(axis=0).var(ddof=1) / len(good)
    assert metrics.auc_se(default, score) == pytest.approx(np.sqrt(variance), abs=1e-12)


def test_the_calibration_line_has_the_standard_errors_of_the_likelihoods_curvature() -> None:
    rng = np.random.default_rng(4)
    logit = rng.normal(-1, 1.5, 300)
    default = (rng.random(300) < 1 / (1 + np.exp(-(0.3 + 0.8 * logit)))).astype(float)
    line = metrics.calibration_line(default, 1 / (1 + np.exp(-logit)))

    def loss(intercept: float, slope: float) -> float:
        eta = intercept + slope * logit
        return float((np.logaddexp(0, eta) - default * eta).sum())

    h, at = 1e-4, np.array([line.intercept, line.slope])
    step = np.eye(2) * h
    hessian = [
        [
            sum(s * t * loss(*(at + s * step[i] + t * step[j])) for s in (1, -1) for t in (1, -1)) / (4 * h * h)
            for j in (0, 1)
        ]
        for i in (0, 1)
    ]
    errors = np.sqrt(np.diag(np.linalg.inv(hessian)))
    assert (line.intercept_se, line.slope_se) == (
        pytest.approx(errors[0], rel=1e-3),
        pytest.approx(errors[1], rel=1e-3),
    )


def test_calibration_in_the_large_is_the_shift_that_makes_means_agree() -> None:
    rng = np.random.default_rng(5)
    prob = rng.uniform(0.05, 0.6, 400)
    default = (rng.random(400) < prob).astype(float)
    shift, se = metrics.calibration_in_the_large(default, prob)

    shifted = 1 / (1 + np.exp(-(np.log(prob / (1 - prob)) + shift)))
    assert shifted.mean() == pytest.approx(default.mean(), abs=1e-8)
    assert se == pytest.approx((shifted * (1 - shifted)).sum() ** -0.5, rel=1e-6)


def test_calibration_of_a_constant_or_of_one_class_is_not_a_number() -> None:
    default = np.array([0.0, 1.0, 0.0, 1.0])

    assert np.isnan(metrics.calibration_slope(default, np.full(4, 0.3)))
    assert np.isnan(metrics.calibration_slope(np.zeros(4), np.array([0.1, 0.2, 0.3, 0.4])))
    assert np.isnan(metrics.calibration_in_the_large(np.ones(4), np.array([0.1, 0.2, 0.3, 0.4]))[0])
    assert np.isnan(metrics.calibration_slope(np.array([0.0, 0, 1, 1]), np.array([0.1, 0.2, 0.8, 0.9])))


def test_two_scores_of_the_same_applicants_are_compared_as_a_bootstrap_over_them_would() -> None:
    rng = np.random.default_rng(6)
    default = (rng.random(800) < 0.3).astype(float)
    first = default + rng.normal(size=800)
    second = first + rng.normal(size=800)
    drawn = []
    for _ in range(400):
        rows = rng.integers(0, 800, 800)
        drawn.append(metrics.auc(default[rows], first[rows]) - metrics.auc(default[rows], second[rows]))

    assert metrics.auc_difference_se(default, first, second) == pytest.approx(np.std(drawn), rel=0.1)
    assert metrics.auc_difference_se(default, first, first) == 0
