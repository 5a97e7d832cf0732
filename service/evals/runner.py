"""Runs evaluation suites one after another and says how each ended. Ignores storage, comparison and reports."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from service.monitoring import describe_error
from verticals.contract import Metric, Progress, Suite, Unavailable

Status = Literal["ok", "skipped", "failed"]
DomainSuite = tuple[str, Suite]  # (a vertical's name or "core", its suite)


@dataclass(frozen=True)
class SuiteResult:
    """How one suite ended; `metrics` is empty unless `status` is "ok"."""

    domain: str
    name: str
    dataset: str
    split: str
    solver: str
    scorer: str
    status: Status
    reason: str | None
    duration_s: float
    metrics: tuple[Metric, ...]

    @property
    def key(self) -> tuple[str, str]:
        """What identifies the suite from run to run."""
        return (self.domain, self.name)


def declare_suites(domain: str, declare: Callable[[], Sequence[Suite]]) -> list[DomainSuite]:
    """The suites of a domain; if declaring them raises, one suite that ends with that error, so that others run."""
    try:
        return [(domain, suite) for suite in declare()]
    except Exception as error:  # noqa: BLE001  one broken domain must not hide the others' figures
        cause = error

    def fail(progress: Progress) -> Sequence[Metric]:
        raise cause

    return [(domain, Suite("declaration", dataset="none", split="none", solver="none", scorer="none", run=fail))]


def run_suite(domain: str, suite: Suite, progress: Progress) -> SuiteResult:
    """Run one suite; whatever it raises becomes its status and reason, so that the others still run.

    `Unavailable` (data or model not there) is a skip; any other exception is a failure, and so are no metrics at all,
    two metrics of one name and a figure that is not finite.
    """
    start = time.monotonic()
    metrics: tuple[Metric, ...] = ()
    status: Status = "ok"
    reason = None
    try:
        metrics = tuple(suite.run(progress))
        reason = _flaw(metrics)
        if reason:
            status, metrics = "failed", ()
    except Unavailable as error:
        status, reason = "skipped", str(error)
    except Exception as error:  # noqa: BLE001  one broken suite must not hide the other suites' figures
        status, reason = "failed", describe_error(error)
    return SuiteResult(
        domain=domain,
        name=suite.name,
        dataset=suite.dataset,
        split=suite.split,
        solver=suite.solver,
        scorer=suite.scorer,
        status=status,
        reason=reason,
        duration_s=time.monotonic() - start,
        metrics=metrics,
    )


def run_suites(
    suites: Sequence[DomainSuite],
    progress: Progress,
    on_result: Callable[[SuiteResult], None] = lambda result: None,
) -> list[SuiteResult]:
    """Run suites in order.

    Args:
        suites: (domain, suite) pairs.
        progress: Called with "domain/suite: step" and the share of the whole run that is done, 0-1.
        on_result: Called after each suite, for instance to store it at once.
    """
    results = []
    for idx, (domain, suite) in enumerate(suites):
        step = _within(progress, label=f"{domain}/{suite.name}", idx=idx, count=len(suites))
        step("", 0.0)
        results.append(run_suite(domain, suite, step))
        on_result(results[-1])
    if suites:
        progress("done", 1.0)
    return results


def _within(progress: Progress, *, label: str, idx: int, count: int) -> Progress:
    def step(what: str, share: float) -> None:
        progress(f"{label}: {what}" if what else label, (idx + min(max(share, 0.0), 1.0)) / count)

    return step


def _flaw(metrics: Sequence[Metric]) -> str | None:
    """Why these metrics cannot be stored and compared; None when they can."""
    if not metrics:
        return "The suite returned no metrics."
    names = [metric.name for metric in metrics]
    for metric in metrics:
        if names.count(metric.name) > 1:
            return f"Two metrics are named {metric.name!r}; names must differ."
        figures = [metric.value, metric.low, metric.high, metric.baseline_value or 0.0]
        if not all(math.isfinite(figure) for figure in figures):
            return f"Metric {metric.name!r} is not finite: {metric.value} [{metric.low}, {metric.high}]."
        if metric.low > metric.high:
            return f"Metric {metric.name!r} has an interval that runs backwards: [{metric.low}, {metric.high}]."
    return None
