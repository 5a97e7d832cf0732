"""Pictures of the operations view: a signal over time, experts by layer, two distributions. Ignores Streamlit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd

from dashboards.charts import Palette

SHORT = "abs(datum.value) < 1000 ? format(datum.value, '.3~g') : format(datum.value, '.3~s')"
HUES = ("#0F766E", "#B8573A", "#4F6D9B", "#B38A1D", "#7A5C8E", "#5B6866")


def trend(
    series: Mapping[str, Sequence[tuple[str, float]]],
    *,
    palette: Palette,
    title: str,
    limits: Mapping[str, float] | None = None,
) -> Any:
    """One signal over time, a line for each of its subjects, its limits as dashed lines.

    Args:
        series: Name of the subject -> (time, value) pairs.
        limits: Name -> value.
    """
    rows = [{"at": at, "value": value, "of": of} for of, points in series.items() for at, value in points]
    frame = pd.DataFrame(rows).assign(at=lambda each: pd.to_datetime(each["at"], format="ISO8601"))
    several = len(series) > 1
    colour = alt.Color(
        "of:N",
        title=None,
        scale=alt.Scale(domain=list(series), range=list(HUES)),
        legend=alt.Legend(orient="top", labelColor=palette.text),
    )
    base = alt.Chart(frame).encode(
        x=alt.X("at:T", title=None, axis=alt.Axis(format="%H:%M", grid=False, tickCount=6, tickMinStep=60_000)),
        y=alt.Y(
            "value:Q", title=None, scale=alt.Scale(zero=True, nice=True), axis=alt.Axis(tickCount=4, labelExpr=SHORT)
        ),
        tooltip=[
            alt.Tooltip("of:N", title=" "),
            alt.Tooltip("at:T", format="%H:%M:%S"),
            alt.Tooltip("value:Q", format=".4~g"),
        ],
    )
    line = base.mark_line(strokeWidth=1.8, point={"size": 14} if len(frame) < 40 else False)
    layers = [line.encode(color=colour) if several else line.encode(color=alt.value(palette.accent))]
    for i, (name, value) in enumerate((limits or {}).items()):
        ruled = alt.Chart(pd.DataFrame([{"limit": value, "name": name}]))
        layers.append(ruled.mark_rule(strokeDash=[5, 4], color=palette.bad).encode(y="limit:Q"))
        side = {"align": "right", "x": "width", "dx": -4, "dy": -7 if i % 2 == 0 else 9}  # above and below
        layers.append(ruled.mark_text(color=palette.bad, **side).encode(y="limit:Q", text="name:N"))
    chart = alt.layer(*layers).properties(height=150, background="transparent")
    chart = chart.properties(title=alt.TitleParams(title, anchor="start", fontSize=13, color=palette.text))
    return _plain(chart, palette)


def heatmap(layers: Mapping[str, Sequence[int]], *, palette: Palette, expert: str, layer: str, load: str) -> Any:
    """Load of each expert over the even load, a row a layer.

    Args:
        layers: Layer -> tokens of each expert.
        expert: Title of the x axis, as `layer` of the y axis and `load` of the legend.
    """
    rows = []
    for name, counts in layers.items():
        mean = sum(counts) / len(counts)
        rows += [
            {"layer": int(name), "expert": i, "load": count / mean if mean else 1.0, "tokens": count}
            for i, count in enumerate(counts)
        ]
    scale = alt.Scale(
        domain=[0, 1, 4], range=[palette.doubt, palette.faint, palette.accent], clamp=True, interpolate="rgb"
    )
    legend = alt.Legend(
        orient="top", gradientLength=220, labelColor=palette.text, titleColor=palette.muted, values=[0, 1, 2, 3, 4]
    )
    chart = (
        alt.Chart(pd.DataFrame(rows))
        .mark_rect(stroke=None)
        .encode(
            x=alt.X(
                "expert:O", title=expert, axis=alt.Axis(labelAngle=0, labelOverlap=True, ticks=False, domain=False)
            ),
            y=alt.Y("layer:O", title=layer, axis=alt.Axis(labelOverlap=True, ticks=False, domain=False)),
            color=alt.Color("load:Q", title=load, scale=scale, legend=legend),
            tooltip=["layer", "expert", alt.Tooltip("load:Q", format=".2f"), "tokens"],
        )
        .properties(height=alt.Step(max(8, min(22, 460 // max(len(layers), 1)))), background="transparent")
    )
    return _plain(chart, palette)


def shares(
    bins: Sequence[str],
    reference: Sequence[int],
    now: Sequence[int],
    *,
    palette: Palette,
    names: tuple[str, str],
    title: str,
) -> Any:
    """Two distributions over the same bins, side by side, as shares."""
    rows = []
    for name, counts in zip(names, (reference, now), strict=True):
        total = sum(counts) or 1
        rows += [
            {"bin": b, "of": name, "share": count / total, "count": count}
            for b, count in zip(bins, counts, strict=True)
        ]
    colour = alt.Color(
        "of:N",
        title=None,
        scale=alt.Scale(domain=list(names), range=[palette.muted, palette.accent]),
        legend=alt.Legend(orient="top", labelColor=palette.text),
    )
    chart = (
        alt.Chart(pd.DataFrame(rows))
        .mark_bar()
        .encode(
            x=alt.X(
                "bin:N", title=None, sort=list(bins), axis=alt.Axis(labelAngle=0, labelLimit=110, labelOverlap=True)
            ),
            xOffset=alt.XOffset("of:N", sort=list(names)),
            y=alt.Y("share:Q", title=title, axis=alt.Axis(format="%", tickCount=4)),
            color=colour,
            tooltip=["bin", "of", alt.Tooltip("share:Q", format=".1%"), "count"],
        )
        .properties(height=220, background="transparent")
    )
    return _plain(chart, palette)


def _plain(chart: Any, palette: Palette) -> Any:
    return (
        chart.configure(font="Source Sans, Noto Sans SC, sans-serif")
        .configure_axis(
            labelColor=palette.text, titleColor=palette.muted, gridColor=palette.faint, domainColor=palette.faint
        )
        .configure_view(stroke=None)
    )
