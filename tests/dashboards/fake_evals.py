"""Made-up evaluation runs in the shape of the real report."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session, sessionmaker

from service.evals.compare import Previous, compare
from service.evals.cost import Cost
from service.evals.history import Point
from service.evals.page import render_html
from service.evals.report import describe
from service.evals.report_schema import RunPart
from service.evals.runner import Status, SuiteResult
from service.evals.tables import EvalRun
from verticals.contract import Example, Metric
from verticals.scores import mean_metric


def _metric(name: str, value: float, *, half: float = 0.02, **more: Any) -> Metric:
    return Metric(name, value, value - half, value + half, 300, **more)


def _suite(domain: str, name: str, *metrics: Metric, status: Status = "ok", reason: str | None = None) -> SuiteResult:
    return SuiteResult(
        domain=domain,
        name=name,
        dataset="made-up data",
        split="test",
        solver=f"{domain} handler",
        scorer="made-up scorer",
        status=status,
        reason=reason,
        duration_s=1.5,
        metrics=metrics,
    )


def _tickets(run: int) -> SuiteResult:
    examples = {
        f"talk {i}": Example(
            {"right category": float(i != run)},
            {"category": "delivery" if i % 2 else "billing"},
            f"ticket {i} of {run}",
        )
        for i in range(12)
    }
    suite = _suite("support", "tickets", mean_metric("right category", examples))
    return replace(suite, examples=examples, cost=Cost(tokens=4_100, cpu_s=31.0, peak_mb=1_900.0))


def _results(run: int) -> list[SuiteResult]:
    worse = 0.06 if run == 5 else 0.0
    constant = {"baseline": "one-hot logistic", "baseline_value": 0.76}
    return [
        _suite(
            "core",
            "perplexity",
            _metric("perplexity", 21.4 - 0.1 * run, half=0.4, higher_is_better=False),
            _metric("int8 drift", 0.012, half=0.001, higher_is_better=False),
        ),
        _suite("finance", "german credit", _metric("AUC", 0.785 + 0.002 * run, **constant), _metric("KS", 0.47)),
        _suite("medical", "iu reports", status="skipped", reason="The data is not mounted; set TRIVIUM_DATA."),
        _suite(
            "support",
            "retrieval",
            _metric("recall@5", 0.91 - worse, half=0.015, baseline="BM25", baseline_value=0.84),
            _metric("nDCG@5", 0.82 + 0.05 * (run == 5), half=0.015),
        ),
        _tickets(run),
    ]


def reports() -> list[dict[str, Any]]:
    """Five runs, newest first; the last one has a regression and an improvement."""
    found: list[dict[str, Any]] = []
    before: dict[tuple[str, str], Previous] = {}
    trends: dict[tuple[str, str, str], list[Point]] = {}
    for run in range(1, 6):
        results = _results(run)
        comparison = compare(results, before)
        started = datetime(2026, 11, 15, 3, tzinfo=UTC) + timedelta(days=run)
        info = RunPart(
            run_id=f"{started:%Y%m%dT%H%M%SZ}-{run:06d}",
            started_at=started,
            duration_s=61.0,
            git_version="0123456789ab",
            models={"core": "fake-moe-1", "finance.scorecard": "1-0123456789ab"},
            machine={},
            target=None,
            last_run_ids=[],
            week_run_id=None,
            baseline_run_id=None,
            families={str(name): count for name, count in comparison.families.items()},
            exit_code=1 if comparison.num_alarms else 0,
        )
        for result in results:
            for metric in result.metrics:
                point = Point(info.run_id, started, metric.value, metric.low, metric.high)
                trends.setdefault((*result.key, metric.name), []).append(point)
        found.insert(0, describe(info, comparison, trends).model_dump(mode="json"))
        before = {
            result.key: Previous(result.status, info.run_id, result if result.metrics else None, info.run_id)
            for result in results
        }
    return found


def store(reports: list[dict[str, Any]], *, sessions: sessionmaker[Session], folder: Path) -> None:
    """Keep reports where the API reads them: a row in the database, a JSON file in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with sessions.begin() as session:
        for report in reports:
            run = report["run"]
            session.add(
                EvalRun(
                    id=run["run_id"],
                    tenant="demo",
                    status="completed",
                    started_at=datetime.fromisoformat(run["started_at"]),
                    git_version=run["git_version"],
                    models=run["models"],
                    machine={},
                    exit_code=run["exit_code"],
                )
            )
            (folder / f"{run['run_id']}.json").write_text(json.dumps(report), encoding="utf-8")
            (folder / f"{run['run_id']}.html").write_text(render_html(report), encoding="utf-8")
