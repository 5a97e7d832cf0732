"""Consumer credit: a score, its reasons and a decision, one application or a file at a time. Imports schemas only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from verticals.contract import Artifact, ContextOf, Handler, Operation, Progress, Resources, Suite, Vertical
from verticals.finance import schemas, serving_schemas
from verticals.finance.documents.operations import DOCUMENT_OPERATIONS
from verticals.finance.fraud.operations import CARD_OPERATIONS, CASE_OPERATIONS
from verticals.finance.histories.operations import HISTORY_OPERATIONS
from verticals.finance.live import LIVE_MODELS
from verticals.finance.manual.operations import OVERRIDE_OPERATIONS
from verticals.finance.policy_operations import POLICY_OPERATIONS
from verticals.finance.portfolio.operations import PORTFOLIO_OPERATIONS
from verticals.finance.sources.operations import SOURCE_OPERATIONS
from verticals.finance.validation.operations import VALIDATION_OPERATIONS
from verticals.replaying import Kept, Replayed
from verticals.watched import Period, Watch


def _build(resources: Resources) -> Mapping[str, Handler]:
    from verticals.finance.handlers import build

    return build(resources)


def _evals(resources: Resources, handlers: Mapping[str, Handler]) -> Sequence[Suite]:
    from verticals.finance.evals import evals

    return evals(resources, handlers)


def _replay(kept: Kept, entry: Mapping[str, Any], given: Mapping[str, Any] | None) -> Replayed:
    from verticals.finance.replay import replay_entry

    return replay_entry(kept, entry, given)


def _demo(resources: Resources, progress: Progress) -> None:
    from verticals.finance.demo import demo

    demo(resources, progress)


def _watch(resources: Resources, period: Period) -> Watch:
    from verticals.finance.watching import watch

    return watch(resources, period)


def _recover(resources: Resources, context_of: ContextOf) -> int:
    from verticals.finance.handlers import recover

    return recover(resources)


_STEADY = {
    "application_id": "demo-1",
    "checking_status": "200_dm_or_salary",
    "duration_months": 12,
    "credit_history": "all_paid_at_this_bank",
    "purpose": "radio_television",
    "credit_amount_dm": 1800,
    "savings": "500_to_1000_dm",
    "employment_since": "7_years_or_more",
    "other_debtors": "none",
    "other_installment_plans": "none",
    "age_years": 45,
}
_STRAINED = {
    "application_id": "demo-2",
    "checking_status": "overdrawn",
    "duration_months": 48,
    "credit_history": "delay_in_the_past",
    "purpose": "car_new",
    "credit_amount_dm": 7500,
    "savings": "unknown_or_none",
    "employment_since": "under_1_year",
    "other_debtors": "none",
    "other_installment_plans": "bank",
    "age_years": 29,
}
_UNSURE = _STRAINED | {
    "application_id": "demo-3",
    "checking_status": "under_200_dm",
    "duration_months": 24,
    "credit_history": "existing_paid_so_far",
    "purpose": "furniture_equipment",
    "credit_amount_dm": 3200,
    "other_installment_plans": "none",
    "savings": None,
}


def _without_reference(example: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in example.items() if name != "application_id"}


VERTICAL = Vertical(
    name="finance",
    title="Credit scoring",
    summary="Scores consumer credit applications with exact reasons, a versioned policy and a challenger in shadow.",
    operations=(
        Operation(
            name="score",
            request=schemas.ScoreRequest,
            response=schemas.ScoreResponse,
            summary="Score one application: probability of default, points, reasons, decision.",
            path="/score",
            examples={"steady": _STEADY, "strained": _STRAINED, "savings not known": _UNSURE},
        ),
        Operation(
            name="score_batch",
            request=schemas.BatchRequest,
            response=Artifact,
            summary="Score a CSV file or an Arrow stream of any length; bad rows are reported in an `error` column.",
            path="/score/batch",
            streams_file=True,
        ),
        Operation(
            name="explain",
            request=serving_schemas.ExplainRequest,
            response=serving_schemas.ExplainResponse,
            summary="What makes up a score: contributions and reasons; nothing is decided or recorded.",
            path="/explain",
            recorded=False,
            examples={"strained": _without_reference(_STRAINED)},
        ),
        Operation(
            name="counterfactual",
            request=serving_schemas.CounterfactualRequest,
            response=serving_schemas.CounterfactualResponse,
            summary="The smallest changes a person can make that would approve an application, or that there are none.",
            path="/counterfactual",
            recorded=False,
            examples={"not approved": _without_reference(_UNSURE | {"savings": "under_100_dm"})},
        ),
        Operation(
            name="export",
            request=serving_schemas.ExportRequest,
            response=Artifact,
            summary="The scorecard in force as JSON table, SQL query or ONNX graph.",
            path="/export",
            method="GET",
            recorded=True,
        ),
        Operation(
            name="model",
            request=schemas.ModelRequest,
            response=schemas.ModelResponse,
            summary="The model card: bins, weights, validation figures with intervals, policy.",
            path="/model",
            method="GET",
        ),
        Operation(
            name="distribution",
            request=schemas.DistributionRequest,
            response=schemas.DistributionResponse,
            summary="Out-of-fold score distribution of the development sample by decision.",
            path="/distribution",
            method="GET",
        ),
        Operation(
            name="decisions",
            request=schemas.DecisionsRequest,
            response=schemas.DecisionPage,
            summary="Recent decisions, newest first.",
            path="/decisions",
            method="GET",
        ),
        *OVERRIDE_OPERATIONS,
        *VALIDATION_OPERATIONS,
        *POLICY_OPERATIONS,
        *PORTFOLIO_OPERATIONS,
        *HISTORY_OPERATIONS,
        *CARD_OPERATIONS,
        *CASE_OPERATIONS,
        *DOCUMENT_OPERATIONS,
        *SOURCE_OPERATIONS,
    ),
    build=_build,
    evals=_evals,
    demo=_demo,
    recover=_recover,
    replay=_replay,
    models=LIVE_MODELS,
    subjects=("customer", "application_id"),
    watch=_watch,
)
