"""Pictures of a score, its reasons and a metric's interval: pure functions to a chart. Ignores Streamlit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
DARK = Palette("#4FC3B3", "#3FA798", "#D9AE5A", "#E07F5F", "#E3E9E7", "#9AA8A5", "#3E4E53")


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
    """One bar of a waterfall: `points` is the change, or the level at both ends; `detail` is a second line."""

    label: str
    detail: str
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
    y = alt.Scale(domain=[-0.3 * top, 1.28 * top], nice=False)
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
                "label": f"{step.label}\n{step.detail}",
                "start": start,
                "end": level,
                "points": step.points,
                "kind": "up"
                if step.kind == "reason" and step.points >= 0
                else "down"
                if step.kind == "reason"
                else step.kind,
                "text": signed(step.points) if step.kind == "reason" else f"{step.points:.0f}",
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
            labelLimit=270,
            labelExpr="split(datum.value, '\\n')",
            labelFontSize=13,
            labelColor=palette.text,
            labelLineHeight=16,
            labelOffset=-8,  # the labels have two lines, and only their first is centred on the bar
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


def signed(points: float) -> str:
    """Whole points with their sign; nothing that rounds to zero has one."""
    whole = round(points)
    return "0" if whole == 0 else f"+{whole}" if whole > 0 else f"−{-whole}"


def interval_html(
    value: float,
    *,
    low: float,
    high: float,
    domain: tuple[float, float],
    palette: Palette,
    baseline: float | None = None,
    last: float | None = None,
) -> str:
    """A value with its interval, the baseline as a dashed line and the last value as a ring, as wide as its place.

    Plain boxes, because Streamlit's HTML element drops SVG.

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

    def box(style: str) -> str:
        return f'<span style="position:absolute;{style}"></span>'

    def dot(number: float, radius: int, style: str) -> str:
        place = (
            f"left:calc({at(number):.2f}% - {radius}px);top:{11 - radius}px;width:{2 * radius}px;height:{2 * radius}px"
        )
        return box(f"{place};border-radius:50%;box-sizing:border-box;{style}")

    marks = [
        box(f"left:0;right:0;top:10.5px;height:1px;background:{palette.faint}"),
        box(
            f"left:{at(low):.2f}%;width:{max(at(high) - at(low), 0.4):.2f}%;top:8px;height:6px;border-radius:3px;"
            f"background:{palette.accent};opacity:0.35"
        ),
    ]
    if baseline is not None:
        marks.append(box(f"left:{at(baseline):.2f}%;top:1px;height:20px;border-left:1.5px dashed {palette.text}"))
    if last is not None:
        marks.append(dot(last, 7, f"border:1.5px solid {palette.muted}"))
    marks.append(dot(value, 5, f"background:{palette.accent}"))
    return f'<div style="position:relative;height:22px;min-width:110px">{"".join(marks)}</div>'


def history(points: pd.DataFrame, *, palette: Palette, title: str) -> Any:
    """Draw one metric over runs, with its interval.

    Args:
        points: Columns `started` (time), `value`, `low`, `high`.
        palette: Colours.
        title: The metric's name.
    """
    base = alt.Chart(points).encode(
        x=alt.X(
            "started:T", title=None, axis=alt.Axis(format="%m-%d %H:%M", labelOverlap=True, grid=False, tickCount=6)
        )
    )
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
