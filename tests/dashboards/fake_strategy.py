"""Made-up policies and evidence for the finance page: real arithmetic over a toy sample. Its figures mean nothing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime

import numpy as np

from tests.dashboards import fake_finance
from verticals.contract import Context, Handler, InvalidInput
from verticals.finance import policy_schemas as p
from verticals.finance import strategy
from verticals.finance.portfolio import schemas as f
from verticals.finance.portfolio import summary
from verticals.finance.portfolio.counts import Decided, Granted
from verticals.finance.validation import schemas as v

_RNG = np.random.default_rng(7)
_POINTS = _RNG.normal(520, 35, 400)
SAMPLE = strategy.outcomes(
    _POINTS,
    (_RNG.random(400) < 1 / (1 + np.exp((_POINTS - 490) / 29))).astype(float),
    np.full(400, 1_000.0),
    loss_given_default=0.45,
    margin=0.09,
)


def _decisions(approve_at: int, decline_below: int) -> np.ndarray:
    points = SAMPLE.points
    return np.where(points >= approve_at, "approve", np.where(points < decline_below, "decline", "refer")).astype(
        object
    )


def simulate(request: p.SimulateRequest, _context: Context) -> p.SimulateResponse:
    """The toy sample under two pairs of cut-offs."""
    active = fake_finance.POLICY
    assert request.approve_at is not None
    assert request.decline_below is not None
    cut_offs = {"approve_at": request.approve_at, "decline_below": request.decline_below}
    proposed = active.model_copy(update={"version": "proposed", **cut_offs})
    before = _decisions(active.approve_at, active.decline_below)
    after = _decisions(request.approve_at, request.decline_below)
    return p.SimulateResponse(
        sample="made up for tests",
        n=len(SAMPLE.points),
        model_version=fake_finance.MODEL,
        current=strategy.outcome(SAMPLE, before, active),
        proposed=strategy.outcome(SAMPLE, after, proposed),
        swap_in=strategy.swap_set(SAMPLE, (after == "approve") & (before != "approve")),
        swap_out=strategy.swap_set(SAMPLE, (before == "approve") & (after != "approve")),
        migration=strategy.migration(SAMPLE, before, after),
        profit_change=strategy.profit_change(SAMPLE, before, after),
        curve=strategy.curve(SAMPLE, extra=(active.approve_at, request.approve_at)),
        notes=["Made up for tests."],
    )


def _validation(_request: v.ReportRequest, _context: Context) -> v.ValidationReport:
    row = v.EvidenceRow(
        section="discrimination",
        statistic="AUC",
        of="whole sample",
        value=0.78,
        low=0.75,
        high=0.81,
        n=400,
        rule="discrimination",
        rule_version="test-1",
        source="made up",
        grade="green",
    )
    calibration = {"section": "calibration", "statistic": "slope", "value": 0.8, "grade": "red", "note": "too sure"}
    return v.ValidationReport(
        model_version=fake_finance.MODEL,
        policy_version=fake_finance.POLICY.version,
        sample="Made up for tests",
        n=400,
        defaults=120,
        num_observed=400,
        first_month=None,
        last_month=None,
        grades={"green": 1, "red": 1},
        rows=[row, row.model_copy(update=calibration)],
        rules=[],
        regimes=[],
        made_on=date(2026, 11, 30),
        limits="Made up.",
    )


def _portfolio(request: f.PortfolioRequest, _context: Context) -> f.PortfolioResponse:
    """400 toy decisions of two months; the approved ones of the first have outcomes."""
    decisions, first_month = _decisions(530, 500), 12 * 56 + 8
    made = list(zip(decisions, SAMPLE.points.tolist(), strict=True))
    decided = [Decided(first_month + (i >= 200), d, round(p), 1, 0.3) for i, (d, p) in enumerate(made)]
    approved = [i for i, d in enumerate(decisions) if d == "approve"]
    granted = [Granted(first_month, 2, bool(SAMPLE.default[i]), 1, 0.3) for i in approved if i < 200]
    granted += [Granted(first_month + 1, None, None, 1, 0.3) for i in approved if i >= 200]
    points = SAMPLE.points.astype(float)
    return f.PortfolioResponse(
        first=request.first or date(2026, 1, 1),
        last=request.last or date(2026, 11, 30),
        count=400,
        months=summary.months(decided),
        bins=summary.points_bins(points, points + 30),
        shift=summary.shift(points, points + 30),
        moves=summary.moves({("refer", "approve"): 7, ("approve", "approve"): 3}),
        vintages=summary.vintages(granted),
        overrides=summary.overrides(
            summary.counts(decided), [summary.Manual(1, "t-1", "decline", "approve", "M01")], {}
        ),
        note="Made up for tests.",
    )


def handlers() -> Mapping[str, Handler]:
    """Handlers with their own memory of policies."""
    built_in = p.StoredPolicy(
        policy=fake_finance.POLICY, active=True, built_in=True, sha256="0" * 64, created_by="trivium", created_at=None
    )
    kept, steps = [built_in], list[p.Activation]()

    def store(draft: p.PolicyDraft, context: Context) -> p.StoredPolicy:
        if any(one.policy.version == draft.version for one in kept):
            raise InvalidInput("is taken", field="version", value=draft.version, remedy="Choose another.")
        policy = fake_finance.POLICY.model_copy(update=draft.model_dump(exclude={"overrides"}))
        new = built_in.model_copy(update={"policy": policy, "active": False, "created_by": context.actor})
        kept.insert(0, new)
        return new

    def activate(request: p.ActivateRequest, context: Context) -> p.StoredPolicy:
        old = next(one for one in kept if one.active)
        for i, one in enumerate(kept):
            kept[i] = one.model_copy(update={"active": one.policy.version == request.version})
        steps.insert(
            0,
            p.Activation(
                number=len(steps) + 1,
                step="activate",
                version=request.version,
                previous=old.policy.version,
                reason=request.reason,
                actor=context.actor,
                created_at=datetime.now(UTC),
            ),
        )
        return next(one for one in kept if one.active)

    def page(_request: p.PoliciesRequest, _context: Context) -> p.PolicyPage:
        active = next(one.policy.version for one in kept if one.active)
        return p.PolicyPage(active=active, policies=kept, total=len(kept), activations=steps)

    return {
        "policies": page,
        "store_policy": store,
        "activate_policy": activate,
        "simulate": simulate,
        "validation": _validation,
        "portfolio": _portfolio,
    }
