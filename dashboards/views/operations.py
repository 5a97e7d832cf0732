"""Operations: what the service does now, live; its trends, its experts, its drift. Ignores how it is watched.

The page looks again by itself, calmly: it asks the API alone, and only what the open tab shows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import streamlit as st

from dashboards import operations_charts as charts
from dashboards import parts
from dashboards.i18n import Labels
from dashboards.views import operations_alarms as alarms
from dashboards.views.operations_parts import expert_map, subject_name, vertical_name
from service.client import TriviumClient

REFRESH_S = 10
SPANS = (60, 360, 1440, 4320)  # minutes
TILE_PX = 366  # three in a row
MOVED = 0.1  # PSI that matters, of the whole interval
SHOWN = (
    *("request_rate", "latency_p95_s", "error_share", "tokens_per_s", "waiting_requests", "memory_bytes"),
    *("expert_utilisation_sd", "routing_drift", "drift", "feedback"),
)


def render(client: TriviumClient, labels: Labels) -> None:
    """Draw the page; with `?alarm=<id>`, that alarm and its evidence instead."""
    chosen = st.query_params.get("alarm")
    if chosen:
        alarms.evidence(client, labels, chosen)
        return
    tabs: Mapping[str, Callable[[TriviumClient, Labels], None]] = {
        "live": live,
        "alarms": alarms.history,
        "experts": experts,
        "drift": drift,
    }
    for tab, (name, draw) in zip(parts.tabs(labels, "operations", list(tabs)), tabs.items(), strict=True):
        if tab.open:
            with tab:
                st.fragment(draw, run_every=REFRESH_S if name != "alarms" else None)(client, labels)


def live(client: TriviumClient, labels: Labels) -> None:
    """Tiles and trends."""
    now = parts.ask(labels, lambda: client.operations("now"))
    if now is None:
        return
    if not now["watch_s"]:
        st.warning(labels("operations.unwatched"), icon=":material/visibility_off:")
        return
    firing = parts.ask(labels, lambda: client.operations("alarms", state="firing"))
    alarms.status(labels, firing or [])
    signals = {(one["name"], one["subject"]): float(one["value"]) for one in now["signals"]}
    if not signals:
        parts.empty(labels("operations.nothing"), labels("operations.nothing_hint", seconds=round(now["watch_s"])))
        return
    at = parts.when(datetime.fromisoformat(now["at"]))
    st.caption(parts.plain(labels("operations.as_of", time=at, model=now["model"], seconds=round(now["watch_s"]))))
    asked = [name for name in (*now["verticals"], "core", "service") if ("request_rate", name) in signals]
    with st.container(horizontal=True):
        for name in asked:
            with st.container(border=True, width=TILE_PX):
                _vertical(labels, name, signals)
    _core(labels, signals)
    _trends(client, labels)


def _vertical(labels: Labels, name: str, signals: Mapping[tuple[str, str], float]) -> None:
    st.markdown(f"**{vertical_name(labels, name)}**")
    tiles = (
        ("rate", "request_rate", "{:.2f}"),
        ("errors", "error_share", "{:.1%}"),
        ("p95", "latency_p95_s", "{:.3g} s"),
    )
    with st.container(horizontal=True, gap="medium"):
        for label, signal, form in tiles:
            value = signals.get((signal, name))
            st.metric(labels(f"operations.tile.{label}"), "–" if value is None else form.format(value), width="content")


def _core(labels: Labels, signals: Mapping[tuple[str, str], float]) -> None:
    tiles = (
        ("tokens", "tokens_per_s", "core", "{:.1f}"),
        ("queue", "waiting_requests", "core", "{:.0f}"),
        ("memory", "memory_bytes", "process", None),
        ("sd", "expert_utilisation_sd", "core", "{:.3f}"),
        ("dead", "expert_dead_share", "core", "{:.0%}"),
        ("rounding", "quantization_error", "core", "{:.2%}"),
    )
    with st.container(border=True):
        st.markdown(f"**{labels('operations.core')}**")
        with st.container(horizontal=True, gap="large"):
            for label, name, subject, form in tiles:
                value = signals.get((name, subject))
                text = "–" if value is None else f"{value / 2**30:.2f} GiB" if form is None else form.format(value)
                st.metric(labels(f"operations.tile.{label}"), text, width="content")


def _trends(client: TriviumClient, labels: Labels) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.subheader(labels("operations.trends"), anchor=False)
        minutes = st.selectbox(labels("operations.span"), SPANS, format_func=lambda m: _span(labels, m), width=220)
    found = parts.ask(labels, lambda: client.operations("trends", minutes=minutes))
    by_signal = _by_signal(found or {})
    shown = [name for name in SHOWN if any(len(points) > 1 for points in by_signal.get(name, {}).values())]
    if not shown:
        parts.empty(labels("operations.too_early"), labels("operations.too_early_hint"))
        return
    columns = st.columns(2)
    for i, name in enumerate(shown):
        series = {subject_name(labels, subject): points for subject, points in by_signal[name].items()}
        title = labels(f"operations.signal.{name}")
        columns[i % 2].altair_chart(
            charts.trend(series, palette=parts.palette(), title=title), width="stretch", theme=None
        )


def experts(client: TriviumClient, labels: Labels) -> None:
    """Load by layer and expert, and each layer's figures."""
    found = parts.ask(labels, lambda: client.operations("experts"))
    if found is None:
        return
    if not found["layers"]:
        parts.empty(labels("operations.experts.none"), labels("operations.experts.none_hint"))
        return
    st.caption(labels("operations.experts.note"))
    expert_map(labels, {str(one["layer"]): one["counts"] for one in found["layers"]})
    with st.expander(labels("operations.experts.figures")):
        st.dataframe([_layer(labels, one) for one in found["layers"]], hide_index=True, width="stretch")


def drift(client: TriviumClient, labels: Labels) -> None:
    """Every vertical's inputs and outputs, what moved first, and what people say."""
    found = parts.ask(labels, lambda: client.operations("drift"))
    if found is None:
        return
    st.caption(labels("operations.drift.note"))
    tested = sorted((one for one in found["distributions"] if one["psi"] is not None), key=lambda one: -one["low"])
    if tested:
        parts.intervals([_moved(labels, one) for one in tested])
    else:
        parts.empty(labels("operations.drift.none"), labels("operations.drift.none_hint"))
    if found["feedback"]:
        st.subheader(labels("operations.drift.feedback"), anchor=False)
        st.caption(labels("operations.drift.feedback_note"))
        parts.intervals([_said(labels, one) for one in found["feedback"]])


def _by_signal(found: Mapping[str, Any]) -> dict[str, dict[str, list[tuple[str, float]]]]:
    by_signal: dict[str, dict[str, list[tuple[str, float]]]] = {}
    for key, points in sorted(found.items()):
        name, _, subject = key.partition("|")
        by_signal.setdefault(name, {})[subject] = points
    return by_signal


def _span(labels: Labels, minutes: int) -> str:
    hours = minutes // 60
    return labels("operations.minutes", minutes=minutes) if hours < 2 else labels("operations.hours", hours=hours)


def _layer(labels: Labels, one: Mapping[str, Any]) -> dict[str, Any]:
    moved, rounding = one["drift"], one["quantization_error"]
    figures = {
        "layer": one["layer"],
        "sd": round(one["utilisation_sd"], 4),
        "entropy": round(one["entropy"], 3),
        "gini": round(one["gini"], 3),
        "cv": round(one["cv"], 3),
        "dead": one["num_dead"],
        "drift": f"{moved['psi']:.3f} ({moved['low']:.3f} – {moved['high']:.3f})" if moved else "–",
        "rounding": "–" if rounding is None else f"{rounding:.2%}",
    }
    return {labels(f"operations.experts.{name}"): value for name, value in figures.items()}


def _moved(labels: Labels, one: Mapping[str, Any]) -> parts.IntervalRow:
    has_moved = one["low"] > MOVED
    p = one["p_value"]
    note = labels(
        "operations.drift.cases",
        now=f"{sum(one['now']):,}",
        reference=f"{sum(one['reference']):,}",
        against=labels(f"operations.drift.against.{one['against']}"),
        p="–" if p is None else "< 0.001" if p < 0.001 else f"= {p:.3f}",
    )
    name, side = (
        subject_name(labels, f"{one['vertical']}/{one['name']}"),
        labels(f"operations.drift.side.{one['side']}"),
    )
    return parts.IntervalRow(
        f"{name} ({side})",
        one["psi"],
        one["low"],
        one["high"],
        domain=(0.0, max(0.5, one["high"])),
        baseline=MOVED,
        note=note,
        verdict=labels("operations.drift.moved" if has_moved else "operations.drift.steady"),
        tone="bad" if has_moved else None,
        form=".3f",
    )


def _said(labels: Labels, one: Mapping[str, Any]) -> parts.IntervalRow:
    name = labels.get(f"operations.drift.feedback.{one['name']}", one["name"])
    title = f"{vertical_name(labels, one['vertical'])} · {name}"
    span = (one["value"], one["low"], one["high"])
    return parts.IntervalRow(title, *span, domain=(0.0, 1.0), note=f"n = {one['n']}", form=".1%")
