"""One evaluation run from suites to exit code: run, store, compare, report. Ignores scheduling and suites.

Exit codes: 0 all is well; 1 a regression, a failed or lost suite, or nothing was measured; 2 the call itself was wrong
(`InvalidInput`, nothing was run).
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy.orm import Session, sessionmaker

from service.evals.compare import Comparison, compare
from service.evals.report import RunInfo, write_report
from service.evals.runner import DomainSuite, SuiteResult, run_suites
from service.evals.store import add_result, finish_run, read_previous, start_run
from verticals.contract import InvalidInput, Progress

EXIT_OK, EXIT_REGRESSION, EXIT_USAGE = 0, 1, 2


@dataclass(frozen=True)
class NightlyResult:
    """What a run came to; `exit_code` is for the process."""

    run_id: str
    exit_code: int
    comparison: Comparison
    html_path: Path
    json_path: Path


def run_nightly(
    suites: Sequence[DomainSuite],
    *,
    sessions: sessionmaker[Session],
    tenant: str,
    out_dir: Path,
    models: Mapping[str, str],
    progress: Progress,
    only: Collection[str] = (),
    git_version: str | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> NightlyResult:
    """Run suites, store the figures, compare them with the last completed run, and write `<run id>.html` and `.json`.

    Args:
        suites: (vertical name or "core", suite) pairs.
        sessions: The database; each suite is committed as it ends.
        tenant: Whose history this is.
        out_dir: Folder of the reports; made if absent.
        models: Model name -> version, for the report.
        progress: Told what runs and the share done, 0-1.
        only: Domains to run; empty means all. Other domains are neither run nor missed.
        git_version: As `find_git_version` gives it.
        now: The clock.

    Raises:
        InvalidInput: no suites, a domain in `only` that has none, or two suites of one name in a domain.
    """
    chosen = _choose(suites, only)
    out_dir.mkdir(parents=True, exist_ok=True)  # before the work, not after
    domains = sorted({domain for domain, _ in chosen})
    started_at = now()
    run_id = f"{started_at:%Y%m%dT%H%M%SZ}-{uuid4().hex[:6]}"
    machine = describe_machine()
    with sessions.begin() as session:
        previous = read_previous(session, tenant=tenant, domains=domains)
        start_run(
            session,
            run_id,
            tenant=tenant,
            started_at=started_at,
            git_version=git_version,
            models=models,
            machine=machine,
        )

    def store(result: SuiteResult) -> None:
        with sessions.begin() as session:
            add_result(session, run_id, result, tenant=tenant)

    results = run_suites(chosen, progress, store)
    comparison = compare(results, previous)
    measured = any(result.status == "ok" for result in results)
    exit_code = EXIT_OK if measured and not comparison.num_alarms else EXIT_REGRESSION
    info = RunInfo(
        run_id=run_id,
        started_at=started_at,
        duration_s=(now() - started_at).total_seconds(),
        git_version=git_version,
        models=dict(models),
        machine=machine,
        last_run_ids=tuple(sorted({before.last_run_id for before in previous.values()})),
        exit_code=exit_code,
    )
    html_path, json_path = write_report(info, comparison, out_dir)
    with sessions.begin() as session:
        finish_run(session, run_id, tenant=tenant, exit_code=exit_code)
    return NightlyResult(run_id, exit_code, comparison, html_path, json_path)


def _choose(suites: Sequence[DomainSuite], only: Collection[str]) -> list[DomainSuite]:
    domains = {domain for domain, _ in suites}
    if unknown := sorted(set(only) - domains):
        raise InvalidInput("has no suites", field="only", value=unknown[0], remedy=f"There are: {sorted(domains)}.")
    chosen = [(domain, suite) for domain, suite in suites if not only or domain in only]
    if not chosen:
        raise InvalidInput("must hold at least one suite", field="suites")
    key, count = Counter((domain, suite.name) for domain, suite in chosen).most_common(1)[0]
    if count > 1:
        raise InvalidInput("suites of a domain need different names", field="suites", value="/".join(key))
    return chosen


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
