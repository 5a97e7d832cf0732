"""The audit trail: whether it is whole, its entries page by page, one of them in full. Ignores how they are kept.

`?record=12` opens an entry, so that an alarm or a report can point at it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pandas as pd
import streamlit as st

from dashboards import parts
from dashboards.i18n import Labels
from service.client import TriviumClient

PAGE = 50
SHORT = 40  # characters; a SHA-256 has 64
FORMS = ("csv", "jsonl", "fhir")
TONES: Mapping[str, parts.Colour] = {"exact": "green", "unchanged": "green", "differs": "red", "other input": "red"}


def render(client: TriviumClient, labels: Labels) -> None:
    """Draw the page."""
    _state(client, labels)
    only = _filters(labels)
    left, right = st.columns([3, 2], gap="large")
    with left:
        _table(client, labels, only)
        if client.may("audit.export"):
            _export(client, labels, only)
    with right:
        _record(client, labels)


def _state(client: TriviumClient, labels: Labels) -> None:
    """Whether the chain is whole; recomputed when asked, not at every click."""
    with st.container(border=True):
        again = st.session_state.pop("audit.again", False)
        if again or "audit.check" not in st.session_state:
            found = parts.ask(labels, client.audit, waiting=labels("audit.verifying"))
            if found is None:
                return
            st.session_state["audit.check"] = (found, datetime.now(UTC))
        check, at = st.session_state["audit.check"]
        with st.container(horizontal=True, vertical_alignment="center"):
            if check["broken_at"] is None:
                st.badge(labels("audit.whole"), color="green", icon=":material/check:")
            else:
                st.badge(labels("audit.broken", at=check["broken_at"]), color="red", icon=":material/error:")
            last = check["sealed"] + check["entries"]
            told = {name: check[name] for name in ("entries", "sealed", "erased")}
            st.caption(labels("audit.told", last=last, **told) + " " + labels("audit.at", when=parts.when(at)))
            st.button(labels("audit.verify"), on_click=lambda: st.session_state.update({"audit.again": True}))
        if check["broken_at"] is not None:
            st.error(parts.plain(check["reason"]))
        if check["head"]:
            st.code(check["head"], language=None)
            st.caption(labels("audit.head_help"))
        if check["erasures"]:
            with st.expander(labels("audit.erasures")):
                for one in check["erasures"]:
                    when = parts.when(datetime.fromisoformat(one["at"]))
                    named = {name: one[name] for name in ("entries", "sequence")}
                    st.caption(labels("audit.erasure", when=when, reason=parts.plain(one["reason"]), **named))


def _filters(labels: Labels) -> dict[str, Any]:
    """What the reader wants to see, as the API takes it; another filter begins at the newest entry again."""
    columns = st.columns([2, 2, 2, 2, 3])
    fields = {"actor": "who", "kind": "kind", "subject": "subject", "outcome": "outcome"}
    only: dict[str, Any] = {}
    for column, (name, label) in zip(columns, fields.items(), strict=False):
        hint = labels.get(f"audit.{label}_help", "")
        only[name] = column.text_input(
            labels(f"audit.{label}"), placeholder=hint, key=f"audit.only.{name}", on_change=_to_the_newest
        ).strip()
    period = columns[-1].date_input(labels("audit.period"), value=[], key="audit.period", on_change=_to_the_newest)
    days: tuple[date, ...] = period if isinstance(period, tuple) else (period,)
    if days:
        only["since"] = datetime.combine(days[0], time(), UTC).isoformat()
        only["until"] = datetime.combine(days[-1] + timedelta(days=1), time(), UTC).isoformat()
    return {name: value for name, value in only.items() if value}


def _to_the_newest() -> None:
    _open_pages([])


def _open_pages(pages: list[int]) -> None:
    """Where each page after the first begins, as far as the reader has gone back."""
    st.session_state["audit.pages"] = pages


def _table(client: TriviumClient, labels: Labels, only: Mapping[str, Any]) -> None:
    """One page; a click on a row opens the entry beside it."""
    pages: list[int] = st.session_state.get("audit.pages", [])
    before = {"before": pages[-1]} if pages else {}
    found = parts.ask(labels, lambda: client.audit_entries(**only, **before, limit=PAGE + 1))
    if found is None:
        return
    shown = found[:PAGE]
    if not shown:
        parts.empty(labels("audit.empty"), labels("audit.empty_hint"))
    else:
        rows = [
            {
                labels("audit.number"): one["sequence"],
                labels("audit.when"): one["at"][:19].replace("T", " "),
                labels("audit.who"): one["actor"],
                labels("audit.kind"): one["kind"],
                labels("audit.subject"): one["subject"],
                labels("audit.said"): _in_short(one["outcome"]),
                labels("audit.took"): f"{one['latency_ms']:g}" if "latency_ms" in one else "",
            }
            for one in shown
        ]
        key = f"audit.table.{labels.language}.{shown[0]['sequence']}"

        def choose() -> None:
            for row in st.session_state[key]["selection"]["rows"]:
                st.query_params["record"] = str(shown[row]["sequence"])

        st.dataframe(pd.DataFrame(rows), hide_index=True, on_select=choose, selection_mode="single-row", key=key)
    older = [*pages, shown[-1]["sequence"]] if len(found) > PAGE else []
    with st.container(horizontal=True):
        st.button(labels("audit.newer"), disabled=not pages, on_click=_open_pages, args=(pages[:-1],))
        st.button(labels("audit.older"), disabled=not older, on_click=_open_pages, args=(older,))


def _in_short(outcome: Mapping[str, Any] | None) -> str:
    """The words of what was decided, without fingerprints: enough to tell rows apart."""
    words = [value for value in (outcome or {}).values() if isinstance(value, str) and len(value) <= SHORT]
    return ", ".join(words)


def _export(client: TriviumClient, labels: Labels, only: Mapping[str, Any]) -> None:
    with st.container(border=True):
        st.markdown(f"**{labels('audit.export')}**")
        st.caption(labels("audit.export_note"))
        form = st.segmented_control(
            labels("audit.export"),
            FORMS,
            default=FORMS[0],
            format_func=lambda name: labels(f"audit.form.{name}"),
            key=f"audit.form.{labels.language}",
            label_visibility="collapsed",
        )
        if st.button(labels("audit.prepare")):
            made = parts.ask(labels, lambda: client.audit_export(form=form or FORMS[0], **only))
            if made is not None:
                name = made.filename
                st.download_button(labels("audit.download", name=name), made.content, name, made.media_type)


def _record(client: TriviumClient, labels: Labels) -> None:
    """The entry that the address names."""
    wanted = st.query_params.get("record", "")
    if not wanted.isdecimal():
        parts.empty(labels("audit.choose"), labels("audit.choose_hint"))
        return
    entry = parts.ask(labels, lambda: client.audit_entry(int(wanted)))
    if entry is None:
        return
    st.subheader(labels("audit.entry", number=wanted), anchor=False)
    told = {
        "when": entry["at"][:19].replace("T", " "),
        "who": entry["actor"],
        "kind": entry["kind"],
        "subject": entry["subject"],
        "request": entry["request_id"],
        "model": entry["model_version"],
        "policy": entry["policy_version"],
        "took": entry.get("latency_ms"),
        "input": entry["input_sha256"],
        "sha256": entry["sha256"],
    }
    parts.facts([(labels(f"audit.{name}"), str(value)) for name, value in told.items() if value not in (None, "")])
    if entry["outcome"] is None:
        st.info(labels("audit.erased"))
    else:
        st.caption(labels("audit.said"))
        st.json(entry["outcome"])
    st.caption(labels("audit.link"))
    st.code(f"/audit?record={wanted}", language=None)
    if client.may("audit.replay"):
        _replay(client, labels, int(wanted))


def _replay(client: TriviumClient, labels: Labels, sequence: int) -> None:
    text = st.text_area(labels("audit.given"), key=f"audit.given.{sequence}", height=68)
    if not st.button(labels("audit.replay"), icon=":material/replay:"):
        return
    try:
        given = json.loads(text) if text.strip() else None
    except ValueError:
        given = text
    if given is not None and not isinstance(given, dict):
        st.warning(labels("audit.not_json"))
        return
    found = parts.ask(labels, lambda: client.audit_replay(sequence, given), waiting=labels("audit.replaying"))
    if found is None:
        return
    st.badge(labels(f"audit.verdict.{found['verdict']}"), color=TONES.get(found["verdict"], "gray"))
    st.markdown(parts.plain(labels.said(found["said"])))
    parts.facts([*found["versions"].items()])
    for name, then, now in found["differences"]:
        st.markdown(labels("audit.difference", name=parts.plain(name), then=then, now=now))
