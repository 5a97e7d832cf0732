"""Compares a run with others: which changes are regressions, what was lost. Ignores storage and presentation.

A run is compared with the last one ("yesterday"), the one nearest to a week before, and the pinned baseline; `judge`
has the rule. Only the last run and the baseline raise alarms: a change since last week is there for the reader.

Besides, a run loses something when a suite fails (each time), when a suite that gave figures in the last run is skipped
or gone, and when a suite no longer reports a metric. A changed data set, split or scorer makes figures incomparable:
the report says so and nothing is compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from service.evals.judge import Against, Reference, Verdict, compare_metric, correct, decide
from service.evals.runner import NO_SUITES, Status, SuiteResult
from verticals.contract import Metric

SuiteKey = tuple[str, str]  # (domain, suite name)
MetricVerdict = Verdict | Literal["new"]
ALARMING: tuple[Reference, ...] = ("last", "baseline")


@dataclass(frozen=True)
class Previous:
    """What earlier completed runs know of one suite."""

    last_status: Status | None  # in the last completed run that covered its domain; None: it was not part of that run
    last_run_id: str
    reference: SuiteResult | None  # its newest result with figures, perhaps from an older run
    reference_run_id: str | None


@dataclass(frozen=True)
class OtherRun:
    """A completed run to compare with besides the last."""

    run_id: str
    results: Mapping[SuiteKey, SuiteResult]  # those with figures


@dataclass(frozen=True)
class MetricChange:
    """A metric beside its values in other runs."""

    metric: Metric
    against: tuple[Against, ...] = ()
    is_incomparable: bool = False

    @property
    def verdict(self) -> MetricVerdict:
        """Regressed if it is against the last run or the baseline; else what the last run says."""
        verdicts = {each.reference: each.verdict for each in self.against}
        if "regressed" in [verdicts.get(reference) for reference in ALARMING]:
            return "regressed"
        if self.is_incomparable:
            return "incomparable"
        return verdicts.get("last", "new")

    def since(self, reference: Reference) -> Against | None:
        """The comparison with that run, if there is one."""
        return next((each for each in self.against if each.reference == reference), None)


@dataclass(frozen=True)
class SuiteComparison:
    """One suite's result with its changes. `losses` are the alarms that are not about a figure; `note` is no alarm."""

    result: SuiteResult
    changes: tuple[MetricChange, ...]
    losses: tuple[str, ...] = ()
    note: str | None = None
    last: SuiteResult | None = None  # what its examples and cost are compared with


@dataclass(frozen=True)
class Comparison:
    """A run beside the others. `gone` names suites of the last run that this run no longer has."""

    suites: tuple[SuiteComparison, ...]
    gone: tuple[SuiteKey, ...]
    families: Mapping[Reference, int] = field(default_factory=dict)  # how many metrics were judged together

    @property
    def num_regressed(self) -> int:
        """Metrics that got worse."""
        return sum(change.verdict == "regressed" for suite in self.suites for change in suite.changes)

    @property
    def num_alarms(self) -> int:
        """Regressed metrics, losses and suites that are gone."""
        return self.num_regressed + sum(len(suite.losses) for suite in self.suites) + len(self.gone)


def compare(
    results: Sequence[SuiteResult],
    previous: Mapping[SuiteKey, Previous],
    others: Mapping[Reference, OtherRun] | None = None,
) -> Comparison:
    """Compare a run's results with what earlier runs know; `previous` covers the domains of this run only."""
    present = {result.key for result in results}
    closed = {result.domain for result in results if result.name == NO_SUITES.name}  # told once, not suite by suite
    gone = tuple(
        (domain, name)
        for (domain, name), before in previous.items()
        if (domain, name) not in present and before.last_status is not None
        if domain not in closed and name != NO_SUITES.name
    )
    suites = [_compare_suite(result, previous.get(result.key), others or {}) for result in results]
    return _corrected(Comparison(tuple(suites), gone))


def _compare_suite(
    result: SuiteResult, before: Previous | None, others: Mapping[Reference, OtherRun]
) -> SuiteComparison:
    if result.status == "failed":
        return SuiteComparison(result, (), (f"failed: {result.reason}",))
    if result.status == "skipped":
        lost = before is not None and before.last_status == "ok"
        return SuiteComparison(result, (), (f"skipped, though it ran last time: {result.reason}",) if lost else ())
    references: dict[Reference, tuple[str, SuiteResult]] = {}
    if before is not None and before.reference is not None and before.reference_run_id is not None:
        references["last"] = before.reference_run_id, before.reference
    for name, other in others.items():
        if result.key in other.results:
            references[name] = other.run_id, other.results[result.key]
    changed = {name: _changed(result, old) for name, (_, old) in references.items()}
    usable = {name: reference for name, reference in references.items() if not changed[name]}
    changes = tuple(
        MetricChange(metric, _against(metric, result, usable), bool(changed.get("last"))) for metric in result.metrics
    )
    notes = [f"Not compared with run {references[name][0]}: {what} changed." for name, what in changed.items() if what]
    last = usable["last"][1] if "last" in usable else None
    names = {metric.name for metric in result.metrics}
    losses = [f"metric {m.name} is no longer reported" for m in (last.metrics if last else ()) if m.name not in names]
    return SuiteComparison(result, changes, tuple(losses), " ".join(dict.fromkeys(notes)) or None, last)


def _changed(result: SuiteResult, old: SuiteResult) -> str:
    parts = ("dataset", "split", "scorer")
    return " and ".join(part for part in parts if getattr(result, part) != getattr(old, part))


def _against(
    metric: Metric, result: SuiteResult, references: Mapping[Reference, tuple[str, SuiteResult]]
) -> tuple[Against, ...]:
    return tuple(
        compare_metric(
            old,
            metric,
            run_id=run_id,
            reference=name,
            old_examples=before.examples,
            new_examples=result.examples,
        )
        for name, (run_id, before) in references.items()
        for old in before.metrics
        if old.name == metric.name
    )


def _corrected(comparison: Comparison) -> Comparison:
    """With q instead of p, over all metrics that are compared with the same run."""
    q: dict[int, float] = {}
    families: dict[Reference, int] = {}
    everything = [each for suite in comparison.suites for change in suite.changes for each in change.against]
    for reference in dict.fromkeys(each.reference for each in everything):
        judged = [each for each in everything if each.reference == reference and each.p is not None]
        families[reference] = len(judged)
        q |= zip(map(id, judged), correct([each.p or 0.0 for each in judged]), strict=True)

    def settled(each: Against) -> Against:
        return each if each.p is None else decide(replace(each, q=q[id(each)], verdict="steady"))

    suites = tuple(
        replace(
            suite,
            changes=tuple(replace(change, against=tuple(map(settled, change.against))) for change in suite.changes),
        )
        for suite in comparison.suites
    )
    return replace(comparison, suites=suites, families=families)
