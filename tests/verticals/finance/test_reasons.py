"""Reasons: at most four, distinct, specific, real, largest first."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from tests.verticals.finance.applications import applications, body
from verticals.finance import schemas
from verticals.finance.data import FEATURES
from verticals.finance.reasons import PROFILE, PROFILES, principal_reasons
from verticals.finance.scoring import Assessment, Models, assess
from verticals.finance.sources.names import SOURCES


def assessed(models: Models, application: schemas.ScoreRequest) -> Assessment:
    return assess(models, [("a", application)])[0]


@settings(max_examples=80, deadline=None)
@given(application=applications())
def test_reasons_are_the_largest_losses_distinct_and_at_most_four(
    models: Models, application: schemas.ScoreRequest
) -> None:
    found = assessed(models, application)
    lost = [r.points_lost for r in found.reasons]
    by_field = dict(zip([f.name for f in FEATURES], found.contributions.tolist(), strict=True))

    assert len(lost) <= 4
    assert lost == sorted(lost, reverse=True)
    assert len({r.code for r in found.reasons}) == len({r.feature for r in found.reasons}) == len(lost)
    assert [by_field[r.feature] for r in found.reasons] == [-x for x in lost]
    told = {r.feature for r in found.reasons}
    untold = [-points for name, points in by_field.items() if name not in told]
    if len(lost) == 4:
        assert max(untold) <= lost[-1]
    else:
        assert max(untold) < PROFILE.min_points


@settings(max_examples=60, deadline=None)
@given(application=applications())
def test_making_the_first_reason_average_raises_the_score(models: Models, application: schemas.ScoreRequest) -> None:
    found = assessed(models, application)
    if not found.reasons:
        return
    feature = next(f for f in models.scorecard.features if f.name == found.reasons[0].feature)
    average = models.scorecard.scaling.factor * feature.coefficient * feature.mean_woe
    here = models.scorecard.scaling.factor * feature.coefficient * found.woe[models.scorecard.features.index(feature)]

    assert found.points_exact + here - average > found.points_exact
    assert here - average == pytest.approx(found.reasons[0].points_lost)


@settings(max_examples=60, deadline=None)
@given(application=applications(missing=False))
def test_the_best_value_of_the_first_reason_raises_the_score(models: Models, application: schemas.ScoreRequest) -> None:
    """Told to improve on it, an applicant who does gets a better score: rescored through the whole path."""
    found = assessed(models, application)
    if not found.reasons:
        return
    name = found.reasons[0].feature
    feature = next(f for f in models.scorecard.features if f.name == name)
    best = max(feature.bins, key=lambda b: b.woe)
    value = best.categories[0] if best.categories else (best.low if best.high is None else best.high - 1)
    improved = schemas.ScoreRequest.model_validate(application.model_dump() | {name: value})

    assert assessed(models, improved).points_exact > found.points_exact


@settings(max_examples=60, deadline=None)
@given(application=applications())
def test_a_declined_applicant_is_always_told_why(models: Models, application: schemas.ScoreRequest) -> None:
    found = assessed(models, application)

    assert found.reasons or found.decision != "decline"


def test_a_reason_names_the_applicants_own_value(models: Models) -> None:
    found = assessed(models, schemas.ScoreRequest.model_validate(body(duration_months=60)))

    assert "Term of the credit is too long: 60 months" in [r.text for r in found.reasons]


def test_no_reason_is_told_for_fields_at_or_above_average() -> None:
    values = {f.name: None for f in FEATURES}

    assert principal_reasons(np.full(len(FEATURES), -0.5), values) == []


def test_every_scored_field_has_its_own_code_and_text() -> None:
    codes = {code for code, _ in PROFILE.texts.values()}

    assert set(PROFILE.texts) == {f.name for f in FEATURES} | set(SOURCES)
    assert len(codes) == len(PROFILE.texts)


def test_an_older_profile_is_kept_as_it_was() -> None:
    first, *_, last = PROFILES.values()

    assert (first.version, last.version) == ("us-reg-b/2026-07", PROFILE.version)
    assert set(first.texts) == {f.name for f in FEATURES}
    assert all(last.texts[name] == told for name, told in first.texts.items())
