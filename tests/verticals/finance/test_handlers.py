"""The operations, as a caller sees them: score, batch, model, distribution, decisions."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sqlalchemy import func, select

from tests.verticals.finance.applications import applications, body
from tests.verticals.finance.conftest import FolderRegistry, Recorder
from tests.verticals.finance.test_batch import csv_of
from verticals.contract import Context, Handler, Resources, Unavailable, UploadedFile
from verticals.finance import VERTICAL, schemas
from verticals.finance.data import FEATURES, load_german
from verticals.finance.scoring import Models
from verticals.finance.tables import FinanceDecision


def score(handlers: Mapping[str, Handler], context: Context, **changes: Any) -> schemas.ScoreResponse:
    found = handlers["score"](schemas.ScoreRequest.model_validate(body(**changes)), context)
    assert isinstance(found, schemas.ScoreResponse)
    return found


def score_file(handlers: Mapping[str, Handler], context: Context, content: bytes) -> list[dict[str, str]]:
    file = UploadedFile(filename="a.csv", content=content)
    found: Any = handlers["score_batch"](schemas.BatchRequest(file=file), context)
    return list(csv.DictReader(io.StringIO(b"".join(found.chunks).decode())))


def test_golden_application(handlers: Mapping[str, Handler], context: Context) -> None:
    """The strained example of the API's documentation, number by number."""
    found = score(handlers, context)

    assert found.points == 446
    assert found.points_exact == pytest.approx(446.4657881, abs=1e-5)
    assert found.prob_default == pytest.approx(0.8036188, abs=1e-6)
    assert [r.code for r in found.reasons] == ["F02", "F03", "F01", "F07"]
    assert found.reasons[0].points_lost == pytest.approx(27.0416778, abs=1e-5)
    assert found.decision == "decline"
    assert found.synthetic is False


def test_every_example_of_the_documentation_is_scored(handlers: Mapping[str, Handler], context: Context) -> None:
    examples = next(o for o in VERTICAL.operations if o.name == "score").examples
    decisions = {n: score(handlers, context, **dict(e)).decision for n, e in examples.items()}

    assert decisions == {"steady": "approve", "strained": "decline", "savings not known": "refer"}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(application=applications())
def test_contributions_and_reasons_sum_to_the_score(
    handlers: Mapping[str, Handler], context: Context, application: schemas.ScoreRequest
) -> None:
    found: Any = handlers["score"](application, context)

    assert found.base_points + sum(c.points for c in found.contributions) == pytest.approx(found.points_exact, abs=1e-9)
    assert found.base_logit + sum(c.logit for c in found.contributions) == pytest.approx(found.logit, abs=1e-9)
    lost = sum(r.points_lost for r in found.reasons)
    assert found.base_points - lost + found.other_points == pytest.approx(found.points_exact, abs=1e-9)
    assert found.points == round(found.points_exact)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(applications(), min_size=1, max_size=12))
def test_api_batch_and_table_give_the_same_numbers(
    handlers: Mapping[str, Handler], context: Context, models: Models, rows: list[schemas.ScoreRequest]
) -> None:
    one_by_one: list[Any] = [handlers["score"](r, context) for r in rows]
    dumped = [r.model_dump(mode="json", exclude={"application_id"}) for r in rows]
    from_file = score_file(handlers, context, csv_of(*dumped))
    table = models.scorecard.score({f.name: [d[f.name] for d in dumped] for f in FEATURES})

    assert [float(f["points_exact"]) for f in from_file] == [o.points_exact for o in one_by_one]
    assert [float(f["prob_default"]) for f in from_file] == [o.prob_default for o in one_by_one]
    assert [f["decision"] for f in from_file] == [o.decision for o in one_by_one]
    assert [float(f["challenger_prob_default"]) for f in from_file] == [o.challenger.prob_default for o in one_by_one]
    assert [float(f["moe_prob_default"]) for f in from_file] == [o.challengers[1].prob_default for o in one_by_one]
    assert table.points.tolist() == [o.points_exact for o in one_by_one]


def test_the_development_sample_scores_in_a_file_as_in_a_frame(
    handlers: Mapping[str, Handler], context: Context, models: Models
) -> None:
    frame, _ = load_german()
    from_file = score_file(handlers, context, frame.assign(age_years=40).to_csv(index=False).encode())

    assert [float(f["points_exact"]) for f in from_file] == models.scorecard.score(frame).points.tolist()
    assert len({f["application_id"] for f in from_file}) == 1000


def test_age_never_changes_the_score(handlers: Mapping[str, Handler], context: Context) -> None:
    scores = {score(handlers, context, age_years=age).points_exact for age in (18, 40, 62, 90, 120)}

    assert len(scores) == 1


@pytest.mark.parametrize("field", sorted(schemas.LABELS))
def test_a_value_that_is_not_known_is_referred(handlers: Mapping[str, Handler], context: Context, field: str) -> None:
    found = score(handlers, context, **{field: None})

    assert found.decision == "refer"
    assert found.refer_because == [f"{schemas.FEATURE_LABELS[field]}: not known"]


def test_a_value_outside_the_sample_is_referred(handlers: Mapping[str, Handler], context: Context) -> None:
    found = score(handlers, context, duration_months=96, credit_amount_dm=90_000)

    assert found.decision == "refer"
    assert found.refer_because == [
        "Term of the credit (months): outside the development sample (4 to 72)",
        "Credit amount (DM): outside the development sample (250 to 18,424)",
    ]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"age_years": 17}, "greater than or equal to 18"),
        ({"duration_months": 121}, "less than or equal to 120"),
        ({"credit_amount_dm": 99}, "greater than or equal to 100"),
        ({"credit_amount_dm": 2500.5}, "fractional part"),
        ({"duration_months": True}, "must be a whole number"),
        ({"credit_amount_dm": float("nan")}, "finite number"),
        ({"purpose": "yacht"}, "'car_new', 'car_used'"),
        ({"sex": "female"}, "Extra inputs are not permitted"),
        ({"application_id": "Jane Doe"}, "String should match pattern"),
    ],
)
def test_bad_input_is_refused_with_its_rule(change: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        schemas.ScoreRequest.model_validate(body(**change))


def test_a_field_left_out_is_refused_not_assumed() -> None:
    with pytest.raises(ValidationError, match=r"savings\n\s+Field required"):
        schemas.ScoreRequest.model_validate({k: v for k, v in body().items() if k != "savings"})


def test_a_decision_is_recorded_with_its_row_and_without_the_applicants_data(
    handlers: Mapping[str, Handler], context: Context, recorder: Recorder
) -> None:
    found = score(handlers, context)
    [kept] = recorder.decisions

    assert (kept.kind, kept.subject) == ("finance.score", "demo-2")
    assert kept.outcome["points"] == found.points
    assert kept.outcome["reasons"] == [r.code for r in found.reasons]
    assert (kept.model_version, kept.policy_version) == (found.model_version, found.policy.version)
    assert recorder.sessions[0] is not None
    assert "overdrawn" not in str(kept)


def test_the_fingerprint_depends_on_the_application_alone(
    handlers: Mapping[str, Handler], context: Context, recorder: Recorder
) -> None:
    score(handlers, context)
    score(handlers, context, application_id="another")
    score(handlers, context, duration_months=47)

    first, second, third = (d.input_sha256 for d in recorder.decisions)
    assert first == second != third


def test_nothing_is_kept_when_the_audit_fails(
    registry: FolderRegistry, make_resources: Callable[[Any], Resources]
) -> None:
    resources = make_resources(registry)
    broken = Context(
        tenant="bank", actor="k", request_id="r", record=Recorder(failure=Unavailable("the audit is down"))
    )

    with pytest.raises(Unavailable, match="the audit is down"):
        score(VERTICAL.build(resources), broken)
    with resources.sessions() as session:
        assert session.scalar(select(func.count()).select_from(FinanceDecision)) == 0


def test_a_batch_reports_bad_rows_scores_the_rest_and_records_once(
    handlers: Mapping[str, Handler], context: Context, recorder: Recorder
) -> None:
    rows = [body(application_id="a"), body(application_id="b", purpose="yacht"), body(application_id="c")]
    found = score_file(handlers, context, csv_of(*rows))

    assert [f["points"] for f in found] == ["446", "", "446"]
    assert [bool(f["error"]) for f in found] == [False, True, False]
    assert "got 'yacht'" in found[1]["error"]
    assert found[0]["reason_1"] == "F02 Term of the credit is too long: 48 months"
    assert [(d.kind, d.outcome["rows"]) for d in recorder.decisions] == [("finance.score_batch", 2)]
    assert recorder.calls == 1


def test_a_batch_of_bad_rows_only_records_nothing(
    handlers: Mapping[str, Handler], context: Context, recorder: Recorder
) -> None:
    found = score_file(handlers, context, csv_of(body(age_years=5)))

    assert found[0]["points"] == ""
    assert recorder.calls == 0


def test_decisions_are_paged_newest_first_and_kept_apart_by_tenant(
    handlers: Mapping[str, Handler], context: Context, recorder: Recorder
) -> None:
    for name in ("a", "b", "c"):
        score(handlers, context, application_id=name)
    other = Context(tenant="other", actor="k", request_id="r", record=recorder)

    page: Any = handlers["decisions"](schemas.DecisionsRequest(limit=2, offset=1), context)
    foreign: Any = handlers["decisions"](schemas.DecisionsRequest(), other)
    assert [i.application_id for i in page.items] == ["b", "a"]
    assert page.total == 3
    assert page.items[0].created_at.tzinfo is not None
    assert (foreign.items, foreign.total) == ([], 0)


def test_the_model_card_shows_bins_figures_exclusions_and_policy(
    handlers: Mapping[str, Handler], context: Context
) -> None:
    found: Any = handlers["model"](schemas.ModelRequest(), context)

    assert [f.name for f in found.features] == [f.name for f in FEATURES]
    assert all(f.bins[-1].label == "Not known" for f in found.features)
    assert {(f.model, f.name) for f in found.figures} >= {("scorecard", "AUC"), ("challenger", "Brier")}
    assert all(f.low <= f.value <= f.high for f in found.figures)
    assert "personal_status_sex" in {e.name for e in found.excluded}
    assert sum(b.count for b in found.calibration) == 1000
    assert found.policy.approve_at > found.policy.decline_below


def test_the_distribution_counts_every_applicant_once(handlers: Mapping[str, Handler], context: Context) -> None:
    found: Any = handlers["distribution"](schemas.DistributionRequest(), context)

    assert sum(b.approve + b.refer + b.decline for b in found.bins) == found.n == 1000
    assert sum(b.defaults for b in found.bins) == sum(b.defaults for b in found.bands) == 300
    rate = {b.decision: b.default_rate for b in found.bands}
    assert rate["approve"] < rate["refer"] < rate["decline"]


def test_without_a_model_the_answer_says_what_to_do(
    tmp_path: Any, context: Context, make_resources: Callable[[Any], Resources]
) -> None:
    handlers = VERTICAL.build(make_resources(FolderRegistry(tmp_path / "empty")))

    with pytest.raises(Unavailable, match=r"finance\.scorecard: no scorecard is registered"):
        score(handlers, context)


def test_every_model_in_shadow_says_what_it_would_have_said(handlers: Mapping[str, Handler], context: Context) -> None:
    found = score(handlers, context)

    assert [c.name for c in found.challengers] == ["LightGBM", "Mixture of experts"]
    assert found.challengers[0] == found.challenger
    assert all(0 < c.prob_default < 1 and c.prob_default != found.prob_default for c in found.challengers)


def test_without_a_challenger_the_scorecard_still_decides(
    tmp_path: Any, context: Context, registry: FolderRegistry, make_resources: Callable[[Any], Resources]
) -> None:
    alone = FolderRegistry(registry.root)
    alone.cards = {"finance.scorecard": registry.cards["finance.scorecard"]}
    found = score(VERTICAL.build(make_resources(alone)), context)

    assert found.challenger is None
    assert found.points == 446
