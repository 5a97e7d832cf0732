"""Pictures of a score, its reasons and a metric's interval: pure functions to a chart. Ignores Streamlit."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Literal

import altair as alt
import pandas as pd

Tone = Literal["good", "doubt", "bad"]


@dataclass(frozen=True)
class Palette:
    """Colours of one theme. `good` and `bad` differ in lightness too, so they are told apart without colour."""

    accent: str
    good: str
    doubt: str
    bad: str
    text: str
    muted: str
    faint: str


LIGHT = Palette("#0F766E", "#2E8B7F", "#D9A441", "#B8573A", "#1C2524", "#5B6866", "#D5DCDA")
DARK = Palette("#4FC3B3", "#3FA798", "#D9AE5A", "#E07F5F", "#E3E9E7", "#9AA8A5", "#344145")


@dataclass(frozen=True)
class Band:
    """A range of points that leads to one decision. `low` is inclusive, `high` exclusive."""

    low: float
    high: float
    label: str
    tone: Tone


@dataclass(frozen=True)
class Bin:
    """How many of the reference population score in [low, high)."""

    low: float
    high: float
    count: int


@dataclass(frozen=True)
class Step:
    """One bar of a waterfall. `points` is the change, or the level for the first and last step."""

    label: str
    points: float
    kind: Literal["base", "reason", "total"] = "reason"


def score_scale(
    points: float, *, bands: Sequence[Band], population: Sequence[Bin], palette: Palette, title: str, people: str
) -> Any:
    """Draw a score on its scale, over the decision bands and the distribution of the reference population.

    Args:
        points: The score.
        bands: Decision bands, lowest first; they cover the scale.
        population: Histogram of the reference population; may be empty.
        palette: Colours.
        title: What the x axis shows.
        people: What a bar counts, for the tooltip.
    """
    low = min([band.low for band in bands] + [points])
    high = max([band.high for band in bands] + [points])
    top = max([one.count for one in population], default=1) or 1
    x = alt.Scale(domain=[low, high], nice=False, zero=False)
    y = alt.Scale(domain=[-0.34 * top, 1.28 * top], nice=False)
    axis = alt.Axis(title=title, grid=False, tickCount=8, titlePadding=8)

    strip = pd.DataFrame(
        [
            {"low": b.low, "high": b.high, "middle": (b.low + b.high) / 2, "label": b.label, "tone": b.tone}
            for b in bands
        ]
    )
    colour = alt.Color(
        "tone:N",
        scale=alt.Scale(domain=["good", "doubt", "bad"], range=[palette.good, palette.doubt, palette.bad]),
        legend=None,
    )
    rects = (
        alt.Chart(strip)
        .transform_calculate(y0=str(-0.10 * top), y1=str(-0.03 * top))
        .mark_rect(opacity=0.9)
        .encode(
            x=alt.X("low:Q", scale=x, axis=axis),
            x2="high:Q",
            y=alt.Y("y0:Q", scale=y, axis=None),
            y2="y1:Q",
            color=colour,
            tooltip=[alt.Tooltip("label:N", title=" "), alt.Tooltip("low:Q"), alt.Tooltip("high:Q")],
        )
    )
    names = (
        alt.Chart(strip)
        .transform_calculate(y0=str(-0.23 * top))
        .mark_text(fontSize=12, color=palette.muted)
        .encode(x=alt.X("middle:Q", scale=x), y=alt.Y("y0:Q", scale=y, axis=None), text="label:N")
    )
    bars = (
        alt.Chart(pd.DataFrame([{"low": b.low, "high": b.high, "count": b.count} for b in population] or [{}]))
        .transform_calculate(zero="0")
        .mark_rect(color=palette.faint, stroke=None)
        .encode(
            x=alt.X("low:Q", scale=x),
            x2="high:Q",
            y=alt.Y("zero:Q", scale=y, axis=None),
            y2="count:Q",
            tooltip=[alt.Tooltip("count:Q", title=people), alt.Tooltip("low:Q"), alt.Tooltip("high:Q")],
        )
    )
    marker = pd.DataFrame([{"points": points, "text": f"{points:.0f}", "foot": -0.10 * top, "head": 1.06 * top}])
    rule = (
        alt.Chart(marker)
        .mark_rule(color=palette.text, strokeWidth=2)
        .encode(x=alt.X("points:Q", scale=x), y=alt.Y("foot:Q", scale=y, axis=None), y2="head:Q")
    )
    # The label leans inwards near an end of the scale, where it would be cut off.
    share = (points - low) / (high - low) if high > low else 0.5
    align = "left" if share < 0.06 else "right" if share > 0.94 else "center"
    number = (
        alt.Chart(marker)
        .mark_text(fontSize=20, fontWeight=600, color=palette.text, baseline="bottom", dy=-4, align=align)
        .encode(x=alt.X("points:Q", scale=x), y=alt.Y("head:Q", scale=y, axis=None), text="text:N")
    )
    layers = [bars] if population else []
    return alt.layer(*layers, rects, names, rule, number).properties(height=230).configure_view(stroke=None)


def waterfall_rows(steps: Sequence[Step]) -> pd.DataFrame:
    """Where each bar of a waterfall starts and ends, in order.

    Returns:
        Columns label, start, end, points, kind; `base` and `total` start and end at their level.
    """
    level, rows = 0.0, []
    for idx, step in enumerate(steps):
        start = step.points if step.kind != "reason" else level
        level = step.points if step.kind != "reason" else level + step.points
        rows.append(
            {
                "order": idx,
                "label": wrap(step.label),
                "start": start,
                "end": level,
                "points": step.points,
                "kind": "up"
                if step.kind == "reason" and step.points >= 0
                else "down"
                if step.kind == "reason"
                else step.kind,
                "text": f"{step.points:+.0f}" if step.kind == "reason" else f"{step.points:.0f}",
            }
        )
    return pd.DataFrame(rows)


def waterfall(steps: Sequence[Step], *, palette: Palette, title: str) -> Any:
    """Draw how the reasons lead from the base points to the score, one bar a step.

    Args:
        steps: First the base, then the reasons, last the total; the reasons sum to total minus base.
        palette: Colours.
        title: What the x axis shows.
    """
    rows = waterfall_rows(steps)
    low, high = rows[["start", "end"]].min().min(), rows[["start", "end"]].max().max()
    pad = max(high - low, 10) * 0.14
    x = alt.Scale(domain=[low - pad, high + pad], nice=False, zero=False)
    y = alt.Y(
        "label:N",
        sort=list(rows["label"]),
        axis=alt.Axis(
            title=None,
            labelLimit=320,
            labelExpr="split(datum.value, '\\n')",
            ticks=False,
            domain=False,
            labelPadding=10,
        ),
        scale=alt.Scale(paddingInner=0.42, paddingOuter=0.2),
    )
    chart = alt.Chart(rows)
    kinds = alt.Color("kind:N", scale=alt.Scale(domain=["up", "down"], range=[palette.good, palette.bad]), legend=None)
    tip = [alt.Tooltip("label:N", title=" "), alt.Tooltip("points:Q", format="+.1f")]
    axis = alt.Axis(title=title, tickCount=6, gridOpacity=0.5)
    bars = (
        chart.transform_filter("datum.kind == 'up' || datum.kind == 'down'")
        .mark_bar(cornerRadius=2)
        .encode(x=alt.X("start:Q", scale=x, axis=axis), x2="end:Q", y=y, color=kinds, tooltip=tip)
    )
    ends = (
        chart.transform_filter("datum.kind == 'base' || datum.kind == 'total'")
        .mark_tick(thickness=4, size=24, color=palette.text, cornerRadius=2)
        .encode(x=alt.X("end:Q", scale=x, axis=axis), y=y)
    )
    texts = (
        chart.transform_calculate(at="max(datum.start, datum.end)")
        .mark_text(align="left", dx=8, fontSize=13, fontWeight=600, color=palette.text)
        .encode(x=alt.X("at:Q", scale=x), y=y, text="text:N")
    )
    return alt.layer(bars, ends, texts).properties(height=alt.Step(46)).configure_view(stroke=None)


def wrap(text: str, width: int = 34) -> str:
    """Break `text` into lines of about `width` Latin letters; a Chinese character counts as two."""
    if text.isascii():
        return "\n".join(textwrap.wrap(text, width)) or text
    lines, used = [""], 0
    for char in text:
        size = 1 if ord(char) < 0x2E80 else 2
        if used + size > width and char not in "，。；：、）":
            lines.append("")
            used = 0
        lines[-1] += char
        used += size
    return "\n".join(lines)


def interval_svg(
    value: float,
    *,
    low: float,
    high: float,
    domain: tuple[float, float],
    palette: Palette,
    baseline: float | None = None,
    last: float | None = None,
) -> str:
    """An SVG of a value with its interval, the baseline as a dashed line and the last value as a ring.

    Args:
        value: The figure.
        low: Lower end of its interval.
        high: Upper end of its interval.
        domain: What the left and right edge mean.
        palette: Colours.
        baseline: The figure to compare with, or None.
        last: The figure of the last run, or None.
    """
    left, right = domain
    width = (right - left) or 1.0

    def at(number: float) -> float:
        return 2 + 96 * min(max((number - left) / width, 0.0), 1.0)

    marks = [
        f'<line x1="0" x2="100%" y1="11" y2="11" stroke="{palette.faint}" stroke-width="1"/>',
        f'<rect x="{at(low):.2f}%" width="{max(at(high) - at(low), 0.4):.2f}%" y="8" height="6" rx="3" '
        f'fill="{palette.accent}" fill-opacity="0.35"/>',
    ]
    if baseline is not None:
        marks.append(
            f'<line x1="{at(baseline):.2f}%" x2="{at(baseline):.2f}%" y1="2" y2="20" stroke="{palette.text}" '
            'stroke-width="1.5" stroke-dasharray="3 2"/>'
        )
    if last is not None:
        marks.append(
            f'<circle cx="{at(last):.2f}%" cy="11" r="6" fill="none" stroke="{palette.muted}" stroke-width="1.5"/>'
        )
    marks.append(f'<circle cx="{at(value):.2f}%" cy="11" r="5" fill="{palette.accent}"/>')
    return f'<svg width="100%" height="22" role="img" aria-label="{escape(f"{value:.4g}")}">{"".join(marks)}</svg>'


def history(points: pd.DataFrame, *, palette: Palette, title: str) -> Any:
    """Draw one metric over runs, with its interval.

    Args:
        points: Columns `started` (time), `value`, `low`, `high`.
        palette: Colours.
        title: The metric's name.
    """
    base = alt.Chart(points).encode(x=alt.X("started:T", title=None))
    scale = alt.Scale(zero=False)
    band = base.mark_rule(strokeWidth=6, opacity=0.3, color=palette.accent, strokeCap="round").encode(
        y=alt.Y("low:Q", scale=scale, title=title), y2="high:Q"
    )
    line = base.mark_line(color=palette.accent, strokeWidth=1.5).encode(y=alt.Y("value:Q", scale=scale))
    dots = base.mark_circle(size=60, color=palette.accent, opacity=1).encode(
        y=alt.Y("value:Q", scale=scale),
        tooltip=[
            alt.Tooltip("started:T"),
            *(alt.Tooltip(f"{name}:Q", format=".4f") for name in ("value", "low", "high")),
        ],
    )
    return alt.layer(band, line, dots).properties(height=240).configure_view(stroke=None)
