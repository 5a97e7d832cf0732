"""Writes evaluation runs to SQL: runs, results, examples, the pinned baseline. Ignores reading them to compare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from service.evals.runner import SuiteResult
from service.evals.tables import EvalBaseline, EvalExample, EvalMetric, EvalRun, EvalSuite
from verticals.contract import Conflict, Example, NotFound

RESUMABLE = timedelta(days=1)  # an older run's figures would be another night's
EXAMPLES_KEPT = timedelta(days=35)  # of runs that are not the baseline; figures are kept for ever


@dataclass(frozen=True)
class Run:
    """A run's own facts, as they are stored when it begins."""

    run_id: str
    tenant: str
    started_at: datetime
    git_version: str | None
    models: Mapping[str, str]
    machine: Mapping[str, Any]
    target: str | None
    plan: str


def start_run(session: Session, run: Run) -> None:
    """Note that a run has begun; until `finish_run` no later run is compared with it."""
    session.add(
        EvalRun(
            id=run.run_id,
            tenant=run.tenant,
            status="running",
            started_at=run.started_at,
            git_version=run.git_version,
            models=dict(run.models),
            machine=dict(run.machine),
            target=run.target,
            plan=run.plan,
        )
    )


def find_unfinished(session: Session, *, tenant: str, plan: str, now: datetime) -> tuple[str, datetime] | None:
    """Id and start of the newest run of the last day that has the same plan and never ended."""
    run = session.scalars(
        select(EvalRun)
        .where(EvalRun.tenant == tenant, EvalRun.status == "running", EvalRun.plan == plan)
        .where(EvalRun.started_at > now - RESUMABLE)
        .order_by(EvalRun.started_at.desc())
        .limit(1)
    ).first()
    return None if run is None else (run.id, run.started_at)


def add_examples(
    session: Session, run_id: str, scored: Mapping[str, Example], *, domain: str, suite: str, tenant: str
) -> None:
    """Keep what was scored of a suite that still runs."""
    mine = (EvalExample.run_id == run_id, EvalExample.domain == domain, EvalExample.suite == suite)
    count = session.scalar(select(func.count()).select_from(EvalExample).where(*mine)) or 0
    session.add_all(
        EvalExample(
            run_id=run_id,
            domain=domain,
            suite=suite,
            case_id=case_id,
            tenant=tenant,
            position=count + i,
            scores=dict(example.scores),
            slices=dict(example.slices),
            shown=example.shown,
            tokens=example.tokens,
        )
        for i, (case_id, example) in enumerate(scored.items())
    )


def add_result(session: Session, run_id: str, result: SuiteResult, *, tenant: str) -> None:
    """Store how one suite of a run ended, with its metrics; its examples are there already."""
    metrics = [EvalMetric(tenant=tenant, **asdict(metric)) for metric in result.metrics]
    cost = {} if result.cost is None else asdict(result.cost)
    session.add(
        EvalSuite(
            tenant=tenant,
            run_id=run_id,
            domain=result.domain,
            name=result.name,
            dataset=result.dataset,
            split=result.split,
            solver=result.solver,
            scorer=result.scorer,
            status=result.status,
            reason=result.reason,
            duration_s=result.duration_s,
            metrics=metrics,
            **cost,
        )
    )


def finish_run(
    session: Session, run_id: str, *, tenant: str, exit_code: int, models: Mapping[str, str], now: datetime
) -> None:
    """Mark a run completed: later runs are compared with it. Examples of runs long ago are forgotten."""
    run = session.scalars(select(EvalRun).where(EvalRun.id == run_id, EvalRun.tenant == tenant)).one()
    run.status, run.exit_code, run.finished_at, run.models = "completed", exit_code, now, dict(models)
    pinned = select(EvalBaseline.run_id)
    old = select(EvalRun.id).where(EvalRun.started_at < now - EXAMPLES_KEPT, EvalRun.id.not_in(pinned))
    session.execute(delete(EvalExample).where(EvalExample.tenant == tenant, EvalExample.run_id.in_(old)))


def pin_baseline(session: Session, run_id: str, *, tenant: str, now: datetime) -> None:
    """Hold later runs against this one; another call moves the pin.

    Raises:
        NotFound: the tenant has no such run.
        Conflict: it never ended.
    """
    run = session.get(EvalRun, run_id)
    if run is None or run.tenant != tenant:
        raise NotFound("no such run", field="RUN", value=run_id, remedy="`trivium eval runs` lists them.")
    if run.status != "completed":
        raise Conflict("the run did not end, so it cannot be the baseline", field="RUN", value=run_id)
    session.merge(EvalBaseline(tenant=tenant, run_id=run_id, pinned_at=now))


def unpin_baseline(session: Session, *, tenant: str) -> bool:
    """Hold later runs against none; False if there was none."""
    pinned = session.get(EvalBaseline, tenant)
    if pinned is not None:
        session.delete(pinned)
    return pinned is not None
