"""The support agent as a graph: read, plan, then reply, act, hand over or answer. Ignores HTTP and SQL.

    read ─┬─ must not be answered ────────────> refuse
          ├─ small talk ──────────────────────> reply
          ├─ a ticket ────────────────────────> open_ticket
          ├─ a person ────────────────────────> hand_over
          └─ else ──> plan ─┬─ asks, tells ───> tell
                            ├─ confirmed ─────> act
                            └─ no task ──> retrieve ─┬─ known ──────────> answer
                                                     ├─ unknown ────────> decline
                                                     └─ unknown again ──> give_up     each, at last ──> finish
    broke off twice ──> fail

Nodes write `ChatEvent`s to the stream as they go; `turn.py` says what they share, `routing.py` which comes next; those
that only a session has are in `session_nodes.py`. `open_ticket` has an effect: it may run twice and has it once, keyed
by the conversation. A chat without a session has no memory and no customer: it plans nothing, and a wish for a person
opens a ticket.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, cast

import numpy as np
from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from numpy.typing import NDArray

from retrieval.documents import Hit
from retrieval.grounding import choose_evidence
from verticals.contract import Retriever
from verticals.support.answerable import Answerable, best_similarity, similar_enough
from verticals.support.answering import is_instruction, write_answer
from verticals.support.checkpoints import thread_id
from verticals.support.conversation import OFFER, Intent, own_question, read_intent, read_window, standalone_query
from verticals.support.listening import Listener, is_strange, is_thanks
from verticals.support.memory.store import Owner, Recollection
from verticals.support.prompting import tenant_option
from verticals.support.routing import after_plan, after_read, after_search_with, after_start
from verticals.support.running import GraphRunner
from verticals.support.safety.guard import ALLOWED, Guard, Verdict
from verticals.support.schemas import ChatEvent, DoneEvent, Message, TicketEvent, Tone, UnderstandingEvent, Understood
from verticals.support.session_nodes import SessionNodes, tried_so_far
from verticals.support.state.session import slot_values
from verticals.support.tickets import TicketDesk
from verticals.support.turn import (
    Desks,
    Memory,
    State,
    Turn,
    cite,
    say,
    say_kindly,
    show_memory,
    show_sources,
    with_care,
)

NUM_PASSAGES = 5
MAX_REMINDERS = 2  # of an open question to the customer

REPLIES = {
    Intent.GREETING: "Hello, this is the assistant of Maple & Pine. How can I help you?",
    Intent.THANKS: "You're welcome. Is there anything else that I can help you with?",
    Intent.IDENTITY: "I'm the automated assistant of Maple & Pine. I answer from our help articles, and I can open a "
    "ticket if you would rather have a person.",
    Intent.TELLING: "Thank you for telling me. How can I help you?",
}
HAND_OVER = "I'm handing this to a colleague. Here is your ticket; we will answer you there."
DECLINE = f"I'm sorry, I don't know: our help articles don't say. {OFFER}"
OUT_OF_SCOPE = (
    "I'm sorry, that is outside what I can help with. I answer for Maple & Pine: our products, orders, deliveries, "
    'returns and refunds, payments, memberships and accounts. Write "person" if you would rather talk to a colleague.'
)


class SupportAgent:
    """Answers one customer message at a time, as a stream of events.

    Args:
        chat_model: Drafts answers; they are quoted from the passages if None.
        retriever: Finds passages of the caller's tenant.
        desk: Opens tickets.
        desks: For sessions; without them there is only the chat.
        embed: Gives the vector of a query, which verdict, memory and search share; each computes its own if None.
        is_answerable: Whether passages answer a question; see `answerable.py`.
        may_draft: Whether the model that serves now is good enough to draft; asked at each answer.
        guard: Judges messages, cleans passages, filters answers; without it everything is believed and said.
        listener: Hears intent, scope and tone; without it rules decide alone.
    """

    def __init__(
        self,
        chat_model: BaseChatModel | None,
        retriever: Retriever,
        desk: TicketDesk,
        *,
        is_answerable: Answerable = similar_enough,
        desks: Desks | None = None,
        embed: Callable[[str], NDArray[np.float32]] | None = None,
        may_draft: Callable[[], bool] = lambda: True,
        guard: Guard | None = None,
        listener: Listener | None = None,
    ) -> None:
        self._chat_model, self._retriever, self._desk, self._desks = chat_model, retriever, desk, desks
        self._embed, self._is_answerable = embed, is_answerable
        self._may_draft, self._guard = may_draft, guard
        self._listener = listener or Listener(None)
        self._runner = GraphRunner()
        self._session_nodes = SessionNodes(desks, self._listener) if desks else None
        self._graph = self._draw(None).compile()
        nodes = self._session_nodes
        self._session_graph = self._draw(nodes).compile(checkpointer=desks.checkpointer) if desks else None

    def stream(self, turn: Turn) -> Generator[ChatEvent]:
        """Events of one answer; when they have ended, a session's memory is on disk.

        Closing the iterator stops the model; a ticket that is being written is still opened.

        Raises:
            InvalidInput: the last message is not the customer's, or has no words.
        """
        if turn.number is None:
            return self._runner.stream(self._graph, turn)
        thread = _thread(turn.context.tenant, turn.conversation_id)
        return self._runner.stream(self._in_session(), turn, config=thread, durability="exit")

    def recall(self, tenant: str, session_id: str) -> Memory:
        """What a session's checkpoint holds."""
        return cast(Memory, self._in_session().get_state(_thread(tenant, session_id)).values)

    def forget(self, tenant: str, session_id: str) -> None:
        """Drop a session's checkpoint."""
        assert self._desks is not None, "a session needs desks"
        self._desks.checkpointer.delete_thread(thread_id(tenant, session_id))

    def _in_session(self) -> Any:
        assert self._session_graph is not None, "a session needs desks"
        return self._session_graph

    def mood(self, window: Sequence[Message]) -> Tone:
        """The tone of a conversation whose last message is the customer's."""
        understood = self._listener.hear(window[-1].content, {})
        return self._listener.mood(window, understood.tone) if understood else Tone.CALM

    def _draw(self, session: SessionNodes | None) -> Any:
        graph = StateGraph(State, context_schema=Turn)
        nodes = [self.refuse, self.reply, self.open_ticket, self.answer, self.decline]
        tasks = [session.tell, session.act, session.hand_over, session.give_up, session.fail] if session else []
        planned = [session.plan] if session else []
        for node in (self.read, self.retrieve, self.finish, *nodes, *tasks, *planned):
            graph.add_node(node.__name__, node)
        asked = ["refuse", "reply", "open_ticket"]
        known = ["answer", "decline"]
        after_search = after_search_with(self._is_answerable)
        if session:
            graph.add_conditional_edges(START, after_start, ["read", "fail"])
            graph.add_conditional_edges("read", after_read, [*asked, "hand_over", "plan"])
            graph.add_conditional_edges("plan", after_plan, ["tell", "act", "retrieve"])
            graph.add_conditional_edges("retrieve", after_search, [*known, "give_up"])
        else:
            graph.add_edge(START, "read")
            graph.add_conditional_edges("read", after_read, [*asked, "retrieve"])
            graph.add_conditional_edges("retrieve", after_search, known)
        for last in (*nodes, *tasks):
            graph.add_edge(last.__name__, "finish")
        graph.add_edge("finish", END)
        return graph

    # --- nodes -----------------------------------------------------------------------------------------------------

    def read(self, state: State, runtime: Runtime[Turn]) -> State:
        """Window, verdict, intent and tone, and what is remembered of the customer.

        The only place where a query is embedded: verdict, memory and search share the vector.
        """
        turn = runtime.context
        window = read_window(turn.messages)
        said, query, own = window[-1].content, standalone_query(window), own_question(window)
        query_D = self._embed(query) if self._embed else None
        own_D = self._embed(own) if self._embed and own else None
        intent, understood = read_intent(window), self._listener.hear(said, turn.signals)
        if intent == Intent.QUESTION and is_thanks(said, understood):
            intent = Intent.THANKS
        return {
            "window": window,
            "verdict": self._check(said, {query: query_D, own: own_D}.get(said.strip())),
            "intent": intent,
            "understood": understood,
            "query": query,
            "query_D": query_D,
            "own": own,
            "own_D": own_D,
            "step": None,
            "recalled": self._recall(turn, query, query_D),
        }

    def refuse(self, state: State, runtime: Runtime[Turn]) -> State:
        """A request that would harm someone: a fixed sentence, no search, no model."""
        say(runtime, state["verdict"].reply)
        runtime.context.answered = False
        return {}

    def reply(self, state: State, runtime: Runtime[Turn]) -> State:
        """Small talk: a fixed sentence, no model."""
        reply = REPLIES[state["intent"]]
        names = [kept.value for kept in state["recalled"] if kept.attribute == "preferred_name"]
        say(runtime, reply.replace("Hello,", f"Hello {names[0]},") if names else reply)
        return {}

    def open_ticket(self, state: State, runtime: Runtime[Turn]) -> State:
        """Say so at once, then write the ticket."""
        turn, window, understood = runtime.context, state["window"], state["understood"]
        if state["verdict"].action == "allow":
            say_kindly(runtime, state)
        say(runtime, with_care(state, HAND_OVER))
        hits = self._search(state, turn)
        tone = self._listener.mood(window, understood.tone) if understood else Tone.CALM
        where = turn.conversation_id
        ticket = self._desk.open(window, turn.context, conversation_id=where, hits=hits, tone=tone)
        runtime.context.emit(ChatEvent(TicketEvent(ticket=ticket)))
        turn.answered, turn.did = False, f"opened ticket {ticket.ticket_id}"
        turn.learned["declines"] = 0
        return {}

    def retrieve(self, state: State, runtime: Runtime[Turn]) -> State:
        """Passages and, among their sentences, the evidence; what addresses the assistant is left out.

        A follow-up is searched with its question and alone: the nearer passage tells whether it changed the topic.
        """
        query, hits = state["query"], self._search(state, runtime.context)
        if own := state["own"]:
            alone = self._search({"query": own, "query_D": state["own_D"]}, runtime.context)
            if best_similarity(alone) > best_similarity(hits):
                query, hits = own, alone
        if self._guard is None:
            return {"query": query, "hits": hits, "evidence": choose_evidence(query, hits)}
        hits = self._guard.clean_passages(hits, tenant=runtime.context.context.tenant)
        evidence = choose_evidence(query, hits, usable=lambda sentence: not is_instruction(sentence))
        return {"query": query, "hits": hits, "evidence": evidence}

    def answer(self, state: State, runtime: Runtime[Turn]) -> State:
        """Cited sentences, each as soon as it is checked."""
        turn = runtime.context
        show_memory(runtime, state["recalled"])
        show_sources(runtime, state)
        say_kindly(runtime, state)
        drafter = self._chat_model if self._may_draft() else None
        model = drafter and drafter.bind(**turn.model_settings, **tenant_option(drafter, turn.context.tenant))
        gap = ""
        known = [kept.text for kept in state["recalled"]]
        mask = self._mask(state)
        for sentence in write_answer(
            model, state["query"], state["evidence"], known=known, draft=turn.draft, cancelled=turn.cancelled.is_set
        ):
            cite(runtime, state["hits"], sentence.evidence)
            say(runtime, f"{gap}{mask(sentence.text)} [{sentence.evidence.source + 1}]")
            gap = " "
        cited = dict.fromkeys(state["hits"][citation.number - 1].title for citation in turn.citations)
        turn.did = f"answered from: {', '.join(cited)}"
        turn.learned["declines"] = 0
        _remind(state, runtime)
        return {}

    def decline(self, state: State, runtime: Runtime[Turn]) -> State:
        """An honest "I don't know" with the offer of a ticket, or what the shop can help with; see `give_up` too."""
        turn, is_ours = runtime.context, not is_strange(state["window"][-1].content, state["understood"])
        show_sources(runtime, state)
        say_kindly(runtime, state)
        say(runtime, DECLINE if is_ours else OUT_OF_SCOPE)
        turn.answered, turn.did = False, "found no answer in the articles" if is_ours else "declined: not the shop's"
        turn.learned |= {"declines": state.get("declines", 0) + is_ours, "pending": None}
        return {}

    def finish(self, state: State, runtime: Runtime[Turn]) -> Memory:
        """The last events, and what a session's checkpoint must know to tell the answer after a crash.

        The dialogue state is followed here, where nobody waits for a first word any more.
        """
        turn, understood = runtime.context, state["understood"]
        if self._session_nodes and turn.number is not None:
            slots = slot_values(self._session_nodes.follow(state, runtime))
            if understood or slots:
                understood = (understood or Understood()).model_copy(update={"slots": slots})
            turn.learned.setdefault("tried", tried_so_far(state, turn))
        read = understood and understood.model_dump(mode="json")
        if read:
            runtime.context.emit(ChatEvent(UnderstandingEvent.model_validate(read)))
        runtime.context.emit(
            ChatEvent(
                DoneEvent(
                    finish_reason=turn.draft.finish_reason,
                    usage=turn.draft.usage,
                    answered=turn.answered,
                    conversation_id=turn.conversation_id,
                )
            )
        )
        shown = turn.shown and turn.shown.model_dump(mode="json")
        citations = [citation.model_dump(mode="json") for citation in turn.citations]
        said = {"number": turn.number, "text": "".join(turn.said), "shown": shown, "citations": citations}
        return {**turn.learned, "replied": {**said, "understood": read, "answered": turn.answered}}

    def _mask(self, state: State) -> Callable[[str], str]:
        """Hides personal data in an answer, but the customer's own and the contacts that the shop publishes."""
        if self._guard is None:
            return lambda text: text
        said = [message.content for message in state["window"] if message.role == "user"]
        shown = self._guard.output_filter(own=said, published=[hit.text for hit in state["hits"]])
        return lambda text: shown.feed(text) + shown.finish()

    def _check(self, said: str, said_D: NDArray[np.float32] | None) -> Verdict:
        return self._guard.check_request(said, vector_D=said_D) if self._guard else ALLOWED

    def _search(self, state: State, turn: Turn) -> list[Hit]:
        return self._retriever.search(
            state["query"], tenant=turn.context.tenant, k=NUM_PASSAGES, query_D=state["query_D"]
        )

    def _recall(self, turn: Turn, query: str, query_D: NDArray[np.float32] | None) -> list[Recollection]:
        if self._desks is None or turn.number is None or turn.context.customer is None:
            return []
        owner = Owner(turn.context.tenant, turn.context.customer)
        return self._desks.memory.recall(owner, query, query_D=query_D)


def _remind(state: State, runtime: Runtime[Turn]) -> None:
    """After an answer in between: the question to the customer that is still open; dropped after a while."""
    pending = state.get("pending")
    if not pending:
        return
    if pending["reminders"] == MAX_REMINDERS:
        runtime.context.learned["pending"] = None
        return
    say(runtime, f"\n\n{pending['words']}")
    runtime.context.learned["pending"] = {**pending, "reminders": pending["reminders"] + 1}


def _thread(tenant: str, session_id: str) -> RunnableConfig:
    return {"configurable": {"thread_id": thread_id(tenant, session_id)}}
