"""The support agent as a graph: read, plan, then reply, act, hand over or answer. Ignores HTTP and SQL.

    read ─┬─ must not be answered ────────────> refuse
          ├─ small talk ──────────────────────> reply
          ├─ a ticket ────────────────────────> open_ticket
          ├─ a person ────────────────────────> hand_over
          └─ else ──> plan ─┬─ asks, tells ───> tell
                            ├─ confirmed ─────> act
                            └─ no task ──> retrieve ─┬─ known ────> answer
                                                     └─ unknown ──> decline        each, at last ──> finish

Nodes write `ChatEvent`s to the stream as they go; `turn.py` says what they share. The nodes with effects are `act`,
`hand_over` and `open_ticket`: each may run twice and has its effect once, keyed by the message that it answers. A chat
without a session has no memory and no customer: it plans nothing, and a wish for a person opens a ticket.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from datetime import UTC, datetime
from typing import Any, cast

import numpy as np
from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from numpy.typing import NDArray

from retrieval.documents import Hit
from retrieval.grounding import choose_evidence
from verticals.contract import Retriever, TriviumError
from verticals.support.actions import action_id_of
from verticals.support.answerable import Answerable, similar_enough
from verticals.support.answering import is_instruction, write_answer
from verticals.support.checkpoints import thread_id
from verticals.support.conversation import OFFER, Intent, asks_for_ticket, read_intent, read_window, standalone_query
from verticals.support.memory.store import Owner, Recollection
from verticals.support.phrases import both
from verticals.support.planning import Proposal
from verticals.support.policy import Step, sorry
from verticals.support.prompting import tenant_option
from verticals.support.safety.guard import ALLOWED, Guard, Verdict
from verticals.support.schemas import ActionEvent, ActionStatus, ChatEvent, DoneEvent, HandoffEvent, TicketEvent
from verticals.support.shop.tool import Shopper
from verticals.support.tickets import TicketDesk
from verticals.support.turn import Desks, Memory, State, Turn, cite, say, show_memory, show_sources

NUM_PASSAGES = 5
MAX_OFFERS = 2  # of a ticket in a session, until something else was achieved: no offer in circles
MAX_REMINDERS = 2  # of an open question to the customer

REPLIES = {
    Intent.GREETING: "Hello, this is the assistant of Maple & Pine. How can I help you?",
    Intent.THANKS: "You're welcome. Is there anything else that I can help you with?",
    Intent.IDENTITY: "I'm the automated assistant of Maple & Pine. I answer from our help articles, and I can open a "
    "ticket if you would rather have a person.",
    Intent.TELLING: "Thank you for telling me. How can I help you?",
}
HAND_OVER = "I'm handing this to a colleague. Here is your ticket; we will answer you there."
HANDED_OFF = "I'm handing this conversation to a colleague, who will answer you here. I stay silent until then."
DECLINE = f"I'm sorry, I don't know: our help articles don't say. {OFFER}"
DECLINE_AGAIN = "I'm sorry, I don't know that either. Write \"person\" and a colleague will take over."
SUBMITTED = "I have passed this on to a colleague for approval: {words}. You will read the outcome here."


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
    ) -> None:
        self._chat_model, self._retriever, self._desk, self._desks = chat_model, retriever, desk, desks
        self._embed, self._is_answerable = embed, is_answerable
        self._may_draft, self._guard = may_draft, guard
        graph = self._draw()
        self._graph = graph.compile()
        self._session_graph = graph.compile(checkpointer=desks.checkpointer) if desks else None

    def stream(self, turn: Turn) -> Generator[ChatEvent]:
        """Events of one answer; when they have ended, a session's memory is on disk.

        Closing the iterator stops the model; a ticket that is being written is still opened.

        Raises:
            InvalidInput: the last message is not the customer's, or has no words.
        """
        graph: Any = self._graph
        options: dict[str, Any] = {}
        if turn.number is not None:
            graph = self._in_session()
            options = {"config": _thread(turn.context.tenant, turn.conversation_id), "durability": "exit"}
        start: State = {"replied": {}}
        events = cast(Generator[ChatEvent], graph.stream(start, context=turn, stream_mode="custom", **options))
        try:
            for event in events:  # noqa: UP028  `yield from` would close the graph first, which waits for its node
                yield event
        finally:
            turn.cancelled.set()
            events.close()

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

    def _draw(self) -> Any:
        graph = StateGraph(State, context_schema=Turn)
        for node in (
            self.read,
            self.refuse,
            self.reply,
            self.open_ticket,
            self.hand_over,
            self.plan,
            self.tell,
            self.act,
        ):
            graph.add_node(node.__name__, node)
        for node in (self.retrieve, self.answer, self.decline):
            graph.add_node(node.__name__, node)
        graph.add_node("finish", self.finish)
        graph.add_edge(START, "read")
        graph.add_conditional_edges("read", _route_intent, ["refuse", "reply", "open_ticket", "hand_over", "plan"])
        graph.add_conditional_edges("plan", _route_step, ["tell", "act", "retrieve"])
        graph.add_conditional_edges("retrieve", self._route_known, ["answer", "decline"])
        for last in ("refuse", "reply", "open_ticket", "hand_over", "tell", "act", "answer", "decline"):
            graph.add_edge(last, "finish")
        graph.add_edge("finish", END)
        return graph

    # --- nodes -----------------------------------------------------------------------------------------------------

    def read(self, state: State, runtime: Runtime[Turn]) -> State:
        """Window, verdict and intent, and what is remembered of the customer.

        The only place where a message is embedded: verdict, memory and search share the vector.
        """
        turn = runtime.context
        window = read_window(turn.messages)
        said, query = window[-1].content, standalone_query(window)
        query_D = self._embed(query) if self._embed else None
        return {
            "window": window,
            "verdict": self._check(said, query_D if query == said.strip() else None),
            "intent": read_intent(window),
            "query": query,
            "query_D": query_D,
            "step": None,
            "recalled": self._recall(turn, query, query_D),
        }

    def refuse(self, state: State, runtime: Runtime[Turn]) -> State:
        """A request that would harm someone: a fixed sentence, no search, no model."""
        say(runtime, state["verdict"].reply)
        return {}

    def reply(self, state: State, runtime: Runtime[Turn]) -> State:
        """Small talk: a fixed sentence, no model."""
        reply = REPLIES[state["intent"]]
        names = [kept.value for kept in state["recalled"] if kept.attribute == "preferred_name"]
        say(runtime, reply.replace("Hello,", f"Hello {names[0]},") if names else reply)
        return {}

    def open_ticket(self, state: State, runtime: Runtime[Turn]) -> State:
        """Say so at once, then write the ticket."""
        say(runtime, _with_care(state, HAND_OVER))
        turn = runtime.context
        hits = self._search(state, turn)
        ticket = self._desk.open(state["window"], turn.context, conversation_id=turn.conversation_id, hits=hits)
        runtime.stream_writer(ChatEvent(TicketEvent(ticket=ticket)))
        turn.learned["offers"] = 0
        return {}

    def hand_over(self, state: State, runtime: Runtime[Turn]) -> State:
        """A person takes the session: say so, and be silent from here."""
        turn = runtime.context
        assert self._desks is not None, "only sessions are handed over"
        assert turn.number is not None, "only sessions are handed over"
        where = (turn.conversation_id, turn.number)
        handoff = self._desks.handoffs.open(*where, state["window"], turn.context, reason="asked")
        say(runtime, _with_care(state, HANDED_OFF))
        runtime.stream_writer(ChatEvent(HandoffEvent(handoff=handoff)))
        turn.learned |= {"offers": 0, "pending": None}
        return {}

    def plan(self, state: State, runtime: Runtime[Turn]) -> State:
        """The next step of what the customer wants done; none for a question, or a customer that is not known."""
        context = runtime.context.context
        if self._desks is None or runtime.context.number is None or context.customer is None:
            return {"step": None}
        pending = state.get("pending") or {}
        step = self._desks.policy.decide(
            state["window"],
            Shopper(context.tenant, context.customer, datetime.now(UTC)),
            pending=Proposal(pending["tool"], pending["args"]) if pending else None,
            is_confirming=bool(pending.get("is_confirming")),
        )
        return {"step": step}

    def tell(self, state: State, runtime: Runtime[Turn]) -> State:
        """Ask for what is missing or for a yes, or tell a result or a rule."""
        step, turn = state["step"], runtime.context
        assert step is not None, "routed by it"
        say(runtime, step.words)
        turn.learned["pending"] = None
        if step.proposal is not None:
            asked = {"tool": step.proposal.tool, "args": dict(step.proposal.args), "words": step.words}
            turn.learned["pending"] = {**asked, "is_confirming": step.kind == "confirm", "reminders": 0}
        return {}

    def act(self, state: State, runtime: Runtime[Turn]) -> State:
        """The customer has confirmed: submit the change; what needs no person is made at once."""
        turn, step, desks = runtime.context, state["step"], cast(Desks, self._desks)
        proposal = cast(Step, step).proposal
        assert proposal is not None, "what is confirmed was proposed"
        try:
            action = desks.actions.submit(
                proposal.tool,
                proposal.args,
                turn.context,
                action_id=action_id_of(turn.context.tenant, turn.conversation_id, str(turn.number)),
                customer=str(turn.context.customer),
                asked_at=datetime.now(UTC),
                session_id=turn.conversation_id,
            )
        except TriviumError as error:  # the shop's rules, or another change was faster
            say(runtime, sorry(error))
            turn.learned["pending"] = None
            return {}
        waits = action.status == ActionStatus.WAITING
        say(runtime, SUBMITTED.format(words=action.words) if waits else str(action.outcome))
        runtime.stream_writer(ChatEvent(ActionEvent(action=action)))
        turn.learned |= {"offers": 0, "pending": None}
        return {}

    def retrieve(self, state: State, runtime: Runtime[Turn]) -> State:
        """Passages and, among their sentences, the evidence; what addresses the assistant is left out."""
        hits = self._search(state, runtime.context)
        if self._guard is None:
            return {"hits": hits, "evidence": choose_evidence(state["query"], hits)}
        hits = self._guard.clean_passages(hits, tenant=runtime.context.context.tenant)
        evidence = choose_evidence(state["query"], hits, usable=lambda sentence: not is_instruction(sentence))
        return {"hits": hits, "evidence": evidence}

    def answer(self, state: State, runtime: Runtime[Turn]) -> State:
        """Cited sentences, each as soon as it is checked."""
        turn = runtime.context
        show_memory(runtime, state["recalled"])
        show_sources(runtime, state)
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
        turn.learned["offers"] = 0
        _remind(state, runtime)
        return {}

    def decline(self, state: State, runtime: Runtime[Turn]) -> State:
        """An honest "I don't know" with the offer of a ticket, but not again and again."""
        show_sources(runtime, state)
        offers = state.get("offers", 0) + 1
        say(runtime, DECLINE if offers <= MAX_OFFERS else DECLINE_AGAIN)
        runtime.context.learned |= {"offers": offers, "pending": None}
        return {}

    def finish(self, state: State, runtime: Runtime[Turn]) -> Memory:
        """The last event, and what a session's checkpoint must know to tell the answer after a crash."""
        turn = runtime.context
        is_bots = state["verdict"].action == "allow" and state["intent"] != Intent.HAND_OVER
        answered = is_bots and not "".join(turn.said).startswith((*both(DECLINE), *both(DECLINE_AGAIN)))
        runtime.stream_writer(
            ChatEvent(
                DoneEvent(
                    finish_reason=turn.draft.finish_reason,
                    usage=turn.draft.usage,
                    answered=answered,
                    conversation_id=turn.conversation_id,
                )
            )
        )
        shown = turn.shown and turn.shown.model_dump(mode="json")
        citations = [citation.model_dump(mode="json") for citation in turn.citations]
        said = {"number": turn.number, "text": "".join(turn.said), "shown": shown, "citations": citations}
        return {**turn.learned, "replied": said}

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

    def _route_known(self, state: State) -> str:
        is_known = state["evidence"] and self._is_answerable(state["query"], state["hits"])
        return "answer" if is_known else "decline"


def _route_intent(state: State, runtime: Runtime[Turn]) -> str:
    if state["verdict"].action == "refuse":
        return "refuse"
    if state["verdict"].action == "allow" and state["intent"] != Intent.HAND_OVER:
        return "plan" if state["intent"] == Intent.QUESTION else "reply"
    window, is_session = state["window"], runtime.context.number is not None
    wants_ticket = asks_for_ticket(window)
    return "hand_over" if is_session and not wants_ticket else "open_ticket"


def _with_care(state: State, words: str) -> str:
    """Where help is now comes first, for someone who may hurt themselves."""
    return f"{state['verdict'].reply}\n\n{words}" if state["verdict"].action == "hand_over" else words


def _route_step(state: State) -> str:
    step = state["step"]
    if step is None:
        return "retrieve"
    return "act" if step.kind == "act" else "tell"


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
