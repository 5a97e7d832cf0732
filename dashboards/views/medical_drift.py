"""Quality and drift: verdicts by week, finding rates, what people removed or added. Ignores how they are counted."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from dashboards import parts
from dashboards.i18n import Labels
from service.client import TriviumClient
from verticals.medical.reading_schemas import KindRates, Rate, WatchRequest, WatchResponse
from verticals.medical.schemas import QualityVerdict

_DAYS = (30, 90, 365)
_VERDICTS: tuple[QualityVerdict, ...] = ("accept", "warn", "reject")


def drift(client: TriviumClient, labels: Labels) -> None:
    """Draw the page of the period that the reader chose."""
    left, _ = st.columns([1, 4])
    days = left.selectbox(labels("drift.days"), _DAYS, index=1)
    found = parts.ask(labels, lambda: client.call("medical", "watch", WatchRequest(days=days)))
    if found is None:
        return
    for column, name in zip(st.columns(3), ("studies", "read_by_model", "signed"), strict=True):
        column.metric(labels(f"drift.{name}"), getattr(found, name))
    st.subheader(labels("drift.quality"), anchor=False)
    if found.weeks:
        st.altair_chart(quality_chart(labels, found), theme=None)
    else:
        parts.empty(labels("drift.no_studies"), labels("drift.no_studies_hint"))
    _rates(labels, found)
    _overrides(labels, found)


def quality_chart(labels: Labels, found: WatchResponse) -> Any:
    """Studies of each week by verdict."""
    colours = parts.palette()
    names = [labels(f"verdict.{verdict}") for verdict in _VERDICTS]
    rows = pd.DataFrame(
        [
            {"week": str(week.start), "verdict": name, "studies": week.verdicts.get(verdict, 0), "order": i}
            for week in found.weeks
            for i, (verdict, name) in enumerate(zip(_VERDICTS, names, strict=True))
        ]
    )
    scale = alt.Scale(domain=names, range=[colours.good, colours.doubt, colours.bad])
    axis = {
        "labelColor": colours.text,
        "titleColor": colours.muted,
        "gridColor": colours.faint,
        "domainColor": colours.faint,
    }
    return (
        alt.Chart(rows, background="transparent", height=200)
        .mark_bar(size=18)
        .encode(
            x=alt.X("week:O", title=labels("drift.week"), axis=alt.Axis(labelAngle=0, labelOverlap=True)),
            y=alt.Y("sum(studies):Q", title=labels("drift.count"), axis=alt.Axis(tickMinStep=1)),
            color=alt.Color(
                "verdict:N", title=None, scale=scale, legend=alt.Legend(orient="top", labelColor=colours.text)
            ),
            order="order:Q",
            tooltip=["week", "verdict", "studies"],
        )
        .configure_axis(**axis)
        .configure_view(stroke=None)
    )


def _rates(labels: Labels, found: WatchResponse) -> None:
    st.subheader(labels("drift.rates"), anchor=False)
    st.caption(labels("drift.rates_note", days=found.days))
    rows = [row for one in found.kinds if (row := _found_row(labels, one)) is not None]
    if rows:
        parts.intervals(rows)
    else:
        parts.empty(labels("drift.no_model"), labels("drift.no_model_hint"))


def _found_row(labels: Labels, one: KindRates) -> parts.IntervalRow | None:
    before = one.found_before.share
    return _row(
        labels(f"kind.{one.kind}"),
        one.found,
        note=labels("drift.of", count=one.found.count, total=one.found.total),
        baseline=before,
        verdict=labels("drift.moved") if one.has_moved else labels("drift.steady") if before is not None else "",
        is_alarm=one.has_moved,
    )


def _overrides(labels: Labels, found: WatchResponse) -> None:
    st.subheader(labels("drift.overrides"), anchor=False)
    st.caption(labels("drift.overrides_note"))
    rows = []
    for what in ("removed", "added"):
        named = [(labels("drift.together"), getattr(found, what))]
        named += [(labels(f"kind.{one.kind}"), getattr(one, what)) for one in found.kinds]
        for name, rate in named:
            note = labels(f"drift.{what}_of", count=rate.count, total=rate.total)
            rows.append(_row(f"{labels(f'drift.{what}')}: {name}", rate, note=note))
    told = [row for row in rows if row is not None]
    if told:
        parts.intervals(told)
    else:
        parts.empty(labels("drift.no_signed"), labels("drift.no_signed_hint"))


def _row(
    name: str, rate: Rate, *, note: str, baseline: float | None = None, verdict: str = "", is_alarm: bool = False
) -> parts.IntervalRow | None:
    """A rate as a row; None where there is nothing to count."""
    if rate.share is None or rate.low is None or rate.high is None:
        return None
    return parts.IntervalRow(
        name, rate.share, rate.low, rate.high, (0.0, 1.0),
        baseline=baseline, note=note, verdict=verdict, tone="bad" if is_alarm else None, form=".1%",
    )  # fmt: skip
