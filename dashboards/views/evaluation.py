"""Evaluation: a run against the last one, regressions first, then history. Ignores how figures are made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from dashboards import charts, parts
from dashboards.i18n import Labels
from service.client import ApiError, TriviumClient

HISTORY_RUNS = 30
_TONES: Mapping[str, charts.Tone] = {"regressed": "bad", "improved": "good"}
Report = Mapping[str, Any]  # what service.evals.report.describe makes


def render(client: TriviumClient, labels: Labels) -> None:
    """Draw the page."""
    runs = parts.ask(labels, client.eval_runs)
    if runs is None:
        return
    if not runs:
        parts.empty(labels("evals.empty"), labels("evals.empty_hint"))
        return
    ids = [str(run["run_id"]) for run in runs]
    left, _ = st.columns([2, 3])
    names = {str(run["run_id"]): _run_name(labels, run) for run in runs}
    run_id = left.selectbox(labels("evals.run"), ids, format_func=names.__getitem__)
    report = parts.ask(labels, lambda: _report(client, run_id))
    if report is None:
        return
    _summary(labels, report)
    _alarms(labels, report)
    for domain in report["domains"]:
        _domain(labels, domain)
    st.caption(labels("evals.legend"))
    _history(client, labels, ids=ids)


@st.cache_data(max_entries=200, show_spinner=False)
def _report(_client: TriviumClient, run_id: str) -> dict[str, Any]:
    return _client.eval_run(run_id)


def _run_name(labels: Labels, run: Mapping[str, Any]) -> str:
    moment = str(run.get("started_at", ""))[:16].replace("T", " ")
    code = run.get("exit_code")
    state = labels("evals.running") if code is None else labels("evals.good" if code == 0 else "evals.bad")
    return f"{moment} UTC · {state}"


def _summary(labels: Labels, report: Report) -> None:
    summary, run = report["summary"], report["run"]
    shown = [("regressed", summary["regressed"]), ("improved", summary["improved"]), ("steady", summary["steady"])]
    shown += [
        ("new", summary["new"] + summary["incomparable"]),
        ("failed", summary["failed"]),
        ("skipped", summary["skipped"]),
    ]
    for column, (name, number) in zip(st.columns(len(shown)), shown, strict=True):
        column.metric(labels(f"evals.{name}"), number)
    models = " · ".join(f"{name} {version}" for name, version in run["models"].items())
    st.caption(labels("evals.about", run=run["run_id"], git=run.get("git_version") or "–", models=models or "–"))


def alarms(report: Report) -> Iterator[tuple[str, str]]:
    """(where, what) of everything that got worse: regressed metrics, failed or lost suites, suites that are gone."""
    for domain, suite in suites(report):
        where = f"{domain} / {suite['name']}"
        for metric in suite["metrics"]:
            if metric["verdict"] == "regressed":
                span = f"{metric['change']:+.3g} [{metric['change_low']:+.3g}, {metric['change_high']:+.3g}]"
                yield where, f"{metric['name']} {metric['value']:.4g} ({span})"
        for loss in suite["losses"]:
            yield where, loss
    for gone in report["gone"]:
        yield f"{gone['domain']} / {gone['suite']}", ""


def suites(report: Report) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(domain, suite) pairs of a report, in its order."""
    for domain in report["domains"]:
        for suite in domain["suites"]:
            yield domain["name"], suite


def _alarms(labels: Labels, report: Report) -> None:
    found = list(alarms(report))
    if not found:
        st.success(labels("evals.no_alarms"), icon=":material/check:")
        return
    lines = [f"- **{parts.plain(where)}** {parts.plain(what) or labels('evals.gone')}" for where, what in found]
    st.error("\n".join([labels("evals.alarms"), "", *lines]), icon=":material/trending_down:")


def _domain(labels: Labels, domain: Mapping[str, Any]) -> None:
    st.subheader(labels.get(f"nav.{domain['name']}", domain["name"]), anchor=False)
    for suite in domain["suites"]:
        with st.container(border=True):
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                st.markdown(f"**{parts.plain(suite['name'])}**", width="content")
                if suite["status"] != "ok":
                    colour: parts.Colour = "red" if suite["status"] == "failed" else "gray"
                    st.badge(labels(f"evals.{suite['status']}"), color=colour)
            st.caption(parts.plain(f"{suite['dataset']} · {suite['split']} · {suite['solver']} · {suite['scorer']}"))
            for note in (suite["reason"], suite["note"]):
                if note:
                    st.caption(parts.plain(note))
            if suite["metrics"]:
                parts.intervals([_row(labels, metric) for metric in suite["metrics"]])


def _row(labels: Labels, metric: Mapping[str, Any]) -> parts.IntervalRow:
    last = metric["last"]["value"] if metric["last"] else None
    marks = [metric["value"], metric["low"], metric["high"], last, metric["baseline_value"]]
    shown = [mark for mark in marks if mark is not None]
    margin = (max(shown) - min(shown)) * 0.12 or abs(shown[0]) * 0.05 or 1.0
    note = f"n = {metric['n']}" + ("" if metric["higher_is_better"] else f" · {labels('evals.lower_is_better')}")
    if metric["baseline"]:
        figure = "" if metric["baseline_value"] is None else f" {metric['baseline_value']:.4g}"
        note += f" · {labels('evals.baseline')}: {metric['baseline']}{figure}"
    return parts.IntervalRow(
        metric["name"],
        value=metric["value"],
        low=metric["low"],
        high=metric["high"],
        domain=(min(shown) - margin, max(shown) + margin),
        baseline=metric["baseline_value"],
        last=last,
        note=note,
        verdict=labels(f"evals.{metric['verdict']}"),
        tone=_TONES.get(metric["verdict"]),
    )


def _history(client: TriviumClient, labels: Labels, *, ids: Sequence[str]) -> None:
    st.subheader(labels("evals.history"), anchor=False)
    reports = []
    for run_id in ids[:HISTORY_RUNS]:
        try:
            reports.append(_report(client, run_id))
        except ApiError:  # a run that ended early has no report
            continue
    if len(reports) < 2:
        parts.empty(labels("evals.no_history"), labels("evals.no_history_hint"))
        return
    points = history_points(reports)
    names = list(dict.fromkeys(points["metric"]))
    left, _ = st.columns([2, 3])
    chosen = left.selectbox(labels("evals.metric"), names)
    mine = points[points["metric"] == chosen]
    st.altair_chart(charts.history(mine, palette=parts.palette(), title=chosen.rpartition(" / ")[2]), width="stretch")


def history_points(reports: Sequence[Report]) -> pd.DataFrame:
    """Every metric of every run.

    Returns:
        Columns metric ("domain / suite / name"), started (UTC), value, low, high.
    """
    rows = [
        {
            "metric": f"{domain} / {suite['name']} / {metric['name']}",
            "started": pd.Timestamp(report["run"]["started_at"]),
            **{name: metric[name] for name in ("value", "low", "high")},
        }
        for report in reports
        for domain, suite in suites(report)
        for metric in suite["metrics"]
    ]
    return pd.DataFrame(rows, columns=["metric", "started", "value", "low", "high"])
