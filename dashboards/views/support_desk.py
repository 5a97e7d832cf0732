"""The desk: hand-offs to take over and approvals to decide. Ignores tickets, and how the agent comes to them."""

from __future__ import annotations

import streamlit as st

from dashboards import parts
from dashboards.i18n import Labels
from dashboards.views import support_tickets, support_understood
from dashboards.views.support_parts import PRIORITY, argument_inputs, escaped, message, priority_badge
from service.client import TriviumClient
from verticals.support.schemas import (
    Action,
    DecideApprovalRequest,
    HandBackRequest,
    Handoff,
    ListApprovalsRequest,
    ListHandoffsRequest,
    ReplyAsPersonRequest,
    SessionRequest,
    TakeOverRequest,
)

_HEIGHT = 460


def render(client: TriviumClient, labels: Labels) -> None:
    """Draw the three queues."""
    inbox, approvals, tickets = parts.tabs(labels, "desk", ("handoffs", "approvals", "tickets"))
    with inbox:
        _inbox(client, labels)
    with approvals:
        _approvals(client, labels)
    with tickets:
        support_tickets.render(client, labels)


def _inbox(client: TriviumClient, labels: Labels) -> None:
    pages = []
    for status in ("waiting", "taken"):
        request = ListHandoffsRequest(status=status, limit=200)
        page = parts.ask(labels, lambda request=request: client.call("support", "list_handoffs", request))  # type: ignore[misc]
        if page is None:
            return
        pages.append(page)
    found = {one.handoff_id: one for page in pages for one in page.handoffs}  # those that wait first, as the API sorts
    if not found:
        parts.empty(labels("desk.no_handoffs"), labels("desk.no_handoffs_hint"))
        return
    left, right = st.columns([2, 3], gap="large")
    with left:
        chosen = st.radio(
            labels("desk.handoffs"),
            list(found),
            format_func=lambda name: _name(labels, found[name]),
            captions=[parts.plain(one.summary[:90]) for one in found.values()],
            key="support.handoff",
        )
    with right:
        _handoff(client, labels, found[chosen])


def _name(labels: Labels, handoff: Handoff) -> str:
    urgent = f" · {labels(f'priority.{handoff.priority}')}" if handoff.priority in PRIORITY else ""
    who = handoff.customer or labels("support.visitor")
    return f"{who} · {parts.when(handoff.created_at)} · {labels(f'handoff.{handoff.status}')}{urgent}"


def _handoff(client: TriviumClient, labels: Labels, handoff: Handoff) -> None:
    history = parts.ask(
        labels, lambda: client.call("support", "get_session", SessionRequest(session_id=handoff.session_id))
    )
    if history is None:
        return
    reason = labels(f"reason.{handoff.reason}")
    with st.container(horizontal=True, gap="xsmall"):
        priority_badge(labels, handoff.priority)
        support_understood.tone_badge(labels, handoff.tone)
    intent = support_understood.intent_name(labels, handoff.intent) if handoff.intent else ""
    parts.facts(
        [
            (labels("handoff.reason"), reason),
            (labels("handoff.summary"), handoff.summary),
            *([(labels("understood.intent"), intent)] if intent else []),
            *support_understood.slot_rows(labels, handoff.slots),
            *([(labels("handoff.tried"), " → ".join(handoff.tried))] if handoff.tried else []),
        ]
    )
    with st.container(height=_HEIGHT, border=True, autoscroll=True):
        for one in history.messages:
            message(labels, one)
    if handoff.status == "waiting":
        if st.button(labels("handoff.take"), type="primary", icon=":material/support_agent:"):
            _do(client, labels, "take_over", TakeOverRequest(handoff_id=handoff.handoff_id))
        return
    with st.form("support.reply", border=False, clear_on_submit=True):
        text = st.text_area(labels("handoff.reply"), height=90, max_chars=16_000)
        if st.form_submit_button(labels("handoff.send"), type="primary") and text.strip():
            request = ReplyAsPersonRequest(handoff_id=handoff.handoff_id, content=text)
            _do(client, labels, "reply_as_person", request)
    with st.container(horizontal=True):
        for name, close in (("back", False), ("close", True)):
            if st.button(labels(f"handoff.{name}")):
                _do(client, labels, "hand_back", HandBackRequest(handoff_id=handoff.handoff_id, close=close))


def _approvals(client: TriviumClient, labels: Labels) -> None:
    decided = st.toggle(labels("approval.all"), key="support.decided")
    request = ListApprovalsRequest(limit=200, **({"status": None} if decided else {}))
    page = parts.ask(labels, lambda: client.call("support", "list_approvals", request))
    if page is None:
        return
    if not page.approvals:
        parts.empty(labels("approval.none"), labels("approval.none_hint"))
    for action in page.approvals:
        _approval(client, labels, action)


def _approval(client: TriviumClient, labels: Labels, action: Action) -> None:
    with st.container(border=True, gap="xsmall"):
        action_card(labels, action)
        if action.status != "waiting" or not client.may("support.decide_approval"):
            return
        with st.form(f"support.approval.{action.action_id}", border=False):
            with st.expander(labels("approval.edit"), type="compact"):
                changed = argument_inputs(action.args, key=f"support.arg.{action.action_id}")
            note = st.text_input(labels("approval.note"), max_chars=500)
            with st.container(horizontal=True):
                approve = st.form_submit_button(labels("approval.approve"), type="primary")
                reject = st.form_submit_button(labels("approval.reject"))
        if approve or reject:
            decision = "reject" if reject else "edit" if changed else "approve"
            args = changed if decision == "edit" else {}
            asked = DecideApprovalRequest(action_id=action.action_id, decision=decision, args=args, note=note)
            _do(client, labels, "decide_approval", asked)


def action_card(labels: Labels, action: Action) -> None:
    """What an action does in words with its exact figures, for whom, and how far it is."""
    st.markdown(f"**{escaped(action.words[:1].upper() + action.words[1:])}**")
    st.badge(labels(f"action.{action.status}"), color="orange" if action.status == "waiting" else "gray")
    st.caption(f"{action.customer} · `{action.tool}` · {parts.when(action.asked_at)} UTC")
    for text in (action.outcome, action.note):
        if text:
            st.caption(escaped(text))


def _do(client: TriviumClient, labels: Labels, operation: str, request: object) -> None:
    if parts.ask(labels, lambda: client.call("support", operation, request)) is not None:  # type: ignore[arg-type]
        st.rerun()
