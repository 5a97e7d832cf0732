"""Writes evaluation runs to SQL and reads back what to compare with. Ignores how suites run and how figures compare."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import Any, cast

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.evals.compare import Previous, SuiteKey
from service.evals.runner import Status, SuiteResult
from service.evals.tables import EvalMetric, EvalRun, EvalSuite
from verticals.contract import Metric


def start_run(
    session: Session,
    run_id: str,
    *,
    tenant: str,
    started_at: datetime,
    git_version: str | None,
    models: Mapping[str, str],
    machine: Mapping[str, Any],
) -> None:
    """Note that a run has begun; until `finish_run` no later run is compared with it."""
    session.add(
        EvalRun(
            id=run_id,
            tenant=tenant,
            status="running",
            started_at=started_at,
            git_version=git_version,
            models=dict(models),
            machine=dict(machine),
        )
    )


def add_result(session: Session, run_id: str, result: SuiteResult, *, tenant: str) -> None:
    """Store how one suite of a run ended, with its metrics."""
    metrics = [EvalMetric(tenant=tenant, **asdict(metric)) for metric in result.metrics]
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
        )
    )


def finish_run(session: Session, run_id: str, *, tenant: str, exit_code: int) -> None:
    """Mark a run completed: later runs are compared with it."""
    run = session.scalars(select(EvalRun).where(EvalRun.id == run_id, EvalRun.tenant == tenant)).one()
    run.status, run.exit_code, run.finished_at = "completed", exit_code, datetime.now(UTC)


def read_previous(session: Session, *, tenant: str, domains: Collection[str]) -> dict[SuiteKey, Previous]:
    """What completed runs of `tenant` know of each suite of `domains`.

    A domain's last run is the newest completed run that covered it; figures come from each suite's newest "ok" result,
    which may be older: a suite that failed last night is compared with the night before.
    """
    rows = session.execute(
        select(EvalSuite.id, EvalSuite.run_id, EvalSuite.domain, EvalSuite.name, EvalSuite.status)
        .join(EvalRun, EvalRun.id == EvalSuite.run_id)
        .where(EvalRun.tenant == tenant, EvalSuite.tenant == tenant, EvalRun.status == "completed")
        .where(EvalSuite.domain.in_(domains))
        .order_by(EvalRun.started_at.desc(), EvalRun.id.desc(), EvalSuite.id)
    ).all()
    last_run: dict[str, str] = {}  # domain -> run
    last_status: dict[SuiteKey, Status] = {}
    reference: dict[SuiteKey, tuple[int, str]] = {}
    for suite_id, run_id, domain, name, status in rows:
        last_run.setdefault(domain, run_id)
        if last_run[domain] == run_id:
            last_status[domain, name] = _to_status(status)
        if status == "ok":
            reference.setdefault((domain, name), (suite_id, run_id))
    loaded = session.scalars(
        select(EvalSuite).where(EvalSuite.id.in_([suite_id for suite_id, _ in reference.values()]))
    )
    results = {suite.id: _to_result(suite) for suite in loaded}
    return {
        key: Previous(
            last_status=last_status.get(key),
            last_run_id=last_run[key[0]],
            reference=results[reference[key][0]] if key in reference else None,
            reference_run_id=reference[key][1] if key in reference else None,
        )
        for key in {*last_status, *reference}
    }


def _to_status(stored: str) -> Status:
    assert stored in ("ok", "skipped", "failed"), stored  # only add_result writes it
    return cast("Status", stored)


def _to_result(suite: EvalSuite) -> SuiteResult:
    names = [field.name for field in fields(Metric)]
    metrics = tuple(Metric(**{name: getattr(row, name) for name in names}) for row in suite.metrics)
    return SuiteResult(
        domain=suite.domain,
        name=suite.name,
        dataset=suite.dataset,
        split=suite.split,
        solver=suite.solver,
        scorer=suite.scorer,
        status=_to_status(suite.status),
        reason=suite.reason,
        duration_s=suite.duration_s,
        metrics=metrics,
    )
