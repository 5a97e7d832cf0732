"""Ways to an approval: feasible, sufficient, minimal, found whenever there are any; and exact explanations."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from benchmarks.finance_setting import random_applications
from tests.verticals.finance.applications import applications, body
from verticals.contract import Context, Handler
from verticals.finance import VERTICAL, schemas, serving_schemas
from verticals.finance.counterfactual import ACTIONS, counterfactual
from verticals.finance.data import FEATURES
from verticals.finance.explain import explain
from verticals.finance.fields import CATEGORIES, LIMITS
from verticals.finance.scoring import Models, assess

_QUIET = [HealthCheck.function_scoped_fixture]


def ask(models: Models, application: schemas.Application, limit: int = 20) -> serving_schemas.CounterfactualResponse:
    fields = application.model_dump(exclude={"application_id", "customer"})
    return counterfactual(models, serving_schemas.CounterfactualRequest(**fields, limit=limit))


def decision(models: Models, application: schemas.Application, **changes: Any) -> str:
    changed = schemas.Application.model_validate(
        application.model_dump(exclude={"application_id", "customer"}) | changes
    )
    return assess(models, [("x", changed)])[0].decision


@settings(max_examples=60, suppress_health_check=_QUIET)
@given(application=applications())
def test_each_way_is_feasible_sufficient_and_needs_all_of_its_changes(
    models: Models, application: schemas.ScoreRequest
) -> None:
    for way in ask(models, application).ways:
        changes = {c.feature: c.to for c in way.changes}

        assert decision(models, application, **changes) == "approve"
        for left_out in changes:
            assert decision(models, application, **{n: v for n, v in changes.items() if n != left_out}) != "approve"
        for name, to in changes.items():
            before = getattr(application, name)
            assert ACTIONS[name]
            assert to < before if name in LIMITS else CATEGORIES[name].index(to) > CATEGORIES[name].index(before)


@settings(max_examples=15, suppress_health_check=_QUIET)
@given(application=applications(missing=False))
def test_none_is_said_to_exist_only_when_no_combination_of_permitted_values_is_enough(
    models: Models, application: schemas.ScoreRequest
) -> None:
    found = ask(models, application)
    if found.ways or found.approved:
        return
    # Every category that may be reached, and the best number: the lowest inside the development sample.
    options: dict[str, list[Any]] = {}
    for f in models.scorecard.features:
        value = getattr(application, f.name)
        if ACTIONS.get(f.name) == "higher":
            options[f.name] = list(CATEGORIES[f.name][CATEGORIES[f.name].index(value) :])
        elif ACTIONS.get(f.name) == "to the last":
            options[f.name] = [value, CATEGORIES[f.name][-1]]
        elif f.name in ACTIONS:
            options[f.name] = [value, min(value, int(f.seen_low or 0))]
    tried = [
        schemas.Application.model_validate(
            application.model_dump(exclude={"application_id", "customer"}) | dict(zip(options, values, strict=True))
        )
        for values in product(*options.values())
    ]

    assert all(a.decision != "approve" for a in assess(models, [("x", t) for t in tried]))


def test_ways_come_with_the_fewest_fields_first(models: Models) -> None:
    ways = ask(
        models, schemas.Application.model_validate({k: v for k, v in body().items() if k != "application_id"})
    ).ways

    assert ways
    assert [len(w.changes) for w in ways] == sorted(len(w.changes) for w in ways)
    assert all(c.feature in ACTIONS for w in ways for c in w.changes)


def test_an_approved_application_needs_no_way(models: Models) -> None:
    steady = next(o for o in VERTICAL.operations if o.name == "score").examples["steady"]
    fields = {name: value for name, value in steady.items() if name != "application_id"}
    found = ask(models, schemas.Application.model_validate(fields))

    assert (found.approved, found.ways, found.explanation) == (True, [], "It is approved as it is.")


@pytest.mark.parametrize("field", ["purpose", "savings", "credit_history"])
def test_what_a_person_must_decide_has_no_way_and_says_why(models: Models, field: str) -> None:
    fields = {k: v for k, v in body(**{field: None}).items() if k != "application_id"}
    found = ask(models, schemas.Application.model_validate(fields))

    assert found.ways == []
    assert (
        found.explanation
        == f"The policy does not approve it, whatever the score: {schemas.FEATURE_LABELS[field]}: not known."
    )


def test_an_amount_beyond_the_sample_must_come_down(models: Models) -> None:
    fields = {k: v for k, v in body(credit_amount_dm=90_000).items() if k != "application_id"}
    ways = ask(models, schemas.Application.model_validate(fields)).ways

    assert ways
    assert all("credit_amount_dm" in {c.feature for c in way.changes} for way in ways)


def test_nothing_is_recorded(handlers: Mapping[str, Handler], context: Context, recorder: Any) -> None:
    fields = {k: v for k, v in body().items() if k != "application_id"}
    handlers["explain"](serving_schemas.ExplainRequest.model_validate(fields), context)
    handlers["counterfactual"](serving_schemas.CounterfactualRequest.model_validate(fields), context)

    assert recorder.calls == 0


# --- explanations ---------------------------------------------------------------------------------------------------


@settings(max_examples=100, suppress_health_check=_QUIET)
@given(application=applications())
def test_contributions_sum_to_the_logit(models: Models, application: schemas.ScoreRequest) -> None:
    found = explain(models, application)

    assert found.base_logit + sum(c.logit for c in found.contributions) == pytest.approx(found.logit, abs=1e-9)


@settings(max_examples=200, suppress_health_check=_QUIET)
@given(application=applications())
def test_neutralising_the_first_reason_raises_the_score_always(
    models: Models, application: schemas.ScoreRequest
) -> None:
    """Neutral is the average applicant's: the field's contribution becomes 0. So is the best value of the field."""
    found = explain(models, application)
    if not found.reasons:
        return
    first = found.reasons[0]
    lost = next(c.points for c in found.contributions if c.feature == first.feature)
    feature = next(f for f in models.scorecard.features if f.name == first.feature)
    best = max(feature.bins, key=lambda b: b.woe)
    better = best.categories[0] if best.categories else int(best.low or 1)
    changed = assess(models, [("x", application.model_copy(update={first.feature: better}))])[0]

    assert found.points_exact - lost > found.points_exact
    assert changed.points_exact > found.points_exact


def test_no_perturbation_breaks_a_monotone_field(models: Models) -> None:
    """10,000 random moves of an ordered or numeric field towards less risk never lower the score."""
    rows = random_applications(10_000, seed=11, models=models)
    rng = np.random.default_rng(12)
    columns = {f.name: [getattr(r, f.name) for r in rows] for f in FEATURES}
    moved = {name: list(values) for name, values in columns.items()}
    ordered = [f for f in FEATURES if f.trend != "none"]
    for i in range(len(rows)):
        f = ordered[int(rng.integers(len(ordered)))]
        value = moved[f.name][i]
        if value is None:
            continue
        if f.categories:  # the default rate falls along the order
            place = f.categories.index(str(value))
            moved[f.name][i] = f.categories[int(rng.integers(place, len(f.categories)))]
        else:
            moved[f.name][i] = int(rng.integers(LIMITS[f.name][0], value + 1))
    before, after = models.scorecard.score(columns).points, models.scorecard.score(moved).points

    assert int((after < before).sum()) == 0


@settings(max_examples=100, suppress_health_check=_QUIET)
@given(application=applications())
def test_an_explanation_decides_as_the_score_does(models: Models, application: schemas.ScoreRequest) -> None:
    found = explain(models, application)
    [scored] = assess(models, [("x", application)])

    assert (found.decision, found.refer_because, found.declined_because) == (
        scored.decision,
        scored.refer_because,
        scored.declined_because,
    )
    assert found.policy_version == models.policy.version
