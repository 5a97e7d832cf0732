"""Pictures of a few-shot method's worth: ROC curves and scores by label. Pure functions; ignores Streamlit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd

from dashboards.charts import Palette

HEIGHT = 240


def roc_chart(curves: Mapping[str, Sequence[tuple[float, float]]], palette: Palette, *, x: str, y: str) -> Any:
    """A stepped line a method, over the diagonal of chance."""
    rows = pd.DataFrame(
        [
            {"method": name, "x": across, "y": up, "order": i}
            for name, points in curves.items()
            for i, (across, up) in enumerate(points)
        ]
    )
    rate = alt.Scale(domain=[0, 1], nice=False)
    colours = alt.Scale(domain=list(curves), range=[palette.accent, palette.doubt, palette.bad])
    lines = (
        alt.Chart(rows)
        .mark_line(strokeWidth=2, interpolate="step-after")
        .encode(
            x=alt.X("x:Q", title=x, scale=rate),
            y=alt.Y("y:Q", title=y, scale=rate),
            color=alt.Color(
                "method:N", title=None, scale=colours, legend=alt.Legend(orient="bottom", labelColor=palette.text)
            ),
            order="order:Q",
            tooltip=["method:N", alt.Tooltip("x:Q", title=x, format=".2f"), alt.Tooltip("y:Q", title=y, format=".2f")],
        )
    )
    chance = (
        alt.Chart(pd.DataFrame({"x": [0, 1], "y": [0, 1]}))
        .mark_line(color=palette.muted, strokeDash=[4, 4], strokeWidth=1)
        .encode(x="x:Q", y="y:Q")
    )
    return _styled(alt.layer(chance, lines, background="transparent", height=HEIGHT), palette)


def score_chart(counts: Mapping[str, Sequence[int]], palette: Palette, *, x: str) -> Any:
    """Images of each label by probability, those of the second label above the line and of the first below."""
    rows = pd.DataFrame(
        [
            {"label": name, "low": i / len(bars), "high": (i + 1) / len(bars), "count": sign * count}
            for sign, (name, bars) in zip((-1, 1), counts.items(), strict=True)
            for i, count in enumerate(bars)
        ]
    )
    colours = alt.Scale(domain=list(counts), range=[palette.muted, palette.accent])
    bars = (
        alt.Chart(rows, background="transparent", height=HEIGHT)
        .mark_bar(binSpacing=1)
        .encode(
            x=alt.X("low:Q", title=x, bin="binned", scale=alt.Scale(domain=[0, 1])),
            x2="high:Q",
            y=alt.Y("count:Q", title=None, axis=alt.Axis(labelExpr="abs(datum.value)", tickMinStep=1)),
            color=alt.Color(
                "label:N", title=None, scale=colours, legend=alt.Legend(orient="bottom", labelColor=palette.text)
            ),
            tooltip=["label:N", "low:Q", "high:Q", "count:Q"],
        )
    )
    return _styled(bars, palette)


def _styled(chart: Any, palette: Palette) -> Any:
    axis = {
        "labelColor": palette.text,
        "titleColor": palette.muted,
        "gridColor": palette.faint,
        "domainColor": palette.faint,
    }
    return chart.configure_axis(**axis).configure_view(stroke=None)
