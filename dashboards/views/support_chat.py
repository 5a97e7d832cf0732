"""The chat: a session as a visitor or a customer, its streamed answers, thumbs. Ignores what stands beside it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import streamlit as st

from dashboards import parts
from dashboards.i18n import Labels
from dashboards.views import support_beside
from dashboards.views.support_parts import escaped, message, ticket_card
from service.client import ApiError, TriviumClient
from verticals.support.schemas import (
    MAX_MESSAGE_CHARS,
    CreateSessionRequest,
    CreateTicketRequest,
    DeltaEvent,
    DoneEvent,
    Message,
    RateAnswerRequest,
    Rating,
    SendMessageRequest,
    SessionHistory,
    SessionMessage,
    SessionRequest,
    SessionState,
    SourcesEvent,
    TicketEvent,
)

HINTS = 4  # suggested questions in the label table
CUSTOMERS = ("C-1001", "C-1002", "C-1003", "C-1004")  # of the demo shop
_HEIGHT = 540
_KEY_LIFETIME_S = 3_000  # a little less than the API gives
_REFRESH = "3s"


def render(client: TriviumClient, labels: Labels) -> None:
    """Draw the conversation, and beside it what belongs to its last answer."""
    customer = _who(labels) if client.may("keys.customers") else None
    speaker = _speaker(client, labels, customer)
    if speaker is None:
        return
    history = _history(speaker, labels)
    left, right = st.columns([3, 2], gap="large")
    with left:
        _state(speaker, labels, history)
        log = st.container(height=_HEIGHT, border=True, autoscroll=True)
        closed = history is not None and history.state == SessionState.CLOSED
        typed = st.chat_input(
            labels("support.placeholder"), key="support.input", max_chars=MAX_MESSAGE_CHARS, disabled=closed
        )
        asked = typed or st.session_state.pop("support.next", None)
        with st.container(horizontal=True):
            _actions(speaker, labels, history)
    with right:
        beside = st.fragment(support_beside.render)(speaker, labels, history, customer)
    with log:
        _messages(speaker, labels, history, empty=not asked)
        if asked:
            _exchange(speaker, labels, history, question=asked, beside=beside)


def _who(labels: Labels) -> str | None:
    left, _ = st.columns([2, 3])
    options = ("", *CUSTOMERS)  # not None, which a select box shows as "nothing chosen"
    key = f"support.customer.{labels.language}"  # a select box keeps the words that it was chosen by

    def remember() -> None:
        st.session_state["support.customer"] = st.session_state[key]
        _forget_session()

    chosen = left.selectbox(
        labels("support.who"),
        options,
        index=options.index(st.session_state.get("support.customer", "")),
        format_func=lambda one: one or labels("support.visitor"),
        key=key,
        on_change=remember,
    )
    return chosen or None


def _forget_session() -> None:
    for name in ("session", "trace", "tickets", "answered"):
        st.session_state.pop(f"support.{name}", None)


def _speaker(client: TriviumClient, labels: Labels, customer: str | None) -> TriviumClient | None:
    """A client with the customer's own key, kept while it is valid; staff's for a visitor who is not known."""
    if customer is None:
        return client
    keys: dict[str, tuple[float, TriviumClient]] = st.session_state.setdefault("support.keys", {})
    if customer not in keys or keys[customer][0] < time.time():
        issued = parts.ask(labels, lambda: client.customer_key(customer))
        if issued is None:
            return None
        keys[customer] = (time.time() + _KEY_LIFETIME_S, TriviumClient(client.base_url, issued["key"]))
    return keys[customer][1]


def _history(speaker: TriviumClient, labels: Labels) -> SessionHistory | None:
    session_id = st.session_state.get("support.session")
    if session_id is None:
        return None
    request = SessionRequest(session_id=session_id)
    return parts.ask(labels, lambda: speaker.call("support", "get_session", request))


def _state(speaker: TriviumClient, labels: Labels, history: SessionHistory | None) -> None:
    """Who has the session; looked up again every few seconds while a person is waited for or writes."""
    if history is None:
        return
    colours: dict[str, parts.Colour] = {"waiting": "orange", "person": "green"}
    st.badge(labels(f"session.{history.state}"), color=colours.get(history.state, "gray"))
    if history.state in (SessionState.WAITING, SessionState.PERSON):
        st.fragment(_watch, run_every=_REFRESH)(speaker, history)


def _watch(speaker: TriviumClient, seen: SessionHistory) -> None:
    try:
        now = speaker.call("support", "get_session", SessionRequest(session_id=seen.session_id))
    except ApiError:  # the page itself says so at its next run
        return
    if (now.state, now.num_messages) != (seen.state, seen.num_messages):
        st.rerun()


def _messages(speaker: TriviumClient, labels: Labels, history: SessionHistory | None, *, empty: bool) -> None:
    if history is None or not history.messages:
        if empty:
            _hints(labels)
        return
    for one in history.messages:
        message(labels, one)
        if one.role == "assistant":
            if st.session_state.get("support.answered", {}).get(one.number) is False:
                st.badge(labels("support.unanswered"), color="orange")
            if one.number in st.session_state.get("support.tickets", {}):
                ticket_card(labels, st.session_state["support.tickets"][one.number])
            _thumbs(speaker, labels, history.session_id, one)
    if history.unanswered and empty and st.button(labels("support.resume"), icon=":material/refresh:"):
        _stream(speaker, labels, "resume_session", SessionRequest(session_id=history.session_id), beside=st.empty())


def _hints(labels: Labels) -> None:
    st.markdown(labels("support.hello"))
    st.caption(labels("support.hints"))
    with st.container(gap=None):
        for idx in range(1, HINTS + 1):
            text = labels(f"support.hint{idx}")
            if st.button(text, key=f"support.hint.{idx}", type="tertiary", icon=":material/subdirectory_arrow_right:"):
                st.session_state["support.next"] = text
                st.rerun()


def _thumbs(speaker: TriviumClient, labels: Labels, session_id: str, answer: SessionMessage) -> None:
    key = f"support.thumb.{session_id}.{answer.number}"
    thumb = st.feedback("thumbs", key=key)
    if thumb is None or st.session_state.get(f"{key}.sent") == thumb:
        return
    rating = Rating.UP if thumb else Rating.DOWN
    request = RateAnswerRequest(session_id=session_id, number=answer.number, rating=rating)
    if parts.ask(labels, lambda: speaker.call("support", "rate_answer", request)) is not None:
        st.session_state[f"{key}.sent"] = thumb
        st.toast(labels("support.thanks"))


def _exchange(
    speaker: TriviumClient, labels: Labels, history: SessionHistory | None, *, question: str, beside: Any
) -> None:
    """Show the question and stream its answer; the session is begun by its first message."""
    with st.chat_message("user", avatar=":material/person:"):
        st.markdown(escaped(question))
    if history is None:
        begun = parts.ask(labels, lambda: speaker.call("support", "create_session", CreateSessionRequest()))
        if begun is None:
            return
        st.session_state["support.session"] = begun.session_id
    request = SendMessageRequest(session_id=st.session_state["support.session"], content=question)
    _stream(speaker, labels, "send_message", request, beside=beside)


def _stream(speaker: TriviumClient, labels: Labels, operation: str, request: Any, *, beside: Any) -> None:
    trace: list[tuple[float, Any]] = []
    try:
        with st.chat_message("assistant", avatar=":material/hub:"):
            texts = _texts(speaker.stream("support", operation, request), trace, labels=labels, beside=beside)
            with st.spinner(labels("support.thinking")):
                first = next(texts, "")
            st.write_stream(escaped(piece) for piece in _chain(first, texts))
    except ApiError as error:
        parts.show_problem(labels, error)
        return
    _keep(speaker, labels, trace)
    st.rerun()


def _chain(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _texts(events: Iterator[Any], trace: list[tuple[float, Any]], *, labels: Labels, beside: Any) -> Iterator[str]:
    start = time.perf_counter()
    for event in events:
        trace.append(((time.perf_counter() - start) * 1_000, event.root))
        match event.root:
            case SourcesEvent(sources=sources):
                support_beside.sources(labels, sources, "", beside)
            case DeltaEvent(text=text):
                yield text


def _keep(speaker: TriviumClient, labels: Labels, trace: list[tuple[float, Any]]) -> None:
    """What the history does not hold of an answer: its trace, its ticket, whether it answered."""
    st.session_state["support.trace"] = trace
    history = _history(speaker, labels)
    numbers = [one.number for one in history.messages if one.role == "assistant"] if history else []
    for _, event in trace if numbers else []:
        if isinstance(event, TicketEvent):
            st.session_state.setdefault("support.tickets", {})[numbers[-1]] = event.ticket
        if isinstance(event, DoneEvent) and event.session_state == SessionState.BOT:
            st.session_state.setdefault("support.answered", {})[numbers[-1]] = event.answered


def _actions(speaker: TriviumClient, labels: Labels, history: SessionHistory | None) -> None:
    is_open = history is not None and bool(history.messages) and history.state != SessionState.CLOSED
    if st.button(labels("support.person"), disabled=not is_open or history is None or history.state != "bot"):
        st.session_state["support.next"] = "I want to speak to a person."
        st.rerun()
    if st.button(labels("support.ticket"), disabled=not is_open) and history is not None:
        _ticket(speaker, labels, history)
    if st.button(labels("support.close"), disabled=not is_open) and history is not None:
        request = SessionRequest(session_id=history.session_id)
        if parts.ask(labels, lambda: speaker.call("support", "close_session", request)) is not None:
            st.rerun()
    if st.button(labels("support.new"), disabled=history is None, type="tertiary"):
        _forget_session()
        st.rerun()


def _ticket(speaker: TriviumClient, labels: Labels, history: SessionHistory) -> None:
    last = max(idx for idx, one in enumerate(history.messages) if one.role == "customer")
    said = [
        Message(role="user" if one.role == "customer" else "assistant", content=one.content)
        for one in history.messages[: last + 1]
    ]
    request = CreateTicketRequest(messages=said[-200:], conversation_id=history.session_id)
    waiting = labels("support.ticket_waiting")
    ticket = parts.ask(labels, lambda: speaker.call("support", "create_ticket", request), waiting=waiting)
    if ticket is not None:
        number = max(one.number for one in history.messages if one.role == "assistant")
        st.session_state.setdefault("support.tickets", {})[number] = ticket
        st.rerun()
