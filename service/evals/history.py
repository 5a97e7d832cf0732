"""Reads back what a run is compared with: the last figures, a week ago, the baseline, the trend. Ignores judging."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import cast

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from service.evals.compare import OtherRun, Previous, SuiteKey
from service.evals.cost import Cost
from service.evals.judge import Reference
from service.evals.runner import Status, SuiteResult
from service.evals.tables import EvalBaseline, EvalExample, EvalMetric, EvalRun, EvalSuite
from verticals.contract import Example, Metric

WEEK = timedelta(days=7)
NEAR_A_WEEK = timedelta(days=3, hours=12)  # a run further from it is not last week's
TREND_RUNS = 60
MetricKey = tuple[str, str, str]  # (domain, suite, metric)


@dataclass(frozen=True)
class Point:
    """A metric's value in one run."""

    run_id: str
    started_at: datetime
    value: float
    low: float
    high: float


def read_runs(session: Session, *, tenant: str, limit: int) -> list[tuple[EvalRun, bool]]:
    """The tenant's runs, newest first, and whether each is the pinned baseline."""
    pinned = session.get(EvalBaseline, tenant)
    query = select(EvalRun).where(EvalRun.tenant == tenant).order_by(EvalRun.started_at.desc()).limit(limit)
    return [(run, pinned is not None and pinned.run_id == run.id) for run in session.scalars(query)]


def read_previous(
    session: Session, *, tenant: str, domains: Collection[str], target: str | None = None
) -> dict[SuiteKey, Previous]:
    """What completed runs of `tenant` against `target` know of each suite of `domains`.

    A domain's last run is the newest completed run that covered it; figures come from each suite's newest "ok" result,
    which may be older: a suite that failed last night is compared with the night before.
    """
    rows = session.execute(
        select(EvalSuite.id, EvalSuite.run_id, EvalSuite.domain, EvalSuite.name, EvalSuite.status)
        .join(EvalRun, EvalRun.id == EvalSuite.run_id)
        .where(*_comparable(tenant, target), EvalSuite.domain.in_(domains))
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
    results = _load(session, EvalSuite.id.in_([suite_id for suite_id, _ in reference.values()]))
    return {
        key: Previous(
            last_status=last_status.get(key),
            last_run_id=last_run[key[0]],
            reference=results[key] if key in reference else None,
            reference_run_id=reference[key][1] if key in reference else None,
        )
        for key in {*last_status, *reference}
    }


def read_others(session: Session, *, tenant: str, now: datetime, target: str | None) -> dict[Reference, OtherRun]:
    """The completed run nearest to a week ago, and the pinned baseline, as far as there are such."""
    runs = session.execute(select(EvalRun.id, EvalRun.started_at).where(*_comparable(tenant, target))).all()
    distance = {run_id: abs(now - WEEK - started) for run_id, started in runs}
    nearest = min(distance, key=distance.__getitem__, default=None)
    pinned = session.get(EvalBaseline, tenant)
    chosen: dict[Reference, str] = {}
    if nearest is not None and distance[nearest] <= NEAR_A_WEEK:
        chosen["week"] = nearest
    if pinned is not None and pinned.run_id in distance:
        chosen["baseline"] = pinned.run_id
    return {
        name: OtherRun(run_id, _load(session, EvalSuite.run_id == run_id, EvalSuite.status == "ok"))
        for name, run_id in chosen.items()
    }


def read_results(session: Session, run_id: str) -> dict[SuiteKey, SuiteResult]:
    """The suites of a run that have ended, in order."""
    return _load(session, EvalSuite.run_id == run_id)


def read_examples(session: Session, run_id: str, *, domain: str, suite: str) -> dict[str, Example]:
    """What was scored of a suite, in the order of scoring."""
    query = (
        select(EvalExample)
        .where(EvalExample.run_id == run_id, EvalExample.domain == domain, EvalExample.suite == suite)
        .order_by(EvalExample.position)
    )
    return {
        row.case_id: Example(scores=row.scores, slices=row.slices, shown=row.shown, tokens=row.tokens)
        for row in session.scalars(query)
    }


def read_trends(
    session: Session, *, tenant: str, domains: Collection[str], target: str | None
) -> dict[MetricKey, list[Point]]:
    """Each metric's values in the newest completed runs, oldest first."""
    newest = session.scalars(
        select(EvalRun.id)
        .where(*_comparable(tenant, target))
        .order_by(EvalRun.started_at.desc(), EvalRun.id.desc())
        .limit(TREND_RUNS)
    ).all()
    rows = session.execute(
        select(EvalSuite.domain, EvalSuite.name, EvalRun.id, EvalRun.started_at, EvalMetric)
        .join(EvalSuite, EvalSuite.id == EvalMetric.suite_id)
        .join(EvalRun, EvalRun.id == EvalSuite.run_id)
        .where(EvalRun.id.in_(newest), EvalSuite.domain.in_(domains))
        .order_by(EvalRun.started_at, EvalRun.id)
    )
    found: dict[MetricKey, list[Point]] = {}
    for domain, suite, run_id, started_at, metric in rows:
        point = Point(run_id, started_at, metric.value, metric.low, metric.high)
        found.setdefault((domain, suite, metric.name), []).append(point)
    return found


def _comparable(tenant: str, target: str | None) -> Sequence[ColumnElement[bool]]:
    return (EvalRun.tenant == tenant, EvalRun.status == "completed", EvalRun.target.is_not_distinct_from(target))


def _load(session: Session, *which: ColumnElement[bool]) -> dict[SuiteKey, SuiteResult]:
    suites = session.scalars(select(EvalSuite).where(*which).order_by(EvalSuite.id))
    return {(suite.domain, suite.name): _to_result(session, suite) for suite in suites}


def _to_status(stored: str) -> Status:
    assert stored in ("ok", "skipped", "failed"), stored  # only add_result writes it
    return cast("Status", stored)


def _to_result(session: Session, suite: EvalSuite) -> SuiteResult:
    names = [field.name for field in fields(Metric)]
    metrics = tuple(Metric(**{name: getattr(row, name) for name in names}) for row in suite.metrics)
    examples = read_examples(session, suite.run_id, domain=suite.domain, suite=suite.name)
    cost = None
    if suite.tokens is not None and suite.cpu_s is not None and suite.peak_mb is not None:
        cost = Cost(tokens=suite.tokens, cpu_s=suite.cpu_s, peak_mb=suite.peak_mb)
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
        examples=examples,
        cost=cost,
    )
