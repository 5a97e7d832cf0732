"""What a model is worth: figures against scikit-learn's, and the rule that lets it be enabled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from verticals.medical.fewshot.schemas import Figure, Figures
from verticals.medical.fewshot.validation import ROC_POINTS, Truth, measure, refusals, roc
from verticals.medical.ranking import auc


def figure(value: float, half: float = 0.05) -> Figure:
    return Figure(value=value, low=value - half, high=value + half)


def figures(**changes: Any) -> Figures:
    """Of a linear probe that may be enabled, but for the changes."""
    good = {
        **{"auc": figure(0.85), "gain": None, "calibration_error": figure(0.05), "one_answer": figure(0.6)},
        **{"coverage_present": figure(0.9), "coverage_absent": figure(0.9), "gate_passed": figure(0.95)},
        **{"roc": [], "present": [], "absent": []},
    }
    return Figures(**good | changes)


def truth(num: int = 80) -> Truth:
    """Two images a patient."""
    return Truth((np.arange(num) // 2 % 2).astype(float), np.arange(num) // 2)


def test_a_probe_with_good_figures_may_be_enabled() -> None:
    assert refusals(figures()) == []


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"auc": figure(0.74)}, "the lower bound of its AUC is 0.690, and must be at least 0.70"),
        ({"auc": Figure(value=1, low=float("nan"), high=float("nan"))}, "the lower bound of its AUC is nan"),
        ({"coverage_present": figure(0.8)}, "images with present for 0.850 at most"),
        ({"coverage_absent": figure(0.8)}, "images with absent for 0.850 at most"),
        ({"gain": figure(0.04)}, "not shown to be better than the linear probe"),
    ],
)
def test_a_figure_below_its_rule_is_named(changes: dict[str, Any], why: str) -> None:
    [told] = refusals(figures(**changes))

    assert why in told


def test_doubtful_coverage_does_not_forbid_and_a_shown_gain_allows() -> None:
    assert refusals(figures(coverage_present=figure(0.84), gain=figure(0.06))) == []


def test_auc_is_scikit_learns_with_ties() -> None:
    draw = np.random.default_rng(0)
    labels, scores = draw.integers(0, 2, 90).astype(float), np.round(draw.normal(size=90), 1)

    assert auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores))
    assert np.isnan(auc(np.ones(3), np.arange(3.0)))


def test_the_roc_curve_is_monotone_thinned_and_ends_in_the_corners() -> None:
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 2, 500).astype(float)
    x, y = roc(labels, labels + draw.normal(size=500))

    assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)
    assert len(x) <= ROC_POINTS
    assert (np.diff(x) >= 0).all()
    assert np.trapezoid(y, x) == pytest.approx(auc(labels, labels + np.random.default_rng(0).normal(size=500)), abs=0.3)


def test_a_telling_score_and_a_blind_one_are_told_apart() -> None:
    known, draw = truth(), np.random.default_rng(1)
    blind_N = draw.normal(size=80)
    telling_N = known.labels_N + 0.3 * draw.normal(size=80)
    passed_N = np.arange(80) >= 8

    good = measure(telling_N, known, passed_N=passed_N, probe_N=blind_N)
    poor = measure(blind_N, known, passed_N=passed_N, probe_N=None)

    assert good.auc.low > 0.9
    assert good.gain is not None
    assert good.gain.low > 0.2
    assert poor.auc.low < 0.5 < poor.auc.high
    assert refusals(good) == []
    assert len(refusals(poor)) >= 1
    assert good.gate_passed.value == pytest.approx(0.9)
    assert sum(good.present) == sum(good.absent) == 40


def test_patients_are_drawn_whole() -> None:
    draw = np.random.default_rng(0)
    labels = np.repeat(np.arange(20) % 2, 8).astype(float)
    scores = labels + np.repeat(draw.normal(size=20), 8)  # a patient's images say the same

    whole = Truth(labels, np.repeat(np.arange(20), 8)).with_interval(lambda rows: auc(labels[rows], scores[rows]))
    apart = Truth(labels, np.arange(160)).with_interval(lambda rows: auc(labels[rows], scores[rows]))

    assert whole.high - whole.low > 1.5 * (apart.high - apart.low)
