"""Pictures of many applications: decisions by month, distributions, vintages, figures by cut-off. Ignores Streamlit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import altair as alt
import pandas as pd

from dashboards.charts import Bin, Palette, Tone


def stacked_shares(
    rows: pd.DataFrame, *, order: Sequence[str], tones: Sequence[Tone], palette: Palette, count: str
) -> Any:
    """Draw how each month's decisions divide, one bar a month.

    Args:
        rows: Columns `month`, `decision`, `share` (0-1), `count`.
        order: The decisions, from the bottom of a bar to its top.
        tones: Their tones.
        palette: Colours.
        count: What `count` counts, for the tooltip.
    """
    colour = alt.Color(
        "decision:N",
        scale=alt.Scale(domain=list(order), range=[getattr(palette, tone) for tone in tones]),
        legend=alt.Legend(title=None, orient="top"),
    )
    return (
        alt.Chart(rows.assign(order=[list(order).index(one) for one in rows["decision"]]))
        .mark_bar(size=34)
        .encode(
            x=alt.X("month:O", title=None, axis=alt.Axis(labelAngle=0)),
            y=alt.Y("share:Q", title=None, axis=alt.Axis(format=".0%", gridOpacity=0.5)),
            color=colour,
            order="order:Q",
            tooltip=[
                alt.Tooltip("month:O", title=" "),
                alt.Tooltip("decision:N", title=" "),
                alt.Tooltip("share:Q", format=".1%"),
                alt.Tooltip("count:Q", title=count),
            ],
        )
        .properties(height=230)
        .configure_view(stroke=None)
    )


def two_histograms(
    bins: Sequence[Bin], *, reference: Sequence[Bin], palette: Palette, title: str, names: tuple[str, str]
) -> Any:
    """Draw two distributions over the same bins as shares: one in bars, the reference as a line of steps.

    Args:
        bins: Counts.
        reference: Counts to compare with.
        palette: Colours.
        title: What the x axis shows.
        names: Of the two, for the legend.
    """
    totals = [sum(one.count for one in each) or 1 for each in (bins, reference)]
    rows = pd.DataFrame(
        [
            {"low": a.low, "high": a.high, "share": a.count / totals[0], "before": b.count / totals[1]}
            for a, b in zip(bins, reference, strict=True)
        ]
    )
    x = alt.X("low:Q", title=title, scale=alt.Scale(zero=False, nice=False), axis=alt.Axis(grid=False, tickCount=8))
    axis = alt.Axis(format=".0%", gridOpacity=0.5)
    colours = alt.Scale(domain=list(names), range=[palette.accent, palette.text])
    tip = [alt.Tooltip("low:Q", title=title), *(alt.Tooltip(f"{n}:Q", format=".1%") for n in ("share", "before"))]
    bars = (
        alt.Chart(rows.assign(name=names[0], zero=0))
        .mark_rect(opacity=0.55)
        .encode(
            x=x,
            x2="high:Q",
            y=alt.Y("zero:Q", title=None, axis=axis),
            y2="share:Q",
            color=_colour_of(colours),
            tooltip=tip,
        )
    )
    steps = (
        alt.Chart(rows.assign(name=names[1]))
        .mark_line(interpolate="step-after", strokeWidth=1.5)
        .encode(x=x, y="before:Q", color=_colour_of(colours), tooltip=tip)
    )
    return alt.layer(bars, steps).properties(height=230).configure_view(stroke=None)


def _colour_of(scale: Any) -> Any:
    """Colours of the column `name`, with a legend above the picture."""
    return alt.Color("name:N", scale=scale, legend=alt.Legend(title=None, orient="top"))


def vintage_curves(rows: pd.DataFrame, *, palette: Palette, title: str, along: str) -> Any:
    """Draw the share of defaults by age, one line a vintage, the younger the darker.

    Args:
        rows: Columns `vintage`, `age` (months), `share` (0-1).
        palette: Colours.
        title: What the y axis shows.
        along: What the x axis shows.
    """
    return (
        alt.Chart(rows)
        .mark_line(point=True, strokeWidth=1.8)
        .encode(
            x=alt.X("age:Q", title=along, axis=alt.Axis(grid=False, tickMinStep=1)),
            y=alt.Y("share:Q", title=title, axis=alt.Axis(format=".0%", gridOpacity=0.5)),
            color=alt.Color(
                "vintage:O",
                scale=alt.Scale(range=[palette.faint, palette.accent]),
                legend=alt.Legend(title=None, orient="right"),
            ),
            tooltip=["vintage:O", "age:Q", alt.Tooltip("share:Q", format=".1%")],
        )
        .properties(height=200)
        .configure_view(stroke=None)
    )


@dataclass(frozen=True)
class Mark:
    """A place on the x axis that is named, in one of two colours of the palette."""

    label: str
    at: float
    colour: Literal["accent", "muted"]


def interval_line(
    points: pd.DataFrame, *, marks: Sequence[Mark], palette: Palette, title: str, along: str, form: str
) -> Any:
    """Draw a figure with its interval along a number, with named places on it.

    Args:
        points: Columns `at`, `value`, `low`, `high`.
        marks: Named places.
        palette: Colours.
        title: The figure's name.
        along: What the x axis shows.
        form: How the figure is written, as a d3 format.
    """
    x = alt.X("at:Q", title=along, scale=alt.Scale(zero=False, nice=False), axis=alt.Axis(grid=False, tickCount=6))
    axis = alt.Axis(format=form, gridOpacity=0.5)
    base = alt.Chart(points).encode(x=x)
    band = base.mark_area(opacity=0.22, color=palette.accent).encode(
        y=alt.Y("low:Q", title=title, axis=axis), y2="high:Q"
    )
    line = base.mark_line(color=palette.accent, strokeWidth=2).encode(
        y="value:Q",
        tooltip=[
            alt.Tooltip("at:Q", title=along),
            *(alt.Tooltip(f"{n}:Q", format=form) for n in ("value", "low", "high")),
        ],
    )
    named = pd.DataFrame([{"at": mark.at, "label": mark.label, "colour": mark.colour} for mark in marks])
    colours = alt.Color(
        "colour:N",
        scale=alt.Scale(domain=["accent", "muted"], range=[palette.accent, palette.muted]),
        legend=None,
    )
    rules = alt.Chart(named).mark_rule(strokeWidth=1.5, strokeDash=[4, 3]).encode(x="at:Q", color=colours)
    # one above the other, because two policies often differ by a few points
    texts = [
        alt.Chart(named.iloc[i : i + 1])
        .mark_text(align="left", dx=5, fontSize=12)
        .encode(x="at:Q", y=alt.value(8 + 15 * i), text="label:N", color=colours)
        for i in range(len(named))
    ]
    return alt.layer(band, line, rules, *texts).properties(height=230).configure_view(stroke=None)


def timeline(rows: pd.DataFrame, *, palette: Palette, title: str, balance: str) -> Any:
    """Draw events over time by kind, over the balance owed where a statement says it.

    Args:
        rows: Columns `at` (time), `amount` and `balance` (missing where not said), `kind`.
        palette: Colours.
        title: What an event's height shows.
        balance: What the line shows.
    """
    x = alt.X("at:T", title=None, axis=alt.Axis(grid=False, labelOverlap=True))
    axis = alt.Axis(gridOpacity=0.5, format="~s")
    line = (
        alt.Chart(rows.dropna(subset=["balance"]))
        .mark_line(color=palette.muted, strokeWidth=1.5, interpolate="step-after")
        .encode(
            x=x, y=alt.Y("balance:Q", title=title, axis=axis), tooltip=["at:T", alt.Tooltip("balance:Q", title=balance)]
        )
    )
    dots = (
        alt.Chart(rows.dropna(subset=["amount"]))
        .mark_circle(size=46, opacity=0.75)
        .encode(
            x=x,
            y=alt.Y("amount:Q", title=title, axis=axis),
            color=alt.Color("kind:N", scale=alt.Scale(scheme="tableau10"), legend=alt.Legend(title=None, orient="top")),
            tooltip=["at:T", alt.Tooltip("kind:N", title=" "), alt.Tooltip("amount:Q", format=",.2f")],
        )
    )
    return alt.layer(line, dots).properties(height=260).configure_view(stroke=None)
