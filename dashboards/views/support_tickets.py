"""The ticket queue: read, correct and run a ticket. Ignores how tickets are written."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboards import parts
from dashboards.i18n import Labels
from dashboards.views.support_parts import argument_inputs, ticket_card
from service.client import TriviumClient
from verticals.support.schemas import (
    EditTicketRequest,
    ListTicketsRequest,
    RunTicketRequest,
    Ticket,
    TicketAction,
    TicketCategory,
    TicketPriority,
    TicketStatus,
)


def render(client: TriviumClient, labels: Labels) -> None:
    """Draw the queue and the chosen ticket."""
    page = parts.ask(labels, lambda: client.call("support", "list_tickets", ListTicketsRequest(limit=200)))
    if page is None:
        return
    if not page.tickets:
        parts.empty(labels("support.no_tickets"), labels("support.no_tickets_hint"))
        return
    left, right = st.columns([3, 2], gap="large")
    with left:
        closed = st.toggle(labels("ticket.all"), key="support.closed")
        tickets = [one for one in page.tickets if closed or one.status == TicketStatus.OPEN]
        st.caption(labels("support.tickets_shown", shown=len(tickets), total=page.total))
        rows = [_row(labels, ticket) for ticket in tickets]
        chosen = st.dataframe(
            pd.DataFrame(rows), hide_index=True, on_select="rerun", selection_mode="single-row", key="support.queue"
        )
    if tickets:
        picked = chosen.selection.rows
        with right:
            _ticket(client, labels, tickets[picked[0] if picked and picked[0] < len(tickets) else 0])


def _row(labels: Labels, ticket: Ticket) -> dict[str, str]:
    return {
        labels("ticket.created"): parts.when(ticket.created_at),
        labels("ticket.category"): labels(f"category.{ticket.category}"),
        labels("ticket.priority"): labels(f"priority.{ticket.priority}"),
        labels("ticket.subject"): ticket.subject,
        labels("ticket.status"): labels(f"ticket.{ticket.status}"),
    }


def _ticket(client: TriviumClient, labels: Labels, ticket: Ticket) -> None:
    ticket_card(labels, ticket)
    if ticket.outcome:
        st.success(parts.plain(ticket.outcome), icon=":material/check:")
    elif ticket.action:
        st.caption(f"`{ticket.action.tool}` {parts.plain(str(ticket.action.args))} · {ticket.customer or '–'}")
        if st.button(labels("ticket.run"), type="primary", icon=":material/play_arrow:"):
            _do(client, labels, "run_ticket", RunTicketRequest(ticket_id=ticket.ticket_id))
    key = f"support.edit.{ticket.ticket_id}"
    with st.expander(labels("ticket.edit")), st.form(key, border=False):
        new: dict[str, Any] = {
            "category": _choice(labels, "category", list(TicketCategory), ticket.category, key=key),
            "priority": _choice(labels, "priority", list(TicketPriority), ticket.priority, key=key),
            "status": _choice(labels, "status", list(TicketStatus), ticket.status, key=key),
            "subject": st.text_input(labels("ticket.subject"), ticket.subject, max_chars=80, key=f"{key}.subject"),
            "summary": st.text_area(labels("ticket.summary"), ticket.summary, max_chars=300, key=f"{key}.summary"),
            "customer_request": st.text_area(
                labels("ticket.wish"), ticket.customer_request, max_chars=300, key=f"{key}.wish"
            ),
        }
        if ticket.action and ticket.outcome is None:
            changed = argument_inputs(ticket.action.args, key=key)
            if changed:
                new["action"] = TicketAction(tool=ticket.action.tool, args={**ticket.action.args, **changed})
        if st.form_submit_button(labels("ticket.save")):
            # Sent as typed, so that the API names the field and the rule that a bad value breaks.
            _do(client, labels, "edit_ticket", EditTicketRequest.model_construct(ticket_id=ticket.ticket_id, **new))


def _choice(labels: Labels, name: str, options: list[Any], value: Any, *, key: str) -> Any:
    table = "ticket" if name == "status" else name
    return st.selectbox(
        labels(f"ticket.{name}"),
        options,
        index=options.index(value),
        format_func=lambda one: labels(f"{table}.{one}"),
        key=f"{key}.{name}.{labels.language}",  # a select box keeps the words that it was chosen by
    )


def _do(client: TriviumClient, labels: Labels, operation: str, request: Any) -> None:
    if parts.ask(labels, lambda: client.call("support", operation, request)) is not None:
        st.rerun()
