"""The scorer learns, explains exactly, keeps its constraints, and is a scikit-learn estimator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from tests.verticals.finance.moe.conftest import MONOTONE, ORDERS, QUICK, portfolio
from verticals.finance.metrics import auc, calibration_slope
from verticals.finance.moe.estimator import MoEScorer
from verticals.finance.moe.fit import Recipe
from verticals.finance.scorecard import Scorecard

Sample = tuple[pd.DataFrame, np.ndarray]
PERTURBATIONS = 10_000


@parametrize_with_checks([MoEScorer(recipe=Recipe(num_steps=50, learning_rate=0.1, field_dropout=0.0), num_members=2)])
def test_it_is_a_scikit_learn_classifier(estimator: Any, check: Any) -> None:
    check(estimator)


def test_it_finds_the_risk_and_is_calibrated_on_new_applicants(scorer: MoEScorer) -> None:
    frame, default = portfolio(3000, seed=1)

    prob = scorer.predict_proba(frame)[:, 1]

    assert auc(default.astype(float), prob) > 0.75
    assert 0.75 < calibration_slope(default.astype(float), prob) < 1.35


def test_contributions_sum_to_the_logit(scorer: MoEScorer, sample: Sample) -> None:
    frame, card = sample[0], scorer.scorecard_

    scores = card.score({name: frame[name] for name in frame})

    total = card.base_logit - scores.contributions.sum(axis=1) / card.scaling.factor
    np.testing.assert_allclose(total, scores.logit, rtol=0, atol=1e-6)


def test_table_and_network_give_the_same_points(scorer: MoEScorer, sample: Sample) -> None:
    frame, _ = sample
    raw = scorer.members_.logit(frame)

    points = scorer.scorecard_.scaling.points(scorer.decision_function(frame))

    slope, shift = scorer.calibration_
    np.testing.assert_allclose(scorer.scorecard_.scaling.points(shift + slope * raw), points, rtol=0, atol=1e-3)


def test_no_perturbation_breaks_a_monotone_field(scorer: MoEScorer) -> None:
    frame, _ = portfolio(PERTURBATIONS, seed=2)
    rng = np.random.default_rng(3)
    worse = frame.copy()
    worse["amount"] += rng.gamma(1.0, 2000.0, PERTURBATIONS)
    place = {c: i for i, c in enumerate(ORDERS["savings"])}
    lower = (frame["savings"].map(place) * rng.random(PERTURBATIONS)).astype(int)
    worse["savings"] = [ORDERS["savings"][i] for i in lower]

    gap = scorer.decision_function(worse) - scorer.decision_function(frame)

    assert int((gap < 0).sum()) == 0
    assert float(gap.max()) > 0.5


def test_neutralising_the_first_reason_raises_the_score(scorer: MoEScorer, sample: Sample) -> None:
    """Neutral: the field's mean effect in the development sample."""
    frame, card = sample[0], scorer.scorecard_
    scores = card.score({name: frame[name] for name in frame})
    first_N = scores.contributions.argmin(axis=1)

    lost_N = scores.contributions[np.arange(len(frame)), first_N]
    neutral_N = scores.points - lost_N

    assert (neutral_N[lost_N < 0] > scores.points[lost_N < 0]).all()
    assert (lost_N < 0).mean() > 0.9


def test_pandas_polars_and_arrow_give_the_same_scores(scorer: MoEScorer, sample: Sample) -> None:
    frame, _ = sample
    expected = scorer.decision_function(frame)

    for table in (pl.from_pandas(frame), pa.Table.from_pandas(frame)):
        np.testing.assert_array_equal(scorer.decision_function(table), expected)


def test_fitting_again_gives_the_same_bytes_and_they_read_back(scorer: MoEScorer, sample: Sample) -> None:
    again = MoEScorer(recipe=QUICK, num_members=3, teacher_share=0.3, monotone=MONOTONE, orders=ORDERS).fit(*sample)

    content = scorer.scorecard_.to_json()

    assert again.scorecard_.to_json() == content
    assert Scorecard.from_json(content) == scorer.scorecard_


def test_a_category_that_training_lacked_is_scored_as_missing(scorer: MoEScorer, sample: Sample) -> None:
    frame = sample[0].head(1)
    unseen, missing = frame.assign(region="overseas"), frame.assign(region=None)

    assert scorer.decision_function(unseen) == scorer.decision_function(missing)


def test_a_missing_value_that_training_had_carries_its_own_effect(scorer: MoEScorer) -> None:
    income = next(f for f in scorer.scorecard_.features if f.name == "income")

    assert income.missing_woe < income.mean_woe  # the made-up portfolio's incomes are missing where risk is higher


def test_bad_parameters_are_refused(sample: Sample) -> None:
    with pytest.raises(ValueError, match="num_members must be 2 or more"):
        MoEScorer(num_members=1).fit(*sample)
    with pytest.raises(ValueError, match="num_members: must be at most the rows of the rarer class"):
        MoEScorer(num_members=5).fit(sample[0].head(8), np.array([0, 0, 0, 0, 0, 0, 1, 1]))


def test_an_effect_that_is_a_line_goes_as_far_as_few_events_say() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({f"x{i}": rng.normal(size=2000) for i in range(6)})
    default = (rng.random(2000) < 1 / (1 + np.exp(3.2 - frame["x0"]))).astype(int)  # 110 events
    scorer = MoEScorer().fit(frame, default)
    ends = pd.DataFrame({f"x{i}": np.zeros(2) for i in range(6)}).assign(x0=[-1.5, 1.5])
    low, high = scorer.decision_function(ends)

    assert 2.2 < high - low < 3.8  # the truth is 3
