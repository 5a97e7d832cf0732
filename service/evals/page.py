"""Draws a report as one HTML page. Ignores how figures came about.

The page needs nothing but itself: CSS and drawings are inline, there is no script and no address to fetch. Both
languages are in it; a check box shows one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from service.evals.compare import ALARMING
from service.evals.numbers import format_change, format_number, format_seconds
from service.evals.words import WORDS

BAR_WIDTH, BAR_HEIGHT = 150, 18  # px
TREND_WIDTH, TREND_HEIGHT = 110, 36  # px
MARGIN = 8.0


def render_html(report: Mapping[str, Any]) -> str:
    """The page of a report as JSON-able data. Every text in it is escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        num=format_number, delta=format_change, seconds=format_seconds, bar=bar_geometry, trend=trend_geometry
    )
    suites = [(domain["name"], suite) for domain in report["domains"] for suite in domain["suites"]]
    regressions = [
        (name, suite, row, each)
        for name, suite in suites
        for row in suite["metrics"]
        for each in row["against"]
        if each["verdict"] == "regressed" and each["reference"] in ALARMING
    ]
    regressions.sort(key=lambda found: found[3]["q"])
    losses = [(name, suite, loss) for name, suite in suites for loss in suite["losses"]]
    template = environment.get_template("report.html")
    return template.render(**report, words=WORDS, regressions=regressions, losses=losses)


def bar_geometry(metric: Mapping[str, Any]) -> dict[str, float | None]:
    """Pixel positions of a metric's marks on its own scale, which spans its interval, last value and baseline."""
    last = next((each["value"] for each in metric["against"] if each["reference"] == "last"), None)
    marks = [metric["value"], metric["low"], metric["high"], last, metric["baseline_value"]]
    shown = [mark for mark in marks if mark is not None]
    names = ("value", "low", "high", "last", "baseline")
    places = [None if mark is None else _place(mark, shown, BAR_WIDTH) for mark in marks]
    return {"width": BAR_WIDTH, "height": BAR_HEIGHT, **dict(zip(names, places, strict=True))}


def trend_geometry(metric: Mapping[str, Any]) -> dict[str, Any]:
    """The trend as SVG coordinates: points by time, a line through them, and the band of their intervals.

    Its scale is its own; it spans all intervals of the runs that are drawn, the present one last.
    """
    points = metric["trend"]
    figures = [point[name] for point in points for name in ("value", "low", "high")]

    def y(figure: float) -> float:
        return round(TREND_HEIGHT - _place(figure, figures, TREND_HEIGHT, margin=4.0), 1)

    xs = [_place(i, (0, len(points) - 1), TREND_WIDTH) for i in range(len(points))]
    values = [(x, y(point["value"])) for x, point in zip(xs, points, strict=True)]
    upper = [(x, y(point["high"])) for x, point in zip(xs, points, strict=True)]
    lower = [(x, y(point["low"])) for x, point in zip(xs, points, strict=True)]
    return {
        "width": TREND_WIDTH,
        "height": TREND_HEIGHT,
        "points": values,
        "line": _path(values),
        "band": _path([*upper, *reversed(lower)]),
    }


def _place(mark: float, shown: Sequence[float], width: float, margin: float = MARGIN) -> float:
    smallest, span = min(shown), max(shown) - min(shown)
    share = (mark - smallest) / span if span else 0.5
    return round(margin + share * (width - 2 * margin), 1)


def _path(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x},{y}" for x, y in points)
