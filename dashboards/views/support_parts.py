"""What the support views share: source and ticket cards, text that is safe to show. Ignores where they stand."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import streamlit as st

from dashboards import parts
from dashboards.i18n import Labels
from verticals.support.schemas import SessionMessage, Source, Ticket, TicketPriority

PRIORITY: dict[TicketPriority, parts.Colour] = {TicketPriority.HIGH: "orange", TicketPriority.URGENT: "red"}
_ICONS = {"customer": ":material/person:", "assistant": ":material/hub:", "person": ":material/support_agent:"}


def message(labels: Labels, one: SessionMessage) -> None:
    """One message of a session, with who wrote it."""
    with st.chat_message("user" if one.role == "customer" else "assistant", avatar=_ICONS[one.role]):
        if one.role == "person":
            st.badge(labels("support.colleague"), color="green")
        st.markdown(cited(one.content) if one.role == "assistant" else escaped(one.content))


def source_card(labels: Labels, source: Source, *, used: bool) -> None:
    """A passage with its number, similarity and text."""
    with st.container(border=True, gap="xsmall"):
        number = f":{'primary' if used else 'gray'}-badge[{source.number}]"
        st.markdown(f"{number} **{escaped(source.title)}**{under(source)}")
        state = labels("support.cited") if used else labels("support.not_cited")
        st.caption(f"{labels('support.similarity')} {source.similarity:.2f} · {state}")
        with st.expander(labels("support.passage"), type="compact"):
            st.markdown(escaped(source.text))


def under(source: Source) -> str:
    """What follows a passage's title: its heading, unless that says nothing more."""
    return f" — {escaped(source.heading)}" if source.heading not in ("", source.title) else ""


def ticket_card(labels: Labels, ticket: Ticket) -> None:
    """A ticket, whole."""
    with st.container(border=True, gap="xsmall"):
        with st.container(horizontal=True, gap="xsmall"):
            st.badge(labels(f"category.{ticket.category}"), color="gray")
            priority_badge(labels, ticket.priority)
            st.badge(labels(f"ticket.{ticket.status}"), color="primary")
        st.markdown(f"**{escaped(ticket.subject)}**")
        st.markdown(escaped(ticket.summary))
        st.caption(f"{labels('ticket.wish')}: {escaped(ticket.customer_request)}")
        st.caption(f"`{ticket.ticket_id}` · {parts.when(ticket.created_at)} UTC · {ticket.model_version}")


def priority_badge(labels: Labels, priority: TicketPriority) -> None:
    """A priority in its colour."""
    st.badge(labels(f"priority.{priority}"), color=PRIORITY.get(priority, "gray"))


def citations(text: str) -> set[int]:
    """The numbers that `text` cites as `[number]`."""
    return {int(number) for number in re.findall(r"\[(\d{1,3})\]", text)}


def cited(text: str) -> str:
    """`text` as Markdown with its citations as badges."""
    return re.sub(r"\\\[(\d{1,3})\]", r":primary-badge[\1]", escaped(text))


def escaped(text: str) -> str:
    """Generated or stored text as Markdown: a price is no formula, and nothing links to or loads from anywhere."""
    return text.replace("$", r"\$").replace("[", r"\[").replace("<", r"\<")


def argument_inputs(args: Mapping[str, Any], *, key: str) -> dict[str, Any]:
    """An input for each argument of an action; returns those that were changed."""
    changed: dict[str, Any] = {}
    for name, value in args.items():
        typed: Any = (
            st.number_input(f"`{name}`", value=value, step=1, key=f"{key}.{name}")
            if isinstance(value, int)
            else st.text_input(f"`{name}`", value=str(value), key=f"{key}.{name}")
        )
        if typed != value:
            changed[name] = typed
    return changed
