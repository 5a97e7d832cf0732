"""Finance: the queue of suspected fraud, strongest first; a person decides each case once. Ignores who suspects."""

from __future__ import annotations

from typing import get_args

import pandas as pd
import streamlit as st

from dashboards import parts
from dashboards.i18n import Labels
from dashboards.views.finance_cards import score_cards
from service.client import TriviumClient
from verticals.finance.fraud.schemas import (
    REASONS,
    Case,
    CasePage,
    CasesRequest,
    DecideCaseRequest,
    State,
    Verdict,
)

PAGE = 50


def cases_tab(client: TriviumClient, labels: Labels) -> None:
    """The queue on the left, the chosen case on the right; above, a file of card transactions to score."""
    if client.may("finance.score_cards"):
        score_cards(client, labels)
    state = st.segmented_control(
        labels("cases.state"),
        get_args(State),
        default="open",
        format_func=lambda name: labels(f"cases.{name}"),
        key="cases.state",
        label_visibility="collapsed",
    )
    request = CasesRequest(state=state or "open", limit=PAGE, offset=parts.offset("cases.page", PAGE))
    found: CasePage | None = parts.ask(labels, lambda: client.call("finance", "cases", request))
    if found is None:
        return
    if not found.items:
        parts.empty(labels("cases.empty"), labels("cases.empty_hint"))
        return
    left, right = st.columns([3, 2], gap="large")
    with left:
        chosen = _queue(labels, found)
    with right:
        _case(client, labels, chosen)


def _queue(labels: Labels, found: CasePage) -> Case:
    """The page as a table; the case whose row is chosen, the strongest if none is."""
    rows = [
        {
            labels("cases.subject"): f"{labels(f'cases.{one.subject_kind}')} {one.subject}",
            labels("cases.score"): one.score,
            labels("cases.opened"): parts.when(one.opened_at),
            labels("cases.source"): one.source,
        }
        for one in found.items
    ]
    score = st.column_config.ProgressColumn(min_value=0, max_value=1, format="%.2f")
    picked = st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        column_config={labels("cases.score"): score},
        key=f"cases.table.{found.offset}.{found.items[0].state}",
    )
    parts.pager(found.total, key="cases.page", size=PAGE)
    st.caption(labels("cases.shown", total=found.total))
    row = next(iter(picked["selection"]["rows"]), 0)
    return found.items[min(row, len(found.items) - 1)]


def _case(client: TriviumClient, labels: Labels, case: Case) -> None:
    st.subheader(f"{labels(f'cases.{case.subject_kind}')} {parts.plain(case.subject)}", anchor=False)
    facts = [(labels("cases.id"), case.case_id), (labels("cases.opened"), parts.when(case.opened_at))]
    if case.customer is not None:
        facts.append((labels("history.customer"), case.customer))
    facts += [(labels.said(signal.name.replace("_", " ")), f"{signal.value:.4g}") for signal in case.signals]
    if case.decided_at is not None:
        facts += [
            (labels("decisions.decision"), labels(f"cases.{case.state}")),
            (labels("policies.reason"), labels(f"cases.reason.{case.reason}")),
            (labels("policies.who"), f"{case.decided_by}, {parts.when(case.decided_at)}"),
        ]
    parts.facts(facts)
    if case.state == "open" and client.may("finance.decide_case"):
        _decide(client, labels, case)


def _decide(client: TriviumClient, labels: Labels, case: Case) -> None:
    """Decision and reason; final, so it asks for both."""
    verdict: Verdict = st.radio(
        labels("decisions.decision"),
        get_args(Verdict),
        format_func=lambda name: labels(f"cases.{name}"),
        horizontal=True,
        key=f"cases.verdict.{case.case_id}.{labels.language}",
    )
    reason = st.selectbox(
        labels("policies.reason"),
        REASONS[verdict],
        format_func=lambda name: labels(f"cases.reason.{name}"),
        key=f"cases.reason.{case.case_id}.{verdict}.{labels.language}",
    )
    if st.button(labels("cases.decide"), type="primary", help=labels("cases.final")):
        request = DecideCaseRequest(case_id=case.case_id, decision=verdict, reason=reason)
        if parts.ask(labels, lambda: client.call("finance", "decide_case", request)) is not None:
            st.rerun()
