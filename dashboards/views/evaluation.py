"""Evaluation: a run against the last one, regressions first, then history. Ignores how figures are made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from dashboards import charts, parts
from dashboards.i18n import Labels
from service.client import ApiError, TriviumClient

FORMAT = "trivium-evaluation/2"
_TONES: Mapping[str, charts.Tone] = {"regressed": "bad", "improved": "good"}
Report = Mapping[str, Any]  # what `trivium eval schema` describes


def render(client: TriviumClient, labels: Labels) -> None:
    """Draw the page. The address keeps run and suite: `?run=...&suite=domain/name`."""
    runs = parts.ask(labels, client.eval_runs)
    if runs is None:
        return
    if not runs:
        parts.empty(labels("evals.empty"), labels("evals.empty_hint"))
        return
    left, middle, right = st.columns([2, 2, 1], vertical_alignment="bottom")
    names = {str(run["run_id"]): _run_name(labels, run) for run in runs}
    with left:
        run_id = _chosen(labels("evals.run"), list(names), names, key="run")
    report = parts.ask(labels, lambda: _report(client, client.who, run_id))
    if report is None:
        return
    if report.get("format") != FORMAT:
        parts.empty(labels("evals.old"), labels("evals.old_hint"))
        return
    keys = [f"{domain}/{suite['name']}" for domain, suite in suites(report)]
    with middle:
        only = _chosen(labels("evals.suite"), ["", *keys], {"": labels("evals.all_suites")}, key="suite")
    with right:
        _page_link(client, labels, run_id)
    _summary(labels, report)
    _alarms(labels, report)
    for domain in report["domains"]:
        _domain(labels, domain, only)
    st.caption(labels("evals.legend"))
    _history(labels, report, only)


def _chosen(label: str, options: Sequence[str], names: Mapping[str, str], *, key: str) -> str:
    """A select box that the address knows; an option that is not there is the first."""
    asked = st.query_params.get(key, options[0])
    index = options.index(asked) if asked in options else 0
    found = st.selectbox(label, options, index=index, format_func=lambda option: names.get(option, option))
    if found != asked:
        if found == options[0]:
            st.query_params.pop(key, None)
        else:
            st.query_params[key] = found
    return str(found)


@st.cache_data(max_entries=50, show_spinner=False)
def _report(_client: TriviumClient, who: str, run_id: str) -> dict[str, Any]:
    return _client.eval_run(run_id)


@st.cache_data(max_entries=50, show_spinner=False)
def _page(_client: TriviumClient, who: str, run_id: str) -> str:
    return _client.eval_page(run_id)


def _page_link(client: TriviumClient, labels: Labels, run_id: str) -> None:
    try:
        page = _page(client, client.who, run_id)
    except ApiError:  # an older run may have lost its page
        return
    st.download_button(
        labels("evals.page"), page, f"{run_id}.html", "text/html", icon=":material/description:", on_click="ignore"
    )


def _run_name(labels: Labels, run: Mapping[str, Any]) -> str:
    moment = str(run.get("started_at", ""))[:16].replace("T", " ")
    state = run_state(labels, run.get("exit_code"))
    more = [run["target"]] if run.get("target") else []
    more += [labels("evals.since_baseline")] if run.get("is_baseline") else []
    return " · ".join([f"{moment} UTC", state, *more])


def run_state(labels: Labels, exit_code: int | None) -> str:
    """How a run ended, in words; None: it has not."""
    if exit_code is None:
        return labels("evals.running")
    return labels(f"evals.code_{exit_code}")


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


def alarms(labels: Labels, report: Report) -> Iterator[tuple[str, str]]:
    """(where, what) of everything that got worse: regressed metrics, failed or lost suites, suites that are gone."""
    for domain, suite in suites(report):
        where = f"{domain} / {suite['name']}"
        for metric in suite["metrics"]:
            for each in metric["against"]:
                if each["verdict"] == "regressed" and each["reference"] != "week":
                    since = labels(f"evals.since_{each['reference']}")
                    span = f"{each['change']:+.3g} [{each['change_low']:+.3g}, {each['change_high']:+.3g}]"
                    yield where, f"{metric['name']} {metric['value']:.4g} ({since}: {span})"
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
    found = list(alarms(labels, report))
    if not found:
        st.success(labels("evals.no_alarms"), icon=":material/check:")
        return
    lines = [f"- **{parts.plain(where)}** {parts.plain(what) or labels('evals.gone')}" for where, what in found]
    st.error("\n".join([labels("evals.alarms"), "", *lines]), icon=":material/trending_down:")


def _domain(labels: Labels, domain: Mapping[str, Any], only: str) -> None:
    shown = [suite for suite in domain["suites"] if only in ("", f"{domain['name']}/{suite['name']}")]
    if not shown:
        return
    st.subheader(labels.get(f"nav.{domain['name']}", domain["name"]), anchor=False)
    for suite in shown:
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
            st.caption(_cost(labels, suite))
            _slices(labels, suite, is_open=bool(only))
            _moved(labels, suite, is_open=bool(only))


def _row(labels: Labels, metric: Mapping[str, Any]) -> parts.IntervalRow:
    last = next((each["value"] for each in metric["against"] if each["reference"] == "last"), None)
    marks = [metric["value"], metric["low"], metric["high"], last, metric["baseline_value"]]
    shown = [mark for mark in marks if mark is not None]
    margin = (max(shown) - min(shown)) * 0.12 or abs(shown[0]) * 0.05 or 1.0
    notes = [f"n = {metric['n']}"] + ([] if metric["higher_is_better"] else [labels("evals.lower_is_better")])
    if metric["baseline"]:
        figure = "" if metric["baseline_value"] is None else f" {metric['baseline_value']:.4g}"
        notes.append(f"{labels('evals.baseline')}: {metric['baseline']}{figure}")
    notes += [
        labels(f"evals.since_{each['reference']}") + f" {metric['value'] - each['value']:+.3g} (q {each['q']:.2g})"
        for each in metric["against"]
        if each["q"] is not None
    ]
    return parts.IntervalRow(
        metric["name"],
        value=metric["value"],
        low=metric["low"],
        high=metric["high"],
        domain=(min(shown) - margin, max(shown) + margin),
        baseline=metric["baseline_value"],
        last=last,
        note=" · ".join(notes),
        verdict=labels(f"evals.{metric['verdict']}"),
        tone=_TONES.get(metric["verdict"]),
    )


def _cost(labels: Labels, suite: Mapping[str, Any]) -> str:
    told = [labels("evals.took", seconds=f"{suite['duration_s']:.1f}")]
    if suite["last_duration_s"] is not None:
        told.append(labels("evals.took_last", seconds=f"{suite['last_duration_s']:.1f}"))
    if cost := suite["cost"]:
        told.append(labels("evals.cost", cpu=f"{cost['cpu_s']:.1f}", memory=f"{cost['peak_mb']:,.0f}"))
        if cost["tokens"]:
            told.append(labels("evals.tokens", tokens=f"{cost['tokens']:,}"))
    return " · ".join(told)


def _slices(labels: Labels, suite: Mapping[str, Any], *, is_open: bool) -> None:
    if not suite["slices"]:
        return
    with st.expander(labels("evals.slices", number=len(suite["slices"])), expanded=is_open):
        st.caption(labels("evals.slices_note"))
        rows = [
            {
                labels("evals.slice"): f"{each['name']} = {each['value_of']}",
                labels("evals.metric"): each["metric"],
                labels("evals.value"): f"{each['value']:.4g} [{each['low']:.3g}, {each['high']:.3g}]",
                labels("evals.since_last"): "" if each["last_value"] is None else f"{each['last_value']:.4g}",
                "n": each["n"],
            }
            for each in suite["slices"]
        ]
        st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch")


def _moved(labels: Labels, suite: Mapping[str, Any], *, is_open: bool) -> None:
    if not suite["num_moved"]:
        return
    with st.expander(labels("evals.moved", number=suite["num_moved"], of=suite["num_examples"]), expanded=is_open):
        for each in suite["moved"]:
            names = [name for name in each["now"] if each["before"].get(name) != each["now"][name]]
            scores = ", ".join(f"{name} {each['before'].get(name, 0):.3g} → {each['now'][name]:.3g}" for name in names)
            st.markdown(f"**{parts.plain(each['id'])}** {parts.plain(scores)}")
            before, now = st.columns(2)
            before.caption(labels("evals.before"))
            before.text(each["shown_before"])
            now.caption(labels("evals.now"))
            now.text(each["shown_now"])


def _history(labels: Labels, report: Report, only: str) -> None:
    st.subheader(labels("evals.history"), anchor=False)
    points = history_points(report)
    if only:
        points = points[points["metric"].str.startswith(only.replace("/", " / ", 1) + " / ")]
    counted = points["metric"].value_counts(sort=False)
    names = [str(name) for name in counted.index[counted > 1]]
    if not names:
        parts.empty(labels("evals.no_history"), labels("evals.no_history_hint"))
        return
    left, _ = st.columns([2, 3])
    chosen = left.selectbox(labels("evals.metric"), names)
    mine = points[points["metric"] == chosen]
    st.altair_chart(charts.history(mine, palette=parts.palette(), title=chosen.rpartition(" / ")[2]), width="stretch")


def history_points(report: Report) -> pd.DataFrame:
    """Every metric in this run and the ones before it.

    Returns:
        Columns metric ("domain / suite / name"), started (UTC), value, low, high.
    """
    rows = [
        {
            "metric": f"{domain} / {suite['name']} / {metric['name']}",
            "started": pd.Timestamp(point["started_at"]),
            **{name: point[name] for name in ("value", "low", "high")},
        }
        for domain, suite in suites(report)
        for metric in suite["metrics"]
        for point in metric["trend"]
    ]
    return pd.DataFrame(rows, columns=["metric", "started", "value", "low", "high"])
