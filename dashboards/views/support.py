"""Support: a streaming chat with its sources beside it, tickets, knowledge. Ignores how answers are found."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from dashboards import parts
from dashboards.i18n import Labels
from service.client import ApiError, TriviumClient
from verticals.support.schemas import (
    ChatEvent,
    ChatRequest,
    CreateTicketRequest,
    DeltaEvent,
    DocumentInput,
    DoneEvent,
    IngestRequest,
    ListDocumentsRequest,
    ListTicketsRequest,
    Message,
    SearchRequest,
    Source,
    SourcesEvent,
    Ticket,
    TicketEvent,
    TicketPriority,
)

HINTS = 4  # suggested questions in the label table
_CHAT_HEIGHT = 560
_PRIORITY: dict[TicketPriority, parts.Colour] = {TicketPriority.HIGH: "orange", TicketPriority.URGENT: "red"}


def render(client: TriviumClient, labels: Labels) -> None:
    """Draw the page."""
    chat, tickets, knowledge = st.tabs([labels("support.chat"), labels("support.tickets"), labels("support.knowledge")])
    with chat:
        _chat(client, labels)
    with tickets:
        _tickets(client, labels)
    with knowledge:
        _search(client, labels)
        _documents(client, labels)


# --- chat -----------------------------------------------------------------------------------------------------------


def _chat(client: TriviumClient, labels: Labels) -> None:
    turns: list[dict[str, Any]] = st.session_state.setdefault("support.turns", [])
    left, right = st.columns([3, 2], gap="large")
    with left:
        log = st.container(height=_CHAT_HEIGHT, border=True, autoscroll=True)
        asked = st.chat_input(labels("support.placeholder"), key="support.input")
        actions = st.container(horizontal=True)
    with right:
        st.subheader(labels("support.sources"), anchor=False)
        beside = st.empty()
    with log:
        chosen = _hints(labels) if not turns and not asked else None
        for turn in turns:
            _turn(labels, turn)
    question = asked or chosen or st.session_state.pop("support.next", None)
    if question:
        with log:
            _exchange(client, labels, turns, question=question, beside=beside)
    else:
        answers = [turn for turn in turns if turn["role"] == "assistant"]
        _sources(labels, answers[-1] if answers else None, beside)
    with actions:
        _actions(client, labels, turns)


def _hints(labels: Labels) -> str | None:
    st.markdown(labels("support.hello"))
    st.caption(labels("support.hints"))
    with st.container(gap=None):
        for idx in range(1, HINTS + 1):
            text = labels(f"support.hint{idx}")
            if st.button(text, key=f"support.hint.{idx}", type="tertiary", icon=":material/subdirectory_arrow_right:"):
                st.session_state["support.next"] = text
                st.rerun()
    return None


def _turn(labels: Labels, turn: dict[str, Any]) -> None:
    icon = ":material/person:" if turn["role"] == "user" else ":material/hub:"
    with st.chat_message(turn["role"], avatar=icon):
        st.markdown(cited(turn["content"]) if turn["role"] == "assistant" else escaped(turn["content"]))
        if turn.get("answered") is False and not turn.get("ticket"):
            st.badge(labels("support.unanswered"), color="orange")
        if turn.get("ticket"):
            _ticket_card(labels, turn["ticket"])


def _exchange(
    client: TriviumClient, labels: Labels, turns: list[dict[str, Any]], *, question: str, beside: Any
) -> None:
    """Show the question, stream the answer, keep both. A failed answer leaves the question out of the history."""
    asked = {"role": "user", "content": question}
    _turn(labels, asked)
    answer: dict[str, Any] = {"role": "assistant", "content": "", "sources": [], "ticket": None, "answered": None}
    try:
        with st.chat_message("assistant", avatar=":material/hub:"):
            request = ChatRequest(
                messages=_messages([*turns, asked]), conversation_id=st.session_state.get("support.conversation")
            )
            with st.spinner(labels("support.thinking")):
                events = client.stream("support", "chat", request)
                text = _until_text(labels, answer, events=events, beside=beside)
            st.write_stream(escaped(piece) for piece in text)
    except ApiError as error:
        parts.show_problem(labels, error)
        return
    turns.extend([asked, answer])
    st.rerun()


def _until_text(labels: Labels, answer: dict[str, Any], *, events: Iterator[Any], beside: Any) -> Iterator[str]:
    """Read events until the first text, so that the spinner stays until then; the rest comes as the text is read."""
    text = _texts(labels, answer, events=events, beside=beside)
    first = next(text, "")

    def all_text() -> Iterator[str]:
        yield first
        yield from text

    return all_text()


def _texts(labels: Labels, answer: dict[str, Any], *, events: Iterator[ChatEvent], beside: Any) -> Iterator[str]:
    for event in events:
        match event.root:
            case SourcesEvent(sources=sources):
                answer["sources"] = sources
                _sources(labels, answer, beside)
            case DeltaEvent(text=text):
                answer["content"] += text
                yield text
            case TicketEvent(ticket=ticket):
                answer["ticket"] = ticket
            case DoneEvent(answered=answered, conversation_id=conversation_id):
                answer["answered"] = answered
                st.session_state["support.conversation"] = conversation_id


def _messages(turns: Sequence[dict[str, Any]]) -> list[Message]:
    return [Message(role=turn["role"], content=turn["content"]) for turn in turns]


def _sources(labels: Labels, answer: dict[str, Any] | None, place: Any) -> None:
    """The passages of one answer, numbered as its citations."""
    with place.container():
        if answer is None:
            parts.empty(labels("support.no_sources"), labels("support.no_sources_hint"))
        elif not answer["sources"]:
            parts.empty(labels("support.without_sources"), labels("support.without_sources_hint"))
        else:
            numbers = citations(answer["content"])
            for source in answer["sources"]:
                _source(labels, source, used=source.number in numbers)


def _source(labels: Labels, source: Source, *, used: bool) -> None:
    with st.container(border=True, gap="xsmall"):
        number = f":{'primary' if used else 'gray'}-badge[{source.number}]"
        heading = f" — {escaped(source.heading)}" if source.heading and source.heading != source.title else ""
        st.markdown(f"{number} **{escaped(source.title)}**{heading}")
        state = labels("support.cited") if used else labels("support.not_cited")
        st.caption(f"{labels('support.similarity')} {source.similarity:.2f} · {state}")
        with st.expander(labels("support.passage"), type="compact"):
            st.markdown(escaped(source.text))


def _actions(client: TriviumClient, labels: Labels, turns: list[dict[str, Any]]) -> None:
    if st.button(labels("support.ticket"), disabled=not turns, icon=":material/confirmation_number:"):
        request = CreateTicketRequest(
            messages=_messages(turns[:-1] or turns), conversation_id=st.session_state.get("support.conversation")
        )
        waiting = labels("support.ticket_waiting")
        ticket = parts.ask(labels, lambda: client.call("support", "create_ticket", request), waiting=waiting)
        if ticket is not None:
            turns[-1]["ticket"] = ticket
            st.rerun()
    if st.button(labels("support.new"), disabled=not turns, type="tertiary"):
        st.session_state["support.turns"] = []
        st.session_state.pop("support.conversation", None)
        st.rerun()


def citations(text: str) -> set[int]:
    """The numbers that `text` cites as `[number]`."""
    return {int(number) for number in re.findall(r"\[(\d{1,3})\]", text)}


def cited(text: str) -> str:
    """`text` as Markdown with its citations as badges."""
    return re.sub(r"\[(\d{1,3})\]", r":primary-badge[\1]", escaped(text))


def escaped(text: str) -> str:
    """Generated or stored text as Markdown: a price is no formula and no image is loaded from anywhere."""
    return text.replace("$", r"\$").replace("![", r"!\[").replace("<", r"\<")


# --- tickets --------------------------------------------------------------------------------------------------------


def _ticket_card(labels: Labels, ticket: Ticket) -> None:
    with st.container(border=True, gap="xsmall"):
        with st.container(horizontal=True, gap="xsmall"):
            st.badge(labels(f"category.{ticket.category}"), color="gray")
            st.badge(labels(f"priority.{ticket.priority}"), color=_PRIORITY.get(ticket.priority, "gray"))
            st.badge(labels(f"ticket.{ticket.status}"), color="primary")
        st.markdown(f"**{escaped(ticket.subject)}**")
        st.markdown(escaped(ticket.summary))
        st.caption(f"{labels('ticket.wish')}: {escaped(ticket.customer_request)}")
        st.caption(f"`{ticket.ticket_id}` · {parts.when(ticket.created_at)} UTC · {ticket.model_version}")


def _tickets(client: TriviumClient, labels: Labels) -> None:
    page = parts.ask(labels, lambda: client.call("support", "list_tickets", ListTicketsRequest()))
    if page is None:
        return
    if not page.tickets:
        parts.empty(labels("support.no_tickets"), labels("support.no_tickets_hint"))
        return
    left, right = st.columns([3, 2], gap="large")
    rows = [
        {
            labels("ticket.created"): parts.when(ticket.created_at),
            labels("ticket.category"): labels(f"category.{ticket.category}"),
            labels("ticket.priority"): labels(f"priority.{ticket.priority}"),
            labels("ticket.subject"): ticket.subject,
            labels("ticket.status"): labels(f"ticket.{ticket.status}"),
        }
        for ticket in page.tickets
    ]
    with left:
        st.caption(labels("support.tickets_shown", shown=len(rows), total=page.total))
        chosen = st.dataframe(
            pd.DataFrame(rows), hide_index=True, on_select="rerun", selection_mode="single-row", key="support.queue"
        )
    with right:
        picked = chosen.selection.rows
        _ticket_card(labels, page.tickets[picked[0] if picked and picked[0] < len(page.tickets) else 0])


# --- knowledge ------------------------------------------------------------------------------------------------------


def _search(client: TriviumClient, labels: Labels) -> None:
    left, right = st.columns([4, 1], vertical_alignment="bottom")
    query = left.text_input(labels("support.query"), placeholder=labels("support.query_example"), max_chars=2000)
    k = right.number_input(labels("support.k"), min_value=1, max_value=20, value=5)
    if not query:
        return
    found = parts.ask(labels, lambda: client.call("support", "search", SearchRequest(query=query, k=int(k))))
    if found is None:
        return
    if not found.hits:
        parts.empty(labels("support.no_hits"), labels("support.no_hits_hint"))
    for hit in found.hits:
        _source(labels, hit, used=True)


def _documents(client: TriviumClient, labels: Labels) -> None:
    page = parts.ask(labels, lambda: client.call("support", "list_documents", ListDocumentsRequest()))
    if page is None:
        return
    st.subheader(labels("support.documents", total=page.total), anchor=False)
    if page.documents:
        rows = [
            {
                labels("document.title"): document.title,
                labels("document.id"): document.doc_id,
                labels("document.passages"): document.passages,
            }
            for document in page.documents
        ]
        st.dataframe(pd.DataFrame(rows), hide_index=True, height="content" if len(rows) <= 8 else 299)
    else:
        parts.empty(labels("support.no_documents"), labels("support.no_documents_hint"))
    with st.expander(labels("support.add")), st.form("support.ingest", border=False, clear_on_submit=True):
        doc_id = st.text_input(labels("document.id"), max_chars=128, help=labels("document.id_help"))
        title = st.text_input(labels("document.title"), max_chars=300)
        text = st.text_area(labels("document.text"), height=160)
        if st.form_submit_button(labels("support.add_send"), type="primary"):
            _ingest(client, labels, {"doc_id": doc_id.strip(), "title": title.strip(), "text": text.strip()})


def _ingest(client: TriviumClient, labels: Labels, document: dict[str, Any]) -> None:
    # Sent as typed, so that the API names the field and the rule that a bad value breaks.
    request = IngestRequest.model_construct(documents=[DocumentInput.model_construct(None, **document)])
    done = parts.ask(labels, lambda: client.call("support", "ingest", request), waiting=labels("support.adding"))
    if done is not None:
        st.success(labels("support.added", passages=done.passages), icon=":material/check:")
