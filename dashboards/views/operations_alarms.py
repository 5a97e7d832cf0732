"""Alarms: which are on, which were, each with its evidence, and a person's acknowledgement. Ignores how they arise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import streamlit as st

from dashboards import operations_charts as charts
from dashboards import parts
from dashboards.i18n import Labels
from dashboards.views.operations_parts import expert_map, subject_name
from service.client import ApiError, TriviumClient

HISTORY = 100
Alarm = Mapping[str, Any]


def status(labels: Labels, firing: Sequence[Alarm]) -> None:
    """One line: whether anything needs a person; with a link to each alarm that is on."""
    if not firing:
        st.success(labels("operations.calm"), icon=":material/check:")
        return
    waiting = sum(alarm["acknowledged_at"] is None for alarm in firing)
    st.warning(labels("operations.firing", total=len(firing), open=waiting), icon=":material/notifications_active:")
    for alarm in firing:
        _line(labels, alarm)


def history(client: TriviumClient, labels: Labels) -> None:
    """Every alarm that ever was on, newest first."""
    found = parts.ask(labels, lambda: client.operations("alarms", limit=HISTORY))
    if found is None:
        return
    if not found:
        parts.empty(labels("operations.no_alarms"), labels("operations.no_alarms_hint"))
    for alarm in found:
        _line(labels, alarm)


def evidence(client: TriviumClient, labels: Labels, alarm_id: str) -> None:
    """One alarm: what happened, its signal around that time, what it was made of, and the acknowledgement."""
    st.button(labels("operations.back"), icon=":material/arrow_back:", on_click=st.query_params.clear)
    alarm = parts.ask(labels, lambda: client.operations(f"alarms/{alarm_id}"))
    if alarm is None:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.subheader(f"{_rule(labels, alarm)} · {_subject(labels, alarm)}", anchor=False, width="content")
        _badges(labels, alarm)
    if len(alarm["trend"]) > 1:
        series = {_subject(labels, alarm): alarm["trend"]}
        limits = {labels("operations.on_at"): alarm["on"], labels("operations.off_at"): alarm["off"]}
        title = labels.get(f"operations.signal.{alarm['signal']}", alarm["signal"])
        chart = charts.trend(series, palette=parts.palette(), title=title, limits=limits)
        st.altair_chart(chart, width="stretch", theme=None)
    left, right = st.columns(2, gap="large")
    with left:
        parts.facts(_facts(labels, alarm))
    with right:
        _acknowledgement(client, labels, alarm)
    _made_of(labels, alarm["evidence"])


def _line(labels: Labels, alarm: Alarm) -> None:
    with st.container(border=True, horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(
            f"**{parts.plain(_rule(labels, alarm))}** · {parts.plain(_subject(labels, alarm))}", width="stretch"
        )
        st.caption(f"{_time(alarm['opened_at'])} · {_number(alarm['value'])}", width="content")
        _badges(labels, alarm)
        if st.button(labels("operations.show"), key=f"alarm.{alarm['alarm_id']}"):
            st.query_params["alarm"] = alarm["alarm_id"]
            st.rerun(scope="app")


def _badges(labels: Labels, alarm: Alarm) -> None:
    on = alarm["state"] == "firing"
    colour: parts.Colour = "gray" if not on else "red" if alarm["severity"] == "critical" else "orange"
    st.badge(labels(f"operations.severity.{alarm['severity']}"), color=colour)
    st.badge(labels(f"operations.state.{alarm['state']}"), color="orange" if on else "green")
    if alarm["acknowledged_at"]:
        st.badge(labels("operations.acknowledged"), color="gray")


def _facts(labels: Labels, alarm: Alarm) -> list[tuple[str, str]]:
    rows = [
        (labels("operations.value"), _number(alarm["value"])),
        (labels("operations.peak"), _number(alarm["peak"])),
        (labels("operations.on_at"), _number(alarm["on"])),
        (labels("operations.off_at"), _number(alarm["off"])),
        (labels("operations.opened"), _time(alarm["opened_at"])),
        (labels("operations.resolved"), _time(alarm["resolved_at"])),
    ]
    done = [f"{_time(action['at'])} {labels.said(action['done'])}" for action in alarm["actions"]]
    return [*rows, *((labels("operations.done"), line) for line in done)]


def _acknowledgement(client: TriviumClient, labels: Labels, alarm: Alarm) -> None:
    if alarm["acknowledged_at"]:
        by = {
            "by": alarm["acknowledged_by"],
            "time": _time(alarm["acknowledged_at"]),
            "reason": alarm["acknowledged_reason"],
        }
        st.success(parts.plain(labels("operations.acknowledged_by", **by)), icon=":material/check:")
        return
    with st.form(f"acknowledge.{alarm['alarm_id']}"):
        by_whom = st.text_input(labels("operations.by"), max_chars=128)
        reason = st.text_area(labels("operations.reason"), max_chars=500)
        st.caption(labels("operations.ack_note"))
        if not st.form_submit_button(labels("operations.acknowledge"), type="primary"):
            return
    try:
        client.acknowledge(alarm["alarm_id"], person=by_whom, reason=reason)
    except ApiError as error:
        parts.show_problem(labels, error)
    else:
        st.rerun()


def _made_of(labels: Labels, found: Mapping[str, Any]) -> None:
    """What the signal was made of when the alarm went on: two distributions, or the experts' counts."""
    if "distribution" in found or found.get("expert_counts"):
        st.subheader(labels("operations.when_opened"), anchor=False)
    if "distribution" in found:
        one = found["distribution"]
        names = labels("operations.before"), labels("operations.now")
        chart = charts.shares(
            one["bins"],
            one["reference"],
            one["now"],
            palette=parts.palette(),
            names=names,
            title=labels("operations.share"),
        )
        st.altair_chart(chart, width="stretch", theme=None)
    elif found.get("expert_counts"):
        st.caption(labels("operations.experts.note"))
        expert_map(labels, found["expert_counts"])


def _rule(labels: Labels, alarm: Alarm) -> str:
    return labels.get(f"operations.rule.{alarm['rule']}", alarm["rule"])


def _subject(labels: Labels, alarm: Alarm) -> str:
    return subject_name(labels, alarm["subject"])


def _time(text: str | None) -> str:
    return parts.when(datetime.fromisoformat(text)) if text else "–"


def _number(value: float) -> str:
    return f"{value:.4g}"
