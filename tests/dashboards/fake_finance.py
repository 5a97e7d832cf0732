"""Made-up finance handlers: a toy scorecard whose contributions add up. Its figures mean nothing."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from pydantic import ValidationError

from tests.dashboards import fake_overrides
from verticals.contract import Artifact, Context, Handler, InvalidInput
from verticals.finance import VERTICAL
from verticals.finance import schemas as s
from verticals.finance import serving_schemas as serving
from verticals.finance.sources.schemas import SourceAspect, SourcePart, TextRequest, TextResponse

FACTOR, OFFSET, BASE = 28.8539, 487.1230, 521.0
SCALE = s.Scale(base_points=600, base_odds=50, pdo=20, factor=FACTOR, offset=OFFSET)
POLICY = s.Policy(
    name="cost-based",
    version="2026-01",
    effective_from=date(2026, 1, 1),
    approve_at=530,
    decline_below=500,
    cost_bad_approved=5.0,
    cost_good_declined=1.0,
    cost_review=0.2,
    rule="Cut-offs that minimise the expected cost on out-of-fold scores.",
    source="Cost matrix of the Statlog German credit data.",
)
MODEL = "1-0123456789ab"
_POINTS = {
    "checking_status": {"no_account": 14.0, "overdrawn": -23.6, "under_200_dm": -9.2, "200_dm_or_salary": 11.4},
    "credit_history": {"delay_in_the_past": -3.1, "critical_or_other_credits": -17.0, "all_paid_at_this_bank": 12.2},
    "savings": {"unknown_or_none": 9.0, "under_100_dm": -6.1, "500_to_1000_dm": 6.7, "1000_dm_or_more": 12.0},
    "employment_since": {"unemployed": -6.4, "under_1_year": -8.0, "7_years_or_more": 5.8},
    "purpose": {"car_new": -7.2, "car_used": 13.0, "radio_television": 6.1, "vacation": -2.0},
    "other_debtors": {"guarantor": 8.0, "none": -0.4},
    "other_installment_plans": {"bank": -8.4, "stores": -7.0, "none": 1.9},
}


def _contribution(name: str, value: Any) -> s.Contribution:
    if name == "duration_months":
        points = (24 - value) * 0.6
    elif name == "credit_amount_dm":
        points = (4000 - value) / 700
    else:
        points = _POINTS.get(name, {}).get(value, 0.0)
    shown = value if value is None or isinstance(value, int) else str(value)
    return s.Contribution(
        feature=name,
        label=s.FEATURE_LABELS[name],
        value=shown,
        bin=str(value),
        woe=points / 20,
        points=points,
        logit=-points / FACTOR,
    )


def sources(customer: str | None) -> list[SourcePart]:
    """A text that counts, a document in the shadow, no history; none without a customer."""
    if customer is None:
        return []
    same = {"model_version": "finance.sources@1", "synthetic": True, "points": 0.0, "logit": 0.0, "shadow_logit": None}
    told = SourceAspect(name="sentence_2_of_3", text="sentence 2 of 3")
    when = datetime(2026, 11, 20, tzinfo=UTC)
    text = {"state": "used", "because": "", "bound": 1.5, "logit": 0.5, "points": -0.5 * FACTOR, "aspects": [told]}
    document = {"state": "shadow", "because": "made up", "bound": 1.5, "shadow_logit": 0.3, "aspects": []}
    history = {"state": "missing", "because": "nothing is on file", "bound": 2.0, "as_of": None, "aspects": []}
    return [
        SourcePart.model_validate(same | {"source": name, "label": name, "as_of": when} | one)
        for name, one in (("history", history), ("text", text), ("document", document))
    ]


def score(request: s.ScoreRequest) -> s.ScoreResponse:
    """A score whose parts add up."""
    contributions = [_contribution(name, getattr(request, name)) for name in s.FEATURE_LABELS]
    read = sources(request.customer)
    exact = BASE + sum(one.points for one in contributions) + sum(part.points for part in read)
    logit = (OFFSET - exact) / FACTOR
    worst = sorted((one for one in contributions if one.points < 0), key=lambda one: one.points)[:4]
    unknown = [one.label for one in contributions if one.value is None]
    decision: s.Decision = (
        "approve" if exact >= POLICY.approve_at else "refer" if exact >= POLICY.decline_below else "decline"
    )
    prob = 1 / (1 + math.exp(-logit))
    return s.ScoreResponse(
        application_id=request.application_id or "made-1",
        points=round(exact),
        points_exact=exact,
        prob_default=prob,
        logit=logit,
        scale=SCALE,
        base_points=BASE,
        base_logit=(OFFSET - BASE) / FACTOR,
        contributions=contributions,
        reasons=[
            s.Reason(
                code=f"F{idx:02d}",
                feature=one.feature,
                text=f"{one.label} is less favourable than average",
                points_lost=-one.points,
            )
            for idx, one in enumerate(worst, 1)
        ],
        other_points=sum(one.points for one in contributions if one not in worst) + sum(p.points for p in read),
        sources=read,
        synthetic=bool(read),
        reason_profile="test-1",
        decision="refer" if unknown else decision,
        refer_because=[f"{name} is not known." for name in unknown],
        policy=POLICY,
        challenger=None,
        challengers=[s.ChallengerScore(name="MoE", model_version="1-ba9876543210", prob_default=min(prob * 1.1, 1))],
        model_version=MODEL,
        data_note="Trained on the Statlog German credit data (1973-75), 1,000 applicants.",
    )


def _explain(request: serving.ExplainRequest) -> serving.ExplainResponse:
    found = score(s.ScoreRequest(**request.model_dump(mode="json")))
    same = found.model_dump(include=set(serving.ExplainResponse.model_fields) & set(s.ScoreResponse.model_fields))
    return serving.ExplainResponse(reason_source="made up", policy_version=POLICY.version, **same)


def _counterfactual(request: serving.CounterfactualRequest) -> serving.CounterfactualResponse:
    """One way: a guarantor."""
    application = request.model_dump(mode="json", exclude={"limit"})
    now, then = (
        score(s.ScoreRequest(**application | change)).points for change in ({}, {"other_debtors": "guarantor"})
    )
    change = serving.Change(feature="other_debtors", label="x", value=request.other_debtors, to="guarantor", text="x")
    return serving.CounterfactualResponse(
        points=now,
        approve_at=POLICY.approve_at,
        approved=False,
        ways=[serving.Way(changes=[change], points=then, steps=1)],
        explanation="Made up.",
        fixed=[],
        model_version=MODEL,
        policy_version=POLICY.version,
        data_note="Made up.",
    )


def _batch(request: s.BatchRequest) -> Artifact:
    rows = list(csv.DictReader(io.StringIO(request.file.open().read().decode())))
    if not rows:
        raise InvalidInput("must hold at least one row", field="file", remedy="Add a row under the header.")
    out = io.StringIO()
    writer = csv.DictWriter(out, [*rows[0], *(name for name in s.RESULT_COLUMNS if name not in rows[0])])
    writer.writeheader()
    for row in rows:
        result: dict[str, Any] = dict.fromkeys(s.RESULT_COLUMNS, "")
        try:
            found = score(s.ScoreRequest.model_validate({name: value or None for name, value in row.items()}))
            result |= {"points": found.points, "prob_default": f"{found.prob_default:.6f}", "decision": found.decision}
        except ValidationError as error:
            first = error.errors()[0]
            result["error"] = f"{first['loc'][0]}: {first['msg']}"
        writer.writerow(row | result)
    return Artifact(out.getvalue().encode(), "text/csv", "scored.csv")


def _file_text(request: TextRequest) -> TextResponse:
    """Kept for whoever asks, in English alone."""
    if not request.text.isascii():
        raise InvalidInput("must be in English, all that fake reads", field="text", remedy="Write it in English.")
    part = sources(request.customer)[1]
    same = {"customer": request.customer, "reader_version": "fake@1", "synthetic": True}
    return TextResponse(evidence="e-1", part=part, **same)


def _distribution() -> s.DistributionResponse:
    bins = []
    for low in range(430, 610, 10):
        count = round(1000 * 10 / (32 * math.sqrt(2 * math.pi)) * math.exp(-((low + 5 - 524) ** 2) / (2 * 32**2)))
        where = "approve" if low >= 530 else "refer" if low >= 500 else "decline"
        counts = dict.fromkeys(("approve", "refer", "decline"), 0) | {where: count}
        bins.append(s.DistributionBin(low=low, high=low + 10, defaults=count // 3, **counts))
    bands = []
    for name, rate in (("approve", 0.12), ("refer", 0.31), ("decline", 0.58)):
        count = sum(getattr(one, name) for one in bins)
        bands.append(
            s.DecisionBand(
                decision=name, count=count, share=count / 1000, defaults=round(count * rate), default_rate=rate
            )
        )
    return s.DistributionResponse(
        model_version=MODEL, n=1000, bins=bins, bands=bands, policy=POLICY, note="Out of fold, made up for tests."
    )


def _model() -> s.ModelResponse:
    features = [
        s.Feature(
            name=name,
            label=label,
            kind="nominal",
            iv=0.6 / idx,
            coefficient=-0.8,
            bins=[
                s.Bin(label=value, count=120, defaults=30, default_rate=0.25, woe=points / 20, points=points)
                for value, points in _POINTS.get(name, {"all": 0.0}).items()
            ],
        )
        for idx, (name, label) in enumerate(s.FEATURE_LABELS.items(), 1)
    ]
    figures = [
        s.Figure(name=name, model=model, value=value + step, low=value + step - 0.03, high=value + step + 0.03, n=1000)
        for name, value in (("AUC", 0.78), ("KS", 0.46), ("Brier", 0.166))
        for model, step in (("scorecard", 0.0), ("challenger", 0.012))
    ]
    return s.ModelResponse(
        name="finance.scorecard",
        model_version=MODEL,
        sha256="0" * 64,
        trained_on="Statlog German credit, 1,000 applicants (made-up figures for tests)",
        licence="CC BY 4.0",
        recipe="Weights of evidence in monotone bins, logistic regression, fixed seed.",
        limits="Historical data of one bank, 1973-75. Not for present decisions.",
        scale=SCALE,
        base_points=BASE,
        base_logit=-1.0,
        features=features,
        excluded=[s.Excluded(name="personal_status_and_sex", reason="May not be considered.")],
        validation="Made-up figures for tests.",
        figures=figures,
        calibration=[],
        policy=POLICY,
        reason_profile="test-1",
        challenger="1-ba9876543210",
    )


def handlers(*, filled: bool) -> Mapping[str, Handler]:
    """Handlers with their own memory of decisions."""
    decided: list[s.DecisionItem] = []

    def keep(found: s.ScoreResponse, when: datetime) -> s.ScoreResponse:
        same = found.model_dump(include={"application_id", "points", "prob_default", "decision", "model_version"})
        decided.insert(0, s.DecisionItem(policy_version=POLICY.version, created_at=when, **same))
        return found

    if filled:
        body = next(iter(VERTICAL.operations[0].examples.values()))
        for idx in range(120):
            request = s.ScoreRequest.model_validate(
                dict(body) | {"application_id": f"app-{idx:04d}", "duration_months": 6 + idx % 54}
            )
            keep(score(request), datetime(2026, 11, 20, tzinfo=UTC) + timedelta(minutes=7 * idx))

    def decisions(request: s.DecisionsRequest, _context: Context) -> s.DecisionPage:
        items = decided[request.offset : request.offset + request.limit]
        return s.DecisionPage(items=items, total=len(decided), limit=request.limit, offset=request.offset)

    return fake_overrides.handlers(decided) | {
        "score": lambda request, _context: keep(score(request), datetime.now(UTC)),
        "explain": lambda request, _context: _explain(request),
        "counterfactual": lambda request, _context: _counterfactual(request),
        "score_batch": lambda request, _context: _batch(request),
        "model": lambda _request, _context: _model(),
        "distribution": lambda _request, _context: _distribution(),
        "decisions": decisions,
        "file_text": lambda request, _context: _file_text(request),
    }
