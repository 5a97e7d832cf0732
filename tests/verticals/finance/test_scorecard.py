"""The scorecard: equal to optbinning, monotone, exactly additive, the same for a row and a table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optbinning import Scorecard as OptbinningScorecard
from sklearn.linear_model import LogisticRegression

from tests.verticals.finance.applications import applications, body
from verticals.contract import InvalidInput
from verticals.finance import schemas
from verticals.finance.data import FEATURES, load_german
from verticals.finance.fit import SHRINKAGE_C, binning_frame, fit_binning, fit_scorecard
from verticals.finance.scorecard import Scorecard
from verticals.finance.scoring import Models


def columns_of(rows: list[schemas.ScoreRequest]) -> dict[str, list[object]]:
    return {f.name: [getattr(r, f.name) for r in rows] for f in FEATURES}


def test_woe_and_points_equal_optbinning(models: Models) -> None:
    """Oracle: optbinning's own transform and its own scaled scorecard, on the whole sample."""
    frame, default = load_german()
    ours = models.scorecard.score(frame)
    binning = fit_binning(frame, default)
    oracle = OptbinningScorecard(
        binning_process=binning,
        estimator=LogisticRegression(C=SHRINKAGE_C, tol=1e-10, max_iter=1000),
        scaling_method="pdo_odds",
        scaling_method_params={"pdo": 20, "odds": 50, "scorecard_points": 600},
    ).fit(binning_frame(frame), default)

    assert np.abs(ours.woe - binning.transform(binning_frame(frame), metric="woe").to_numpy()).max() < 1e-6
    assert np.abs(ours.points - oracle.score(binning_frame(frame))).max() < 1e-6
    assert np.abs(ours.prob_default - oracle.predict_proba(binning_frame(frame))[:, 1]).max() < 1e-6


def test_default_rates_and_points_are_monotone_along_ordered_fields(models: Models) -> None:
    trends = {f.name: f.trend for f in FEATURES}
    for f in models.scorecard.features:
        if trends[f.name] == "none":
            continue
        woe = np.array([b.woe for b in f.bins]) * (1 if trends[f.name] == "descending" else -1)
        points = np.array([models.scorecard.bin_points(f, b.woe) for b in f.bins])

        assert (np.diff(woe) > 0).all()
        assert (np.diff(points) * (1 if trends[f.name] == "descending" else -1) > 0).all()


def test_no_weight_rewards_the_riskier_bins(models: Models) -> None:
    assert all(f.coefficient < 0 for f in models.scorecard.features)


@settings(max_examples=60, deadline=None)
@given(application=applications(), more=st.integers(1, 60))
def test_a_longer_term_never_raises_the_score(models: Models, application: schemas.ScoreRequest, more: int) -> None:
    longer = application.model_copy(update={"duration_months": min(120, application.duration_months + more)})
    scores = models.scorecard.score(columns_of([application, longer]))

    assert scores.points[1] <= scores.points[0]


@settings(max_examples=60, deadline=None)
@given(application=applications())
def test_contributions_sum_to_the_score(models: Models, application: schemas.ScoreRequest) -> None:
    scores = models.scorecard.score(columns_of([application]))

    assert models.scorecard.base_points + scores.contributions[0].sum() == pytest.approx(scores.points[0], abs=1e-9)
    assert models.scorecard.scaling.points(scores.logit[0]) == pytest.approx(scores.points[0], abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(rows=st.lists(applications(), min_size=1, max_size=40))
def test_a_row_alone_scores_exactly_as_in_a_table(models: Models, rows: list[schemas.ScoreRequest]) -> None:
    together = models.scorecard.score(columns_of(rows))
    alone = [models.scorecard.score(columns_of([r])) for r in rows]

    assert together.points.tolist() == [a.points[0] for a in alone]
    assert together.prob_default.tolist() == [a.prob_default[0] for a in alone]


def test_the_average_applicant_has_the_base_points(models: Models) -> None:
    frame, _ = load_german()

    assert models.scorecard.score(frame).points.mean() == pytest.approx(models.scorecard.base_points, abs=1e-6)


def test_a_missing_value_is_neutral_evidence_in_its_own_bin(models: Models) -> None:
    row = columns_of([schemas.ScoreRequest.model_validate(body(savings=None))])
    scores = models.scorecard.score(row)
    at = [f.name for f in models.scorecard.features].index("savings")

    assert scores.woe[0, at] == 0
    assert scores.bins[0, at] == len(models.scorecard.features[at].bins)


def test_an_unseen_category_is_refused_with_the_allowed_ones(models: Models) -> None:
    row = columns_of([schemas.ScoreRequest.model_validate(body())]) | {"purpose": ["yacht"]}

    with pytest.raises(InvalidInput, match=r"purpose: must be one of .*car_new.*'yacht'"):
        models.scorecard.score(row)


def test_a_missing_column_is_refused(models: Models) -> None:
    with pytest.raises(InvalidInput, match="checking_status: the scorecard needs this column"):
        models.scorecard.score({})


def test_json_is_readable_and_comes_back_the_same(models: Models) -> None:
    content = models.scorecard.to_json()

    assert Scorecard.from_json(content) == models.scorecard
    assert b'"checking_status"' in content
    assert b'"coefficient"' in content


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(ValueError, match="scorecard format must be 1"):
        Scorecard.from_json(b'{"format": 99}')


def test_a_field_that_would_reward_its_riskier_bins_gets_no_weight() -> None:
    """Seeded suppressor: amounts rise with the term, but among equal terms the bad credits are the smaller ones."""
    frame, default = load_german()
    noise = np.random.default_rng(5).normal(0, 300, len(frame))
    amount = (5000 + 100 * frame["duration_months"] - 350 * default + noise).astype(int)
    fitted = fit_scorecard(frame.assign(credit_amount_dm=amount), default)

    weight = {f.name: f.coefficient for f in fitted.features}
    assert weight.pop("credit_amount_dm") == 0
    assert all(w < 0 for w in weight.values())


def test_bins_count_the_whole_sample(models: Models) -> None:
    for f in models.scorecard.features:
        assert sum(b.count for b in f.bins) == 1000
        assert sum(b.defaults for b in f.bins) == 300


def test_a_changed_weight_changes_the_score(models: Models) -> None:
    first, *rest = models.scorecard.features
    changed = replace(models.scorecard, features=(replace(first, coefficient=0.0), *rest))
    row = columns_of([schemas.ScoreRequest.model_validate(body())])

    assert changed.score(row).points[0] != models.scorecard.score(row).points[0]
