"""The support agent as a graph: read, then reply, hand over, or retrieve and answer or decline. Ignores HTTP and SQL.

    read ─┬─ small talk ──> reply
          ├─ a person ────> hand_over
          └─ question ────> retrieve ─┬─ known ────> answer
                                      └─ unknown ──> decline

Nodes write `ChatEvent`s to the stream as they go; the state holds what later nodes need, `Turn` what a call was given.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict

from langchain_core.language_models import BaseChatModel
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime

from retrieval.documents import Hit
from retrieval.grounding import Evidence, Similarity, choose_evidence
from verticals.contract import Context, Retriever
from verticals.support.answering import Draft, is_instruction, write_answer
from verticals.support.conversation import OFFER, Intent, read_intent, read_window, standalone_query
from verticals.support.schemas import (
    ChatEvent,
    ChatRequest,
    CitationEvent,
    DeltaEvent,
    DoneEvent,
    Message,
    Source,
    SourcesEvent,
    TicketEvent,
)
from verticals.support.tickets import TicketDesk

# Best cosine of a retrieved passage from which a question counts as answerable: `evals.choose_threshold` on the dev
# half of knowledge/questions.jsonl (there it answers 76 % of 78 answerable questions and declines 85 % of 20 others);
# the suite `answerable` reports the test half.
ANSWERABLE_SIMILARITY = 0.41
NUM_PASSAGES = 5

REPLIES = {
    Intent.GREETING: "Hello, this is the assistant of Maple & Pine. How can I help you?",
    Intent.THANKS: "You're welcome. Is there anything else that I can help you with?",
    Intent.IDENTITY: "I'm the automated assistant of Maple & Pine. I answer from our help articles, and I can open a "
    "ticket if you would rather have a person.",
}
HAND_OVER = "I'm handing this to a colleague. Here is your ticket; we will answer you there."
DECLINE = f"I'm sorry, I don't know: our help articles don't say. {OFFER}"


class State(TypedDict, total=False):
    """What one turn has found out so far."""

    messages: list[Message]
    window: list[Message]
    intent: Intent
    query: str
    hits: list[Hit]
    evidence: list[Evidence]


@dataclass
class Turn:
    """One call: who asks, with which settings, and whether anyone still listens."""

    context: Context
    conversation_id: str
    model_settings: dict[str, Any]
    cancelled: threading.Event = field(default_factory=threading.Event)


class SupportAgent:
    """Answers one customer message at a time, as a stream of events.

    Args:
        chat_model: Drafts answers; they are quoted from the passages if None.
        retriever: Finds passages of the caller's tenant.
        desk: Opens tickets.
        similarity: Cosines of a question and texts, to choose evidence; shared words decide if None.
        answerable_similarity: See `ANSWERABLE_SIMILARITY`.
        may_draft: Whether the model that serves now is good enough to draft; asked at each answer.
    """

    def __init__(
        self,
        chat_model: BaseChatModel | None,
        retriever: Retriever,
        desk: TicketDesk,
        *,
        similarity: Similarity | None = None,
        answerable_similarity: float = ANSWERABLE_SIMILARITY,
        may_draft: Callable[[], bool] = lambda: True,
    ) -> None:
        self._chat_model, self._retriever, self._desk = chat_model, retriever, desk
        self._similarity, self._answerable_similarity = similarity, answerable_similarity
        self._may_draft = may_draft
        self._graph = self._compile()

    def stream(self, request: ChatRequest, context: Context, *, conversation_id: str) -> Generator[ChatEvent]:
        """Events of one answer. Closing the iterator stops the model; a ticket that is being written is still opened.

        Raises:
            InvalidInput: the last message is not the customer's, or has no words.
        """
        settings = {"max_tokens": request.max_tokens, "temperature": request.temperature, "seed": request.seed}
        turn = Turn(context, conversation_id, settings)
        events = self._graph.stream({"messages": request.messages}, context=turn, stream_mode="custom")
        try:
            for event in events:  # noqa: UP028  `yield from` would close the graph first, which waits for its node
                yield event
        finally:
            turn.cancelled.set()
            events.close()

    def _compile(self) -> Any:
        graph = StateGraph(State, context_schema=Turn)
        for node in (self.read, self.reply, self.hand_over, self.retrieve, self.answer, self.decline):
            graph.add_node(node.__name__, node)
        graph.add_edge(START, "read")
        graph.add_conditional_edges("read", _route_intent, ["reply", "hand_over", "retrieve"])
        graph.add_conditional_edges("retrieve", self._route_known, ["answer", "decline"])
        for last in ("reply", "hand_over", "answer", "decline"):
            graph.add_edge(last, END)
        return graph.compile()

    # --- nodes -----------------------------------------------------------------------------------------------------

    def read(self, state: State) -> State:
        """Window and intent."""
        window = read_window(state["messages"])
        return {"window": window, "intent": read_intent(window), "query": standalone_query(window)}

    def reply(self, state: State, runtime: Runtime[Turn]) -> State:
        """Small talk: a fixed sentence, no model."""
        _say(runtime, REPLIES[state["intent"]])
        _done(runtime, answered=True)
        return {}

    def hand_over(self, state: State, runtime: Runtime[Turn]) -> State:
        """A person takes over: say so at once, then write the ticket."""
        _say(runtime, HAND_OVER)
        turn = runtime.context
        hits = self._retriever.search(state["query"], tenant=turn.context.tenant, k=NUM_PASSAGES)
        ticket = self._desk.open(state["window"], turn.context, conversation_id=turn.conversation_id, hits=hits)
        runtime.stream_writer(ChatEvent(TicketEvent(ticket=ticket)))
        _done(runtime, answered=False)
        return {}

    def retrieve(self, state: State, runtime: Runtime[Turn]) -> State:
        """Passages and, among their sentences, the evidence; what addresses the assistant is left out."""
        hits = self._retriever.search(state["query"], tenant=runtime.context.context.tenant, k=NUM_PASSAGES)
        evidence = choose_evidence(
            state["query"], hits, similarity=self._similarity, usable=lambda sentence: not is_instruction(sentence)
        )
        return {"hits": hits, "evidence": evidence}

    def answer(self, state: State, runtime: Runtime[Turn]) -> State:
        """Cited sentences, each as soon as it is checked."""
        turn, draft = runtime.context, Draft()
        _show_sources(runtime, state)
        drafter = self._chat_model if self._may_draft() else None
        model = drafter and drafter.bind(**turn.model_settings)
        gap = ""
        for sentence in write_answer(
            model, state["query"], state["evidence"], draft=draft, cancelled=turn.cancelled.is_set
        ):
            _cite(runtime, state["hits"], sentence.evidence)
            _say(runtime, f"{gap}{sentence.text} [{sentence.evidence.source + 1}]")
            gap = " "
        _done(runtime, answered=True, draft=draft)
        return {}

    def decline(self, state: State, runtime: Runtime[Turn]) -> State:
        """An honest "I don't know" with the offer of a ticket."""
        _show_sources(runtime, state)
        _say(runtime, DECLINE)
        _done(runtime, answered=False)
        return {}

    def _route_known(self, state: State) -> str:
        best = max((hit.similarity for hit in state["hits"]), default=-1.0)
        return "answer" if state["evidence"] and best >= self._answerable_similarity else "decline"


def _route_intent(state: State) -> str:
    routes = {Intent.QUESTION: "retrieve", Intent.HAND_OVER: "hand_over"}
    return routes.get(state["intent"], "reply")


def to_sources(hits: Sequence[Hit]) -> list[Source]:
    """Hits as numbered sources; an answer cites these numbers."""
    return [
        Source(
            number=number,
            passage_id=hit.passage_id,
            doc_id=hit.doc_id,
            title=hit.title,
            heading=hit.heading,
            text=hit.text,
            similarity=hit.similarity,
            score=hit.score,
        )
        for number, hit in enumerate(hits, start=1)
    ]


def _say(runtime: Runtime[Turn], text: str) -> None:
    runtime.stream_writer(ChatEvent(DeltaEvent(text=text)))


def _show_sources(runtime: Runtime[Turn], state: State) -> None:
    runtime.stream_writer(ChatEvent(SourcesEvent(sources=to_sources(state["hits"]), query=state["query"])))


def _cite(runtime: Runtime[Turn], hits: Sequence[Hit], evidence: Evidence) -> None:
    passage_id, (start, end) = hits[evidence.source].passage_id, evidence.span
    citation = CitationEvent(number=evidence.source + 1, passage_id=passage_id, start=start, end=end)
    runtime.stream_writer(ChatEvent(citation))


def _done(runtime: Runtime[Turn], *, answered: bool, draft: Draft | None = None) -> None:
    draft = draft or Draft()
    runtime.stream_writer(
        ChatEvent(
            DoneEvent(
                finish_reason=draft.finish_reason,
                usage=draft.usage,
                answered=answered,
                conversation_id=runtime.context.conversation_id,
            )
        )
    )
