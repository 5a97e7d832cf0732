"""Makes a run's report of its comparison, and writes it: JSON, and one HTML page of the same. Ignores drawing."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

from service.evals.compare import Comparison, MetricChange, SuiteComparison
from service.evals.history import MetricKey, Point
from service.evals.judge import Against, moved_examples
from service.evals.page import render_html
from service.evals.report_schema import (
    FORMAT,
    AgainstPart,
    CostPart,
    DomainPart,
    ExamplePart,
    GonePart,
    MetricPart,
    PointPart,
    Report,
    RunPart,
    SlicePart,
    SuitePart,
    SummaryPart,
)
from service.evals.runner import SuiteResult
from verticals.contract import Example
from verticals.scores import mean_metric

MAX_MOVED = 20  # examples that are shown of a suite


def write_report(report: Report, out_dir: Path) -> tuple[Path, Path]:
    """Write `<run id>.html` and `<run id>.json` into `out_dir`; each appears whole or not at all."""
    found = report.model_dump(mode="json")
    html_path, json_path = out_dir / f"{report.run.run_id}.html", out_dir / f"{report.run.run_id}.json"
    for path, text in (
        (json_path, json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False)),
        (html_path, render_html(found)),
    ):
        part = path.with_name(path.name + ".part")
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)  # noqa: PTH105  the atomic call, by name
    return html_path, json_path


def describe(run: RunPart, comparison: Comparison, trends: Mapping[MetricKey, Sequence[Point]] | None = None) -> Report:
    """The report of a run; `trends` are the metrics' values in earlier runs, oldest first."""
    domains = [
        DomainPart(name=domain, suites=[_suite(suite, trends or {}) for suite in suites])
        for domain, suites in groupby(comparison.suites, key=lambda suite: suite.result.domain)
    ]
    verdicts = [change.verdict for suite in comparison.suites for change in suite.changes]
    statuses = [suite.result.status for suite in comparison.suites]
    return Report(
        format=FORMAT,
        run=run,
        summary=SummaryPart(
            alarms=comparison.num_alarms,
            metrics=len(verdicts),
            regressed=verdicts.count("regressed"),
            improved=verdicts.count("improved"),
            steady=verdicts.count("steady"),
            new=verdicts.count("new"),
            incomparable=verdicts.count("incomparable"),
            ok=statuses.count("ok"),
            failed=statuses.count("failed"),
            skipped=statuses.count("skipped"),
        ),
        gone=[GonePart(domain=domain, suite=name) for domain, name in comparison.gone],
        domains=domains,
    )


def _suite(suite: SuiteComparison, trends: Mapping[MetricKey, Sequence[Point]]) -> SuitePart:
    result, last = suite.result, suite.last
    moved = moved_examples(last.examples, result.examples, result.metrics) if last else []
    return SuitePart(
        name=result.name,
        dataset=result.dataset,
        split=result.split,
        solver=result.solver,
        scorer=result.scorer,
        status=result.status,
        reason=result.reason,
        duration_s=result.duration_s,
        cost=_cost(result),
        last_duration_s=last.duration_s if last else None,
        last_cost=_cost(last) if last else None,
        losses=list(suite.losses),
        note=suite.note,
        metrics=[_metric(change, trends.get((*result.key, change.metric.name), ())) for change in suite.changes],
        slices=list(_slices(result, last)),
        num_examples=len(result.examples),
        num_moved=len(moved),
        moved=[_example(case_id, by, last.examples, result.examples) for case_id, by in moved[:MAX_MOVED] if last],
    )


def _cost(result: SuiteResult) -> CostPart | None:
    return None if result.cost is None else CostPart(**asdict(result.cost))


def _metric(change: MetricChange, trend: Sequence[Point]) -> MetricPart:
    return MetricPart(
        **asdict(change.metric),
        verdict=change.verdict,
        against=[_against(each) for each in change.against],
        trend=[PointPart(**asdict(point)) for point in trend],
    )


def _against(each: Against) -> AgainstPart:
    old = each.old
    return AgainstPart(
        reference=each.reference,
        run_id=each.run_id,
        value=old.value,
        low=old.low,
        high=old.high,
        n=old.n,
        verdict=each.verdict,
        change=each.change,
        change_low=each.low,
        change_high=each.high,
        p=each.p,
        q=each.q,
        num_pairs=each.num_pairs,
    )


def _slices(result: SuiteResult, last: SuiteResult | None) -> Iterator[SlicePart]:
    """Each metric that examples have scores of, over the examples of each slice."""
    belongs = dict.fromkeys((name, value) for each in result.examples.values() for name, value in each.slices.items())
    for name, value in belongs:
        mine = _of_slice(result.examples, name, value)
        before = _of_slice(last.examples, name, value) if last else {}
        for metric in (metric.name for metric in result.metrics):
            if not any(metric in each.scores for each in mine.values()):
                continue
            figure = mean_metric(metric, mine)
            known = any(metric in each.scores for each in before.values())
            yield SlicePart(
                name=name,
                value_of=value,
                metric=metric,
                value=figure.value,
                low=figure.low,
                high=figure.high,
                n=figure.n,
                last_value=mean_metric(metric, before).value if known else None,
            )


def _of_slice(examples: Mapping[str, Example], name: str, value: str) -> dict[str, Example]:
    return {case_id: each for case_id, each in examples.items() if each.slices.get(name) == value}


def _example(case_id: str, by: float, old: Mapping[str, Example], new: Mapping[str, Example]) -> ExamplePart:
    return ExamplePart(
        id=case_id,
        change=by,
        before=dict(old[case_id].scores),
        now=dict(new[case_id].scores),
        shown_before=old[case_id].shown,
        shown_now=new[case_id].shown,
    )
