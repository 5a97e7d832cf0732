"""Finance: stored decisions, and for the chosen one its record: what the policy and what people decided.

Ignores how decisions are made and kept.
"""

from __future__ import annotations

from functools import partial
from typing import Any, get_args

import pandas as pd
import streamlit as st

from dashboards import parts
from dashboards.i18n import Labels
from service.client import TriviumClient
from verticals.finance.manual.schemas import (
    REASONS,
    ApplicationRecord,
    ConfirmRequest,
    ManualDecision,
    ManualOverride,
    OverrideRequest,
    ProposedPage,
    ProposedRequest,
    RecordRequest,
)
from verticals.finance.schemas import DecisionItem, DecisionPage, DecisionsRequest

PAGE = 50
TABLE_ROWS = 15  # more are scrolled to


def decisions_tab(client: TriviumClient, labels: Labels) -> None:
    """The list a page at a time on the left, newest first; on the right the record of one application."""
    request = DecisionsRequest(limit=PAGE, offset=parts.offset("finance.page", PAGE))
    found: DecisionPage | None = parts.ask(labels, lambda: client.call("finance", "decisions", request))
    if found is None:
        return
    if not found.items:
        parts.empty(labels("decisions.empty"), labels("decisions.empty_hint"))
        return
    _waiting(client, labels)
    left, right = st.columns([3, 2], gap="large")
    with left:
        chosen = _list(labels, found)
    with right:
        reference = st.text_input(
            labels("field.application_id"), key="decisions.reference", placeholder=chosen, help=labels("manual.which")
        ).strip()
        _record(client, labels, reference or chosen)


def _waiting(client: TriviumClient, labels: Labels) -> None:
    """What waits for a second person, if anything does."""
    page: ProposedPage | None = parts.ask(
        labels, lambda: client.call("finance", "proposed_overrides", ProposedRequest())
    )
    if page is not None and page.total:
        references = ", ".join(one.application_id for one in page.items[:5])
        st.info(
            labels("manual.waiting", total=page.total, references=parts.plain(references)), icon=":material/groups:"
        )


def _list(labels: Labels, found: DecisionPage) -> str:
    """The page as a table; the reference whose row is chosen, the newest if none is."""
    st.caption(labels("decisions.shown", total=found.total))
    picked = st.dataframe(
        decision_rows(labels, found.items),
        hide_index=True,
        height="content" if len(found.items) <= TABLE_ROWS else 35 * (TABLE_ROWS + 1) + 2,
        on_select="rerun",
        selection_mode="single-row",
        key=f"decisions.table.{found.offset}.{labels.language}",
    )
    parts.pager(found.total, key="finance.page", size=PAGE)
    row = next(iter(picked["selection"]["rows"]), 0)
    return found.items[min(row, len(found.items) - 1)].application_id


def decision_rows(labels: Labels, items: list[DecisionItem]) -> pd.DataFrame:
    """One line a scoring: the policy's decision, and a person's beside it."""
    return pd.DataFrame(
        [
            {
                labels("decisions.when"): parts.when(item.created_at),
                labels("field.application_id"): item.application_id,
                labels("finance.score"): item.points,
                labels("finance.prob"): f"{item.prob_default:.1%}",
                labels("decisions.decision"): labels(f"decision.{item.decision}"),
                labels("manual.by_person"): _mark(labels, item),
                labels("decisions.model"): item.model_version,
                labels("decisions.policy"): item.policy_version,
            }
            for item in items
        ]
    )


def _mark(labels: Labels, item: DecisionItem) -> str:
    if item.manual is None:
        return ""
    told = labels(f"decision.{item.manual.decision}")
    return told if item.manual.state == "in_force" else f"{told} ({labels('manual.proposed')})"


# --- the record -------------------------------------------------------------------------------------------------------


def _record(client: TriviumClient, labels: Labels, reference: str) -> None:
    request = RecordRequest.model_construct(application_id=reference)  # as typed: the API names what is wrong with it
    record: ApplicationRecord | None = parts.ask(labels, lambda: client.call("finance", "application_record", request))
    if record is None:
        return
    newest = record.scorings[0]
    st.subheader(parts.plain(record.application_id), anchor=False)
    holds, policy = st.columns(2)
    with holds:
        parts.verdict(labels("manual.holds"), labels(f"decision.{record.decision}"), tone=parts.TONES[record.decision])
    with policy:
        told = labels(f"decision.{newest.decision}")
        parts.verdict(labels("manual.policy"), told, tone=parts.TONES[newest.decision])
    facts = [
        (labels("decisions.when"), parts.when(newest.created_at)),
        (labels("finance.score"), f"{newest.points}, {newest.prob_default:.1%}"),
        (labels("manual.times"), str(len(record.scorings))),
    ]
    parts.facts(facts)
    for one in reversed(newest.overrides):
        _told(labels, one)
    waits = next((one for one in newest.overrides if one.state == "proposed"), None)
    if waits is not None:
        if client.may("finance.confirm_override"):
            _confirm(client, labels, waits)
    elif client.may("finance.override_decision"):
        _override(client, labels, record)


def _told(labels: Labels, one: ManualOverride) -> None:
    with st.container(border=True):
        reason = one.reason_text_zh if labels.language == "zh" else one.reason_text
        told = f"{labels(f'decision.{one.decision}')} ({labels(f'manual.{one.state}')})"
        st.markdown(f"**{told}** :gray-badge[{one.reason}] {parts.plain(reason)}")
        st.caption(parts.plain(one.text))
        st.caption(labels("manual.by", who=one.decided_by, when=parts.when(one.decided_at)))
        if one.second_by is not None and one.second_at is not None:
            st.caption(parts.plain(one.second_text or ""))
            st.caption(labels("manual.second", who=one.second_by, when=parts.when(one.second_at)))


def _override(client: TriviumClient, labels: Labels, record: ApplicationRecord) -> None:
    """Another decision, with reason and words."""
    choices = [name for name in get_args(ManualDecision) if name != record.decision]
    key = f"manual.{record.application_id}.{len(record.scorings[0].overrides)}"
    with st.expander(labels("manual.title"), icon=":material/edit:"):
        decision = st.radio(
            labels("decisions.decision"),
            choices,
            format_func=lambda name: labels(f"decision.{name}"),
            horizontal=True,
            key=f"{key}.decision.{labels.language}",
        )
        fitting = [code for code, one in REASONS.items() if decision in one.decisions]
        reason = st.selectbox(
            labels("policies.reason"),
            fitting,
            format_func=lambda code: REASONS[code].text_zh if labels.language == "zh" else REASONS[code].text,
            key=f"{key}.reason.{decision}.{labels.language}",
        )
        text = st.text_area(labels("manual.text"), key=f"{key}.text", help=labels("manual.text_help"), height=80)
        if st.button(labels("manual.send"), type="primary", help=labels("policies.reason_help"), key=f"{key}.send"):
            # Sent as typed, so that the API names the field and the rule that a bad value breaks.
            request = OverrideRequest.model_construct(
                application_id=record.application_id, decision=decision, reason=reason, text=text
            )
            _send(client, labels, "override_decision", request)


def _confirm(client: TriviumClient, labels: Labels, waits: ManualOverride) -> None:
    """The second person's word."""
    st.caption(labels("manual.confirm_what"))
    text = st.text_area(labels("manual.text"), key=f"manual.{waits.override_id}", height=80)
    with st.container(horizontal=True):
        agree = st.button(labels("manual.confirm"), type="primary")
        reject = st.button(labels("manual.reject"))
    if agree or reject:
        request = ConfirmRequest.model_construct(override_id=waits.override_id, agree=agree, text=text)
        _send(client, labels, "confirm_override", request)


def _send(client: TriviumClient, labels: Labels, operation: str, request: Any) -> None:
    if parts.ask(labels, partial(client.call, "finance", operation, request)) is not None:
        st.rerun()
