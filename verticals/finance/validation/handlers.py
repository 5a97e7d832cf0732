"""The operations of validation: report, report of a file, model document, expected loss. Computes no figure itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from threading import Lock

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from verticals.contract import Artifact, Context
from verticals.finance import schemas as finance
from verticals.finance.data import DATA_NOTE, FEATURES, SOURCE
from verticals.finance.model_card import model_card
from verticals.finance.portfolio.schemas import OverrideRow
from verticals.finance.scoring import Models
from verticals.finance.validation import document, expected_loss, schemas
from verticals.finance.validation.evidence import development_sample, read_sample
from verticals.finance.validation.manual import override_evidence
from verticals.finance.validation.pdf import to_pdf
from verticals.finance.validation.reject_report import compare
from verticals.finance.validation.rules import RULES, in_force
from verticals.finance.validation.sample import Array, ScoredSample, month_label
from verticals.finance.validation.sensitivity import Sensitivity, sensitivities
from verticals.finance.validation.suite import Question, run_suite

CENT = Decimal("0.01")


class ValidationDesk:
    """`models`: what serves the caller, with the policy in force; `overrides`: the caller's manual decisions of the
    last twelve months."""

    def __init__(
        self, models: Callable[[Context], Models], overrides: Callable[[Context], Sequence[OverrideRow]]
    ) -> None:
        self._models = models
        self._overrides = overrides
        self._lock = Lock()
        self._kept: tuple[tuple[str, finance.Policy, date], schemas.ValidationReport] | None = None

    def validation(self, request: schemas.ReportRequest, context: Context) -> schemas.ValidationReport:
        """The development sample, out of fold, made once a day for a model and a policy; manual decisions as now."""
        models = self._models(context)
        key = (models.version, models.policy, datetime.now(UTC).date())
        with self._lock:
            if self._kept is None or self._kept[0] != key:
                sample = development_sample(models)
                self._kept = key, _report(models, sample, None, f"{SOURCE}; out of fold")
            report = self._kept[1]
        rows = [*report.rows, *override_evidence(self._overrides(context))]
        return report.model_copy(
            update={"rows": rows, "grades": dict(Counter(row.grade for row in rows)), "rules": _rules(rows)}
        )

    def validate_sample(self, request: schemas.SampleReportRequest, context: Context) -> schemas.ValidationReport:
        """The applicants of a file, compared with the development sample."""
        models = self._models(context)
        sample, scored_by = read_sample(request.file, models.scorecard)
        return _report(models, sample, development_sample(models), f"{len(sample):,} applicants of a file, {scored_by}")

    def reject_inference(
        self, request: schemas.RejectInferenceRequest, context: Context
    ) -> schemas.RejectInferenceReport:
        """Five ways to bring the declined of a file in, beside each other."""
        return compare(request)

    def model_document(self, request: schemas.DocumentRequest, context: Context) -> Artifact:
        """The model document, from the card and the report as they are."""
        card = model_card(self._models(context))
        blocks = document.build(card, self.validation(schemas.ReportRequest(), context))
        stem = f"{card.name}-{card.model_version.rpartition('@')[2]}"
        if request.format == "pdf":
            return Artifact(to_pdf(blocks), "application/pdf", f"{stem}.pdf")
        return Artifact(document.to_markdown(blocks).encode(), "text/markdown; charset=utf-8", f"{stem}.md")

    def expected_loss(self, request: schemas.ExpectedLossRequest, context: Context) -> schemas.ExpectedLossResponse:
        """Stage and loss of each credit, and of the portfolio."""
        factors = tuple(request.year_factors)
        terms = expected_loss.TermStructure(
            version="constant-hazard/1" if set(factors) == {1.0} else f"hazard by year {factors}",
            year_factors=tuple(f / factors[0] for f in factors),
        )
        rule = expected_loss.SicrRule(lifetime_ratio=request.lifetime_ratio, lifetime_rise=request.lifetime_rise)
        losses = [_loss(e, rule=rule, terms=terms) for e in request.exposures]
        stages = []
        for number in (1, 2, 3):
            of = [(e, x) for e, x in zip(request.exposures, losses, strict=True) if x.stage == number]
            amount, loss = sum((e.amount for e, _ in of), Decimal(0)), sum((x.loss for _, x in of), Decimal(0))
            stages.append(
                schemas.StageTotal(stage=number, count=len(of), amount=amount.quantize(CENT), loss=loss.quantize(CENT))
            )
        return schemas.ExpectedLossResponse(
            exposures=losses,
            stages=stages,
            loss=sum((s.loss for s in stages), Decimal(0)),
            term_structure=terms.version,
            staging_rule=f"{rule.version}: stage 2 from {rule.days_stage_2} days past due, or when the lifetime "
            f"probability is at least {rule.lifetime_ratio:g} times that at origination and {rule.lifetime_rise:g} "
            f"higher; stage 3 from {rule.days_stage_3} days past due or in default",
            source=rule.source,
            computed_at=datetime.now(UTC),
            note="The probabilities given are taken as weighted over scenarios. The thresholds on them are conventions "
            "for the bank to set. Equal instalments; loss at the end of the month of default; no undrawn limits.",
        )


def _report(
    models: Models, sample: ScoredSample, development: ScoredSample | None, named: str
) -> schemas.ValidationReport:
    def approve(points: Array) -> NDArray[np.bool_]:
        return np.asarray(points >= models.policy.approve_at)

    question = Question(
        sample=sample,
        development=development,
        approve=approve,
        sensitivity=_sensitivity(models, sample, approve=approve),
    )
    rows, today, observed = run_suite(question), datetime.now(UTC).date(), sample.observed
    return schemas.ValidationReport(
        model_version=models.version,
        policy_version=models.policy.version,
        sample=named,
        n=len(sample),
        defaults=int(observed.default.sum()),
        num_observed=len(observed),
        first_month=None if sample.month is None else month_label(int(sample.month.min())),
        last_month=None if sample.month is None else month_label(int(sample.month.max())),
        grades=dict(Counter(row.grade for row in rows)),
        rows=rows,
        rules=_rules(rows),
        regimes=[
            schemas.RuleText(
                rule=r.version.partition("/")[0],
                version=r.version,
                applies_from=r.applies_from,
                text=r.text,
                source=r.source,
            )
            for r in in_force(today)
        ],
        made_on=today,
        limits=DATA_NOTE,
    )


def _rules(rows: Sequence[schemas.EvidenceRow]) -> list[schemas.RuleText]:
    """Those that the rows are held against."""
    held = {row.rule for row in rows}
    return [
        schemas.RuleText(rule=r.rule_id, version=r.version, applies_from=r.applies_from, text=r.text, source=r.source)
        for r in RULES.values()
        if r.rule_id in held
    ]


def _sensitivity(
    models: Models, sample: ScoredSample, *, approve: Callable[[Array], NDArray[np.bool_]]
) -> tuple[Sensitivity, ...]:
    """Of the model in force, where the sample has its fields."""
    names = [f.name for f in FEATURES]
    observed = sample.observed
    if any(name not in sample.features for name in names) or observed.default.sum() in (0, len(observed)):
        return ()

    def score(frame: pd.DataFrame) -> Array:
        return models.scorecard.score(frame).points

    only = ScoredSample(sample.prob_default, sample.points, sample.default, sample.features[names])
    return sensitivities(only, score, approve=approve)


def _loss(
    given: schemas.ExposureIn, *, rule: expected_loss.SicrRule, terms: expected_loss.TermStructure
) -> schemas.ExposureLoss:
    fields = given.model_dump(exclude={"exposure_id", "amount"})
    found = expected_loss.expected_loss(
        expected_loss.Exposure(amount=float(given.amount), **fields), rule=rule, terms=terms
    )
    amounts = {
        name: Decimal(repr(getattr(found, name))).quantize(CENT) for name in ("loss_12m", "loss_lifetime", "loss")
    }
    return schemas.ExposureLoss(
        exposure_id=given.exposure_id,
        stage=found.stage,
        because=found.because,
        lifetime_prob_default=found.lifetime_prob_default,
        **amounts,
    )
