"""Beside the chat: sources, what was understood, memory, actions, and a trace. Ignores the conversation itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from dashboards import parts
from dashboards.i18n import Labels
from dashboards.views import support_understood
from dashboards.views.support_desk import action_card
from dashboards.views.support_parts import citations, escaped, source_card
from service.client import TriviumClient
from verticals.support.schemas import CustomerRequest, ForgetMemoryRequest, SessionHistory, Source


def render(speaker: TriviumClient, labels: Labels, history: SessionHistory | None, customer: str | None) -> Any:
    """Draw the tabs; returns the place of the sources, which a streamed answer fills.

    As a fragment: opening a tab runs this again, and would cut a streaming answer if it ran the whole page.
    """
    names = ("sources", "understood", "memory", "actions", "trace")
    found, understood, memory, actions, trace = parts.tabs(labels, "support", names)
    answers = [one for one in history.messages if one.role == "assistant"] if history else []
    with found:
        place = st.empty()
        if answers:
            sources(labels, answers[-1].sources, answers[-1].content, place)
        else:
            with place.container():
                parts.empty(labels("support.no_sources"), labels("support.no_sources_hint"))
    with understood:
        support_understood.render(labels, history)
    with memory:
        _memory(speaker, labels, customer)
    with actions:
        for action in history.actions if history else []:
            with st.container(border=True, gap="xsmall"):
                action_card(labels, action)
        if history is None or not history.actions:
            parts.empty(labels("support.no_actions"), labels("support.no_actions_hint"))
    with trace:
        rows = trace_rows(labels, st.session_state.get("support.trace", []))
        if rows:
            parts.facts(rows)
        else:
            parts.empty(labels("support.no_sources"), labels("support.no_trace_hint"))
    return place


def sources(labels: Labels, found: Sequence[Source], text: str, place: Any) -> None:
    """The passages of one answer, numbered as `text` cites them."""
    with place.container():
        if not found:
            parts.empty(labels("support.without_sources"), labels("support.without_sources_hint"))
        for source in found:
            source_card(labels, source, used=source.number in citations(text))


def trace_rows(labels: Labels, trace: Sequence[tuple[float, Any]]) -> list[tuple[str, str]]:
    """(time, what happened) of the events of an answer, its text as one line for the first and one for the last piece.

    Args:
        labels: In which language.
        trace: Milliseconds since the question was sent, and the event.
    """
    deltas = [idx for idx, (_, event) in enumerate(trace) if event.type == "delta"]
    shown = [idx for idx in range(len(trace)) if idx not in deltas[1:-1]]
    return [(f"{trace[idx][0]:,.0f} ms", _said(labels, trace[idx][1], is_first=idx in deltas[:1])) for idx in shown]


def _said(labels: Labels, event: Any, *, is_first: bool) -> str:
    if event.type == "delta":
        return labels("event.first" if is_first else "event.last")
    detail: dict[str, Callable[[], str]] = {
        "sources": lambda: ", ".join(source.passage_id for source in event.sources),
        "memory": lambda: "; ".join(one.text for one in event.memories),
        "citation": lambda: f"[{event.number}] {event.passage_id}, {event.start}-{event.end}",
        "action": lambda: event.action.words,
        "ticket": lambda: event.ticket.ticket_id,
        "handoff": lambda: labels(f"reason.{event.handoff.reason}"),
        "understanding": lambda: support_understood.in_short(labels, event),
        "done": lambda: f"{event.usage.prompt_tokens} + {event.usage.completion_tokens} tokens",
    }
    return f"{labels(f'event.{event.type}')}: {detail[event.type]()}"


def _memory(speaker: TriviumClient, labels: Labels, customer: str | None) -> None:
    if customer is None:
        parts.empty(labels("memory.visitor"), labels("memory.visitor_hint"))
        return
    view = parts.ask(labels, lambda: speaker.call("support", "get_memory", CustomerRequest()))
    if view is None:
        return
    if not view.memories:
        parts.empty(labels("memory.none"), labels("memory.none_hint"))
        return
    for one in view.memories:
        with st.container(border=True, gap="xsmall"):
            st.markdown(f"**{escaped(one.attribute)}** {escaped(one.value)}")
            until = f" – {parts.when(one.valid_to)}" if one.valid_to else ""
            st.caption(f"{escaped(one.text)} · {parts.when(one.valid_from)}{until} UTC")
            _forget(speaker, labels, one.memory_id)
    _forget(speaker, labels, None)


def _forget(speaker: TriviumClient, labels: Labels, memory_id: str | None) -> None:
    """A button that asks once more; None forgets all."""
    name = "memory.forget" if memory_id else "memory.forget_all"
    with st.popover(labels(name), key=f"support.forget.{memory_id}"):
        st.markdown(labels("memory.sure"))
        if st.button(labels("memory.yes"), key=f"support.forgotten.{memory_id}", type="primary"):
            request = ForgetMemoryRequest(memory_id=memory_id)
            if parts.ask(labels, lambda: speaker.call("support", "forget_memory", request)) is not None:
                st.rerun()
