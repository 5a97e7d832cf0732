"""Compares a run with the last one: which changes are regressions. Ignores storage and presentation.

The rule. A and B are the old and the new value of a metric, turned so that more is better, each with its own 95 %
interval. Their change d = B - A has the interval

    low  = d - sqrt((B - B.low)^2  + (A.high - A)^2)
    high = d + sqrt((B.high - B)^2 + (A - A.low)^2)

("MOVER": Zou and Donner 2008, Statistics in Medicine 27:1693-1702; for proportions it is Newcombe 1998, Statistics in
Medicine 17:873-890, method 10). The metric has *regressed* when that whole interval lies on the bad side (high < 0),
*improved* when it lies on the good side (low > 0), and is *steady* otherwise.

The formula takes both intervals, keeps their asymmetry, and treats the two runs as independent. Runs that score the
same cases are usually positively correlated, which makes the true interval narrower: the rule then errs towards
silence, not towards false alarms. Paired tests need per-case scores, which are not stored yet. Changes below one part
in a million count as none: floating-point sums differ between machines.

Besides, a run loses something when a suite fails (each time), when a suite that gave figures in the last run is skipped
or gone, and when a suite no longer reports a metric. A changed data set, split or scorer makes figures incomparable:
the report says so and nothing is compared.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from service.evals.runner import Status, SuiteResult
from verticals.contract import Metric

Verdict = Literal["regressed", "improved", "steady", "new", "incomparable"]
SuiteKey = tuple[str, str]  # (domain, suite name)
RELATIVE_NOISE = 1e-6


@dataclass(frozen=True)
class Previous:
    """What earlier completed runs know of one suite."""

    last_status: Status | None  # in the last completed run that covered its domain; None: it was not part of that run
    last_run_id: str
    reference: SuiteResult | None  # its newest result with figures, perhaps from an older run
    reference_run_id: str | None


@dataclass(frozen=True)
class MetricChange:
    """A metric beside its last value; `low` and `high` bound the change (95 %), positive = better."""

    metric: Metric
    verdict: Verdict
    last: Metric | None = None
    last_run_id: str | None = None
    change: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class SuiteComparison:
    """One suite's result with its changes. `losses` are the alarms that are not about a figure; `note` is no alarm."""

    result: SuiteResult
    changes: tuple[MetricChange, ...]
    losses: tuple[str, ...] = ()
    note: str | None = None


@dataclass(frozen=True)
class Comparison:
    """A run beside the last one. `gone` names suites of the last run that this run no longer has."""

    suites: tuple[SuiteComparison, ...]
    gone: tuple[SuiteKey, ...]

    @property
    def num_alarms(self) -> int:
        """Regressed metrics, losses and suites that are gone."""
        regressed = sum(change.verdict == "regressed" for suite in self.suites for change in suite.changes)
        return regressed + sum(len(suite.losses) for suite in self.suites) + len(self.gone)


def change_interval(old: Metric, new: Metric) -> tuple[float, float, float]:
    """(change, low, high) from `old` to `new` with its 95 % interval; positive = better. The rule: see the module.

    A bound on the wrong side of its value, as a percentile bootstrap may give, counts as no uncertainty on that side.
    """
    sign = 1.0 if new.higher_is_better else -1.0
    change = sign * (new.value - old.value)
    new_down, new_up = max(new.value - new.low, 0.0), max(new.high - new.value, 0.0)
    old_down, old_up = max(old.value - old.low, 0.0), max(old.high - old.value, 0.0)
    if not new.higher_is_better:
        new_down, new_up, old_down, old_up = new_up, new_down, old_up, old_down
    return change, change - math.hypot(new_down, old_up), change + math.hypot(new_up, old_down)


def compare_metric(old: Metric, new: Metric, *, last_run_id: str) -> MetricChange:
    """Judge one metric against its last value by the rule in the module's head."""
    if old.higher_is_better != new.higher_is_better:
        return MetricChange(new, "incomparable", old, last_run_id)
    change, low, high = change_interval(old, new)
    noise = RELATIVE_NOISE * max(abs(old.value), abs(new.value))
    verdict: Verdict = "steady"
    if high < -noise:
        verdict = "regressed"
    elif low > noise:
        verdict = "improved"
    return MetricChange(new, verdict, old, last_run_id, change, low, high)


def compare(results: Sequence[SuiteResult], previous: Mapping[SuiteKey, Previous]) -> Comparison:
    """Compare a run's results with what earlier runs know; `previous` covers the domains of this run only."""
    present = {result.key for result in results}
    gone = tuple(key for key, before in previous.items() if key not in present and before.last_status is not None)
    return Comparison(tuple(_compare_suite(result, previous.get(result.key)) for result in results), gone)


def _compare_suite(result: SuiteResult, before: Previous | None) -> SuiteComparison:
    if result.status == "failed":
        return SuiteComparison(result, (), (f"failed: {result.reason}",))
    if result.status == "skipped":
        lost = before is not None and before.last_status == "ok"
        return SuiteComparison(result, (), (f"skipped, though it ran last time: {result.reason}",) if lost else ())
    if before is None or before.reference is None or before.reference_run_id is None:
        return SuiteComparison(result, tuple(MetricChange(metric, "new") for metric in result.metrics))
    reference, run_id = before.reference, before.reference_run_id
    changed = [part for part in ("dataset", "split", "scorer") if getattr(result, part) != getattr(reference, part)]
    if changed:
        note = f"Not compared with run {run_id}: {' and '.join(changed)} changed."
        return SuiteComparison(
            result, tuple(MetricChange(metric, "incomparable") for metric in result.metrics), (), note
        )
    old = {metric.name: metric for metric in reference.metrics}
    changes = tuple(
        compare_metric(old[metric.name], metric, last_run_id=run_id)
        if metric.name in old
        else MetricChange(metric, "new")
        for metric in result.metrics
    )
    names = {metric.name for metric in result.metrics}
    losses = tuple(f"metric {name} is no longer reported" for name in old if name not in names)
    return SuiteComparison(result, changes, losses)
