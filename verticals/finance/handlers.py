"""The operations of credit scoring: answers, and the rows that a decision leaves behind. Computes no score."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from threading import Lock
from typing import get_args

import numpy as np
from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session, sessionmaker

from verticals.contract import Artifact, Context, Decision, Handler, ModelRegistry, Resources
from verticals.finance import batch, schemas
from verticals.finance.data import DATA_NOTE, EXCLUDED
from verticals.finance.policies import PolicyBook
from verticals.finance.policy import decide
from verticals.finance.reasons import PROFILE, bin_text
from verticals.finance.scoring import Assessment, Models, assess, input_sha256, load_models, respond, scale_of
from verticals.finance.strategy_handlers import StrategyDesk
from verticals.finance.tables import FinanceDecision
from verticals.finance.validation.handlers import ValidationDesk

BIN_POINTS = 10  # width of a bar of the distribution


def build(resources: Resources) -> Mapping[str, Handler]:
    """Operation name -> handler."""
    finance = Finance(resources.registry, resources.sessions)
    validation, policies = ValidationDesk(finance.serving, finance.model), finance.policies
    return {
        "score": finance.score,
        "score_batch": finance.score_batch,
        "model": finance.model,
        "distribution": finance.distribution,
        "decisions": finance.decisions,
        "validation": validation.validation,
        "validate_sample": validation.validate_sample,
        "model_document": validation.model_document,
        "expected_loss": validation.expected_loss,
        "simulate": StrategyDesk(finance.serving, policies).simulate,
        "policies": policies.list_policies,
        "policy": policies.get_policy,
        "store_policy": policies.store_policy,
        "activate_policy": policies.activate_policy,
        "roll_back_policy": policies.roll_back_policy,
    }


class Finance:
    """Handlers over one registry and one database. Models are read at the first use and then kept."""

    def __init__(self, registry: ModelRegistry, sessions: sessionmaker[Session]) -> None:
        self._registry = registry
        self._sessions = sessions
        self._lock = Lock()
        self._models: Models | None = None
        self.policies = PolicyBook(sessions, lambda: self._ready().scorecard.scaling)

    def score(self, request: schemas.ScoreRequest, context: Context) -> schemas.ScoreResponse:
        """Score one application and record the decision."""
        models = self.serving(context)
        pairs = [(request.application_id or _new_id(), request)]
        [found] = assess(models, pairs)
        self._keep(context, models, pairs, [found])
        return respond(models, found)

    def score_batch(self, request: schemas.BatchRequest, context: Context) -> Artifact:
        """Score the good rows of a file, report the bad ones, and record all decisions at once."""
        models, table = self.serving(context), batch.read(request.file)
        pairs = [(r.application.application_id or _new_id(), r.application) for r in table.rows if r.application]
        found = assess(models, pairs)
        self._keep(context, models, pairs, found)
        scored = iter(found)
        results = [_result(models, next(scored)) if row.application else {"error": row.error} for row in table.rows]
        content = batch.write(table, results, add_id=batch.ID not in table.header)
        return Artifact(content=content, media_type="text/csv; charset=utf-8", filename="scored.csv")

    def model(self, request: schemas.ModelRequest, context: Context) -> schemas.ModelResponse:
        """The model card with bins, weights and validation."""
        models = self.serving(context)
        card, scorecard = models.card, models.scorecard
        n = len(models.validation["out_of_fold"]["default"])
        figures = [
            schemas.Figure(model=name, n=n, **figure)
            for name, found in (("scorecard", models.validation), ("challenger", models.challenger_validation))
            for figure in found["figures"]
        ]
        return schemas.ModelResponse(
            name=card.name,
            model_version=models.version,
            sha256=card.sha256,
            trained_on=card.trained_on,
            licence=card.licence,
            recipe=card.recipe,
            limits=card.limits,
            scale=scale_of(scorecard),
            base_points=scorecard.base_points,
            base_logit=scorecard.base_logit,
            features=_features(models),
            excluded=[schemas.Excluded(name=name, reason=reason) for name, reason in EXCLUDED.items()],
            validation=models.validation["method"],
            figures=figures,
            calibration=[schemas.CalibrationBand(**band) for band in models.validation["calibration"]],
            policy=models.policy,
            reason_profile=PROFILE.version,
            challenger=models.challenger_version,
        )

    def distribution(self, request: schemas.DistributionRequest, context: Context) -> schemas.DistributionResponse:
        """Out-of-fold points of the development sample, by the active policy's decision."""
        models = self.serving(context)
        sample = models.validation["out_of_fold"]
        points, default = np.rint(sample["points"]).astype(int), np.array(sample["default"])
        decision = np.array([decide(int(p), models.policy, []) for p in points])
        start = int(points.min()) // BIN_POINTS * BIN_POINTS
        bins = []
        for low in range(start, int(points.max()) + 1, BIN_POINTS):
            inside = (points >= low) & (points < low + BIN_POINTS)
            counts = {name: int((decision[inside] == name).sum()) for name in get_args(schemas.Decision)}
            defaults = int(default[inside].sum())
            bins.append(schemas.DistributionBin(low=low, high=low + BIN_POINTS, defaults=defaults, **counts))
        return schemas.DistributionResponse(
            model_version=models.version,
            n=len(points),
            bins=bins,
            bands=[_band(name, decision, default) for name in get_args(schemas.Decision)],
            policy=models.policy,
            note=f"Out-of-fold scores of the development sample. {DATA_NOTE}",
        )

    def decisions(self, request: schemas.DecisionsRequest, context: Context) -> schemas.DecisionPage:
        """The tenant's decisions, newest first."""
        mine = select(FinanceDecision).where(FinanceDecision.tenant == context.tenant)
        with self._sessions() as session:
            total = session.scalar(select(func.count()).select_from(mine.subquery())) or 0
            page = session.scalars(
                mine.order_by(FinanceDecision.id.desc()).limit(request.limit).offset(request.offset)
            ).all()
        items = [
            schemas.DecisionItem.model_validate(
                {name: getattr(row, name) for name in schemas.DecisionItem.model_fields}
                | {"created_at": row.created_at.replace(tzinfo=row.created_at.tzinfo or UTC)}
            )
            for row in page
        ]
        return schemas.DecisionPage(items=items, total=total, limit=request.limit, offset=request.offset)

    def serving(self, context: Context) -> Models:
        """What answers the caller: the models in force under the tenant's policy in force."""
        return replace(self._ready(), policy=self.policies.active(context.tenant))

    def _ready(self) -> Models:
        with self._lock:
            if self._models is None:
                self._models = load_models(self._registry)
            return self._models

    def _keep(
        self,
        context: Context,
        models: Models,
        pairs: Sequence[tuple[str, schemas.Application]],
        found: Sequence[Assessment],
    ) -> None:
        """Write decision rows and audit entries in one transaction, before the answer goes out."""
        if not found:
            return
        common = {
            "tenant": context.tenant,
            "model_version": models.version,
            "policy_version": models.policy.version,
            "created_at": datetime.now(UTC),
        }
        rows = [
            common
            | {
                "application_id": f.application_id,
                "points": f.points,
                "prob_default": f.prob_default,
                "decision": f.decision,
            }
            for f in found
        ]
        audit = [_audit(models, application, f) for (_, application), f in zip(pairs, found, strict=True)]
        with self._sessions.begin() as session:
            session.execute(insert(FinanceDecision), rows)
            context.record(*audit, session=session)


def _new_id() -> str:
    return f"app-{uuid.uuid4().hex}"


def _audit(models: Models, application: schemas.Application, found: Assessment) -> Decision:
    return Decision(
        kind="finance.score",
        subject=found.application_id,
        input_sha256=input_sha256(application),
        outcome={
            "points": found.points,
            "prob_default": found.prob_default,
            "decision": found.decision,
            "reasons": [r.code for r in found.reasons],
            "challenger_prob_default": found.challenger_prob_default,
        },
        model_version=models.version,
        policy_version=models.policy.version,
    )


def _result(models: Models, found: Assessment) -> dict[str, object]:
    reasons = {f"reason_{i}": f"{r.code} {r.text}" for i, r in enumerate(found.reasons, start=1)}
    return reasons | {
        "application_id": found.application_id,
        "points": found.points,
        "points_exact": found.points_exact,
        "prob_default": found.prob_default,
        "decision": found.decision,
        "challenger_prob_default": "" if found.challenger_prob_default is None else found.challenger_prob_default,
        "model_version": models.version,
        "policy_version": models.policy.version,
    }


def _features(models: Models) -> list[schemas.Feature]:
    card = models.scorecard
    found = []
    for f in card.features:
        bins = [
            schemas.Bin(
                label=bin_text(f, i),
                count=b.count,
                defaults=b.defaults,
                default_rate=b.defaults / b.count if b.count else None,
                woe=b.woe,
                points=card.bin_points(f, b.woe),
            )
            for i, b in enumerate(f.bins)
        ]
        missing = schemas.Bin(
            label=bin_text(f, len(f.bins)),
            count=0,
            defaults=0,
            default_rate=None,
            woe=f.missing_woe,
            points=card.bin_points(f, f.missing_woe),
        )
        label = schemas.FEATURE_LABELS[f.name]
        found.append(
            schemas.Feature(
                name=f.name, label=label, kind=f.kind, iv=f.iv, coefficient=f.coefficient, bins=[*bins, missing]
            )
        )
    return found


def _band(name: schemas.Decision, decision: np.ndarray, default: np.ndarray) -> schemas.DecisionBand:
    inside = decision == name
    count, defaults = int(inside.sum()), int(default[inside].sum())
    return schemas.DecisionBand(
        decision=name,
        count=count,
        share=count / len(decision),
        defaults=defaults,
        default_rate=defaults / count if count else None,
    )
