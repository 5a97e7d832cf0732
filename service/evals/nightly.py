"""One evaluation run from suites to exit code: run, store, compare, report. Ignores scheduling and what suites measure.

A run that was killed goes on where it was: suites that ended are not run again, and of a suite of `Cases` only what was
not scored yet. Exit codes: 0 all is well; 1 something got worse or was lost; 2 a suite failed or ran out of time, or
nothing was measured.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain, count
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from sqlalchemy.orm import Session, sessionmaker

from service.evals.compare import Comparison, SuiteKey, compare
from service.evals.history import Point, read_examples, read_others, read_previous, read_results, read_trends
from service.evals.isolation import Broken
from service.evals.report import describe, write_report
from service.evals.report_schema import Report, RunPart
from service.evals.runner import MAX_NAME, NO_SUITES, Journal, SuiteResult, unmeasured
from service.evals.store import Run, add_examples, add_result, find_unfinished, finish_run, start_run
from verticals.contract import Example, InvalidInput, Progress, Suite

EXIT_OK, EXIT_REGRESSION, EXIT_FAILED = 0, 1, 2


class Bench(Protocol):
    """Where a domain's suites run; see `isolation.ProcessBench`."""

    domain: str

    def declare(self, *, timeout_s: float) -> tuple[list[Suite], Mapping[str, str]]:
        """The suites, and the versions of the models that they judge. Raises `Broken`."""

    def run(self, suite: Suite, *, journal: Journal, progress: Progress, timeout_s: float) -> SuiteResult:
        """Run one of them; whatever happens is its result."""

    def close(self) -> None:
        """Free what it holds."""


@dataclass(frozen=True)
class Limits:
    """How long a run may take."""

    suite_s: float = 30 * 60
    run_s: float = 60 * 60


@dataclass(frozen=True)
class Night:
    """Where and as whom suites are run."""

    sessions: sessionmaker[Session]
    tenant: str  # whose history this is
    out_dir: Path  # of the reports; made if absent
    models: Mapping[str, str] = field(default_factory=dict)  # versions that are known beforehand
    git_version: str | None = None  # as `find_git_version` gives it
    target: str | None = None  # the live API's address
    limits: Limits = Limits()
    at_once: int = 1  # suites, where the benches allow it
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


@dataclass(frozen=True)
class NightlyResult:
    """What a run came to; `exit_code` is for the process."""

    exit_code: int
    comparison: Comparison
    report: Report
    html_path: Path
    json_path: Path
    is_resumed: bool

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.report.run.run_id


def run_nightly(
    benches: Sequence[Bench],
    night: Night,
    *,
    progress: Progress,
    only: Collection[str] = (),
    fresh: bool = False,
) -> NightlyResult:
    """Run suites, store the figures, compare them with other runs, and write `<run id>.html` and `.json`.

    Args:
        benches: One for each domain.
        night: Where, as whom, how long.
        progress: Told what runs and the share done, 0-1.
        only: Domains to run; empty means all. Other domains are neither run nor missed.
        fresh: Begin anew even if a run of the last day with the same code, models and domains never ended.

    Raises:
        InvalidInput: a domain in `only` that there is not, or no domain.
    """
    chosen = _choose(benches, only)
    night.out_dir.mkdir(parents=True, exist_ok=True)  # before the work, not after
    run, done, is_resumed = _begin(night, [bench.domain for bench in chosen], fresh=fresh)
    models = dict(night.models)
    results = _run_all(chosen, night, run=run, done=done, models=models, progress=progress)
    return _finish(night, run, results, models, is_resumed=is_resumed)


def _begin(night: Night, domains: Sequence[str], *, fresh: bool) -> tuple[Run, dict[SuiteKey, SuiteResult], bool]:
    """A new run, or the one that never ended with what it has; whether it is that."""
    now = night.now()
    told = [night.git_version, dict(night.models), night.target, sorted(domains)]
    plan = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
    with night.sessions.begin() as session:
        is_nameless = (night.git_version or "").endswith("-dirty")  # other code may bear the same name
        unfinished = None if fresh or is_nameless else find_unfinished(session, tenant=night.tenant, plan=plan, now=now)
        run_id, started_at = unfinished or (f"{now:%Y%m%dT%H%M%SZ}-{uuid4().hex[:6]}", now)
        run = Run(
            run_id=run_id,
            tenant=night.tenant,
            started_at=started_at,
            git_version=night.git_version,
            models=night.models,
            machine=describe_machine(),
            target=night.target,
            plan=plan,
        )
        if unfinished:
            return run, read_results(session, run_id), True
        start_run(session, run)
    return run, {}, False


def _run_all(
    benches: Sequence[Bench],
    night: Night,
    *,
    run: Run,
    done: Mapping[SuiteKey, SuiteResult],
    models: dict[str, str],
    progress: Progress,
) -> list[SuiteResult]:
    """Every suite's result, in order; each is stored as it ends."""
    until_s = time.monotonic() + night.limits.run_s

    def run_domain(idx: int, bench: Bench) -> list[SuiteResult]:
        tell = _within(progress, idx=idx, count=len(benches))
        try:
            return _run_domain(bench, night, run=run, done=done, models=models, until_s=until_s, progress=tell)
        finally:
            bench.close()

    with _map(night.at_once) as each:
        try:
            results = list(chain.from_iterable(each(run_domain, count(), benches)))
        finally:  # whoever still waits for a suite stops waiting
            for bench in benches:
                bench.close()
    progress("done", 1.0)
    return results


def _run_domain(
    bench: Bench,
    night: Night,
    *,
    run: Run,
    done: Mapping[SuiteKey, SuiteResult],
    models: dict[str, str],
    until_s: float,
    progress: Progress,
) -> list[SuiteResult]:
    """The results of one domain; those of `done` again as they are."""

    def keep(result: SuiteResult) -> SuiteResult:
        if result.key in done:
            return done[result.key]
        with night.sessions.begin() as session:
            add_result(session, run.run_id, result, tenant=night.tenant)
        return result

    def run_suite(idx: int, suite: Suite) -> SuiteResult:
        key = (bench.domain, suite.name)
        if key in done:
            return done[key]
        try:
            timeout_s = _time_left(night, until_s)
        except Broken as error:
            return keep(unmeasured(bench.domain, suite, status="failed", reason=str(error)))
        tell = _within(progress, idx=idx, count=len(suites), label="/".join(key))
        tell("", 0.0)
        return keep(bench.run(suite, journal=_journal(night, run, key), progress=tell, timeout_s=timeout_s))

    try:
        suites, versions = bench.declare(timeout_s=_time_left(night, until_s))
        _check_names(suites)
    except Broken as error:
        return [keep(unmeasured(bench.domain, NO_SUITES, status="failed", reason=str(error)))]
    models.update(versions)
    with _map(night.at_once) as each:
        return list(each(run_suite, count(), suites))


@contextmanager
def _map(at_once: int) -> Iterator[Callable[..., Iterator[Any]]]:
    """`map` over so many at once; over one in this thread, where an interrupt is felt."""
    if at_once == 1:
        yield map
        return
    with ThreadPoolExecutor(at_once) as pool:
        yield pool.map


def _journal(night: Night, run: Run, key: SuiteKey) -> Journal:
    domain, suite = key

    def keep(scored: Mapping[str, Example]) -> None:
        with night.sessions.begin() as session:
            add_examples(session, run.run_id, scored, domain=domain, suite=suite, tenant=night.tenant)

    with night.sessions() as session:
        return Journal(read_examples(session, run.run_id, domain=domain, suite=suite), keep)


def _time_left(night: Night, until_s: float) -> float:
    left_s = until_s - time.monotonic()
    if left_s <= 0:
        raise Broken("not begun, since the run's time was over", remedy="Give it more with --minutes.")
    return min(night.limits.suite_s, left_s)


def _check_names(suites: Sequence[Suite]) -> None:
    counted = Counter(suite.name for suite in suites).most_common(1)
    if counted and counted[0][1] > 1:
        raise Broken("suites of a domain need different names", field="suites", value=counted[0][0])
    if any(len(suite.name) > MAX_NAME for suite in suites):
        raise Broken(f"a suite's name has at most {MAX_NAME} characters", field="suites")


def _finish(
    night: Night, run: Run, results: Sequence[SuiteResult], models: Mapping[str, str], *, is_resumed: bool
) -> NightlyResult:
    """Compare, report, and mark the run completed."""
    domains = sorted({result.domain for result in results})
    which: Any = {"tenant": night.tenant, "target": night.target}
    with night.sessions() as session:
        previous = read_previous(session, domains=domains, **which)
        others = read_others(session, now=run.started_at, **which)
        trends = read_trends(session, domains=domains, **which)
    for result in results:
        for metric in result.metrics:
            point = Point(run.run_id, run.started_at, metric.value, metric.low, metric.high)
            trends.setdefault((*result.key, metric.name), []).append(point)
    comparison = compare(results, previous, others)
    exit_code = _exit_code(results, comparison)
    about = RunPart(
        run_id=run.run_id,
        started_at=run.started_at,
        duration_s=(night.now() - run.started_at).total_seconds(),
        git_version=run.git_version,
        models=dict(models),
        machine=dict(run.machine),
        target=run.target,
        last_run_ids=sorted({before.last_run_id for before in previous.values()}),
        week_run_id=others["week"].run_id if "week" in others else None,
        baseline_run_id=others["baseline"].run_id if "baseline" in others else None,
        families={str(name): count for name, count in comparison.families.items()},
        exit_code=exit_code,
    )
    report = describe(about, comparison, trends)
    html_path, json_path = write_report(report, night.out_dir)
    with night.sessions.begin() as session:
        finish_run(session, run.run_id, tenant=night.tenant, exit_code=exit_code, models=models, now=night.now())
    return NightlyResult(exit_code, comparison, report, html_path, json_path, is_resumed)


def _exit_code(results: Sequence[SuiteResult], comparison: Comparison) -> int:
    failed = sum(result.status == "failed" for result in results)
    if comparison.num_alarms > failed:  # each failed suite is one loss
        return EXIT_REGRESSION
    measured = any(result.status == "ok" for result in results)
    return EXIT_OK if measured and not failed else EXIT_FAILED


def _choose(benches: Sequence[Bench], only: Collection[str]) -> list[Bench]:
    domains = [bench.domain for bench in benches]
    if unknown := sorted(set(only) - set(domains)):
        raise InvalidInput("has no suites", field="only", value=unknown[0], remedy=f"There are: {', '.join(domains)}.")
    chosen = [bench for bench in benches if not only or bench.domain in only]
    if not chosen:
        raise InvalidInput("must hold at least one domain", field="benches")
    return chosen


def _within(progress: Progress, *, idx: int, count: int, label: str = "") -> Progress:
    """The share of one part as that of all; a label names the part."""

    def tell(what: str, share: float) -> None:
        told = ": ".join(filter(None, (label, what)))
        progress(told, (idx + min(max(share, 0.0), 1.0)) / count)

    return tell


def describe_machine() -> dict[str, Any]:
    """What figures of speed depend on; nothing that identifies the machine."""
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "cpus": os.cpu_count(),
        "python": sys.version.split()[0],
    }


def find_git_version(root: Path) -> str | None:
    """The commit of the checkout at `root`, "-dirty" if it has changes; None where there is no git or no checkout."""
    git = shutil.which("git")
    if git is None or not root.is_dir():
        return None
    command = [git, "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  fixed words, our own path
    return done.stdout.strip() or None
