"""Writes a run's report: JSON, and one HTML page of the same figures. Ignores how figures came about.

The page needs nothing but itself: CSS and drawings are inline, there is no script and no address to fetch.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from service.evals.compare import Comparison, MetricChange, SuiteComparison

FORMAT = "trivium-evaluation/1"
BAR_WIDTH, BAR_HEIGHT = 150, 18  # px


@dataclass(frozen=True)
class RunInfo:
    """What a report says about the run itself."""

    run_id: str
    started_at: datetime
    duration_s: float
    git_version: str | None
    models: Mapping[str, str]
    machine: Mapping[str, Any]
    last_run_ids: tuple[str, ...]  # more than one when domains were last run apart
    exit_code: int


def write_report(info: RunInfo, comparison: Comparison, out_dir: Path) -> tuple[Path, Path]:
    """Write `<run id>.html` and `<run id>.json` into `out_dir`; each appears whole or not at all."""
    report = describe(info, comparison)
    html_path, json_path = out_dir / f"{info.run_id}.html", out_dir / f"{info.run_id}.json"
    for path, text in (
        (json_path, json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False)),
        (html_path, render_html(report)),
    ):
        part = path.with_name(path.name + ".part")
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)  # noqa: PTH105  the atomic call, by name
    return html_path, json_path


def describe(info: RunInfo, comparison: Comparison) -> dict[str, Any]:
    """The report as JSON-able data, figures in full precision. `change` and its bounds are positive when better."""
    domains = [
        {"name": domain, "suites": [_suite(suite) for suite in suites]}
        for domain, suites in groupby(comparison.suites, key=lambda suite: suite.result.domain)
    ]
    verdicts = [change.verdict for suite in comparison.suites for change in suite.changes]
    statuses = [suite.result.status for suite in comparison.suites]
    return {
        "format": FORMAT,
        "run": {**asdict(info), "started_at": info.started_at.isoformat(timespec="seconds")},
        "summary": {
            "alarms": comparison.num_alarms,
            "metrics": len(verdicts),
            **{
                verdict: verdicts.count(verdict)
                for verdict in ("regressed", "improved", "steady", "new", "incomparable")
            },
            **{status: statuses.count(status) for status in ("ok", "failed", "skipped")},
        },
        "gone": [{"domain": domain, "suite": name} for domain, name in comparison.gone],
        "domains": domains,
    }


def _suite(suite: SuiteComparison) -> dict[str, Any]:
    result = asdict(suite.result)
    del result["metrics"], result["domain"]
    return {
        **result,
        "losses": list(suite.losses),
        "note": suite.note,
        "metrics": [_metric(change) for change in suite.changes],
    }


def _metric(change: MetricChange) -> dict[str, Any]:
    last = change.last
    return {
        **asdict(change.metric),
        "verdict": change.verdict,
        "last": None if last is None else {"value": last.value, "low": last.low, "high": last.high, "n": last.n},
        "last_run_id": change.last_run_id,
        "change": change.change,
        "change_low": change.low,
        "change_high": change.high,
    }


def render_html(report: Mapping[str, Any]) -> str:
    """The page for `describe`'s data. Every text in it is escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(num=format_number, delta=format_change, seconds=format_seconds, bar=bar_geometry)
    suites = [(domain["name"], suite) for domain in report["domains"] for suite in domain["suites"]]
    regressions = [
        (name, suite, row) for name, suite in suites for row in suite["metrics"] if row["verdict"] == "regressed"
    ]
    losses = [(name, suite, loss) for name, suite in suites for loss in suite["losses"]]
    return environment.get_template("report.html").render(**report, regressions=regressions, losses=losses)


def format_number(value: float) -> str:
    """As many digits as a reader takes in: 0.794, 0.00091, 12.31, 1,204, 2.1e-05."""
    size = abs(value)
    if size == 0:
        return "0"
    if size < 0.0001:
        text = f"{size:.1e}"
    elif size < 10:
        text = f"{size:.{max(3, 1 - math.floor(math.log10(size)))}f}"
    elif size < 100:
        text = f"{size:.2f}"
    else:
        text = f"{size:,.1f}" if size < 1000 else f"{size:,.0f}"
    return f"−{text}" if value < 0 else text


def format_change(value: float) -> str:
    """A signed number; zero is "0"."""
    if value == 0:
        return "0"
    return ("+" if value > 0 else "") + format_number(value)


def format_seconds(value: float) -> str:
    """A duration: 0.4 s, 12 s, 3 min 05 s, 1 h 02 min."""
    if value < 10:
        return f"{value:.1f} s"
    minutes, seconds = divmod(round(value), 60)
    if minutes == 0:
        return f"{seconds} s"
    return f"{minutes} min {seconds:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def bar_geometry(metric: Mapping[str, Any]) -> dict[str, float | None]:
    """Pixel positions of a metric's marks on its own scale, which spans its interval, last value and baseline."""
    last = metric["last"]["value"] if metric["last"] else None
    marks = [metric["value"], metric["low"], metric["high"], last, metric["baseline_value"]]
    shown = [mark for mark in marks if mark is not None]
    smallest, span = min(shown), max(shown) - min(shown)
    margin = 8.0

    def place(mark: float | None) -> float | None:
        if mark is None:
            return None
        share = (mark - smallest) / span if span else 0.5
        return round(margin + share * (BAR_WIDTH - 2 * margin), 1)

    names = ("value", "low", "high", "last", "baseline")
    return {"width": BAR_WIDTH, "height": BAR_HEIGHT, **dict(zip(names, map(place, marks), strict=True))}
