"""One turn of the agent: what it is given, what it finds out, what it remembers, how it speaks. Ignores its steps."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, TypedDict

import numpy as np
from langgraph.channels import UntrackedValue
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.runtime import Runtime
from numpy.typing import NDArray

from retrieval.documents import Hit
from retrieval.grounding import Evidence
from verticals.contract import Context
from verticals.support.actions import ActionDesk
from verticals.support.answering import Draft
from verticals.support.conversation import Intent
from verticals.support.handoffs import HandoffDesk
from verticals.support.listening import acknowledge
from verticals.support.memory.store import CustomerMemory, Recollection
from verticals.support.phrases import for_customer
from verticals.support.policy import Policy, Step
from verticals.support.safety.guard import Verdict
from verticals.support.schemas import (
    ChatEvent,
    CitationEvent,
    DeltaEvent,
    MemoryEvent,
    MemoryItem,
    Message,
    Modality,
    Source,
    SourcesEvent,
    Tone,
    Understood,
)
from verticals.support.state.session import Kept, SessionTracker


class Memory(TypedDict, total=False):
    """What a session remembers besides its messages.

    Only the last node writes it, all at once and with the answer: a turn that was cut off has changed nothing of it and
    can be run again.
    """

    pending: dict[str, Any] | None  # {"tool", "args", "is_confirming", "reminders"}: what is being talked about
    declines: int  # in a row: questions without an answer since something was achieved
    dialogue: Kept  # what the customer has given so far, by the shop's services
    tried: list[str]  # what the assistant did in the last turns, in words for a person who takes over
    replied: dict[str, Any]  # {"number", "text", "shown", "citations", "understood", "answered"}: the last answer


class State(Memory, total=False):
    """What one turn has found out so far; nothing of it is kept but the memory."""

    window: Annotated[list[Message], UntrackedValue]
    verdict: Annotated[Verdict, UntrackedValue]
    intent: Annotated[Intent, UntrackedValue]
    understood: Annotated[Understood | None, UntrackedValue]
    query: Annotated[str, UntrackedValue]
    query_D: Annotated[NDArray[np.float32] | None, UntrackedValue]
    own: Annotated[str | None, UntrackedValue]  # the query, if a follow-up changes the topic
    own_D: Annotated[NDArray[np.float32] | None, UntrackedValue]
    step: Annotated[Step | None, UntrackedValue]
    hits: Annotated[list[Hit], UntrackedValue]
    evidence: Annotated[list[Evidence], UntrackedValue]
    recalled: Annotated[list[Recollection], UntrackedValue]


def _to_nobody(event: ChatEvent) -> None:
    """Nobody listens yet."""


@dataclass
class Turn:
    """One call: who asks, what, with which settings; what was said so far; whether anyone still listens."""

    context: Context
    conversation_id: str
    messages: Sequence[Message]
    model_settings: dict[str, Any]
    number: int | None = None  # of the message within its session; None without a session
    signals: Mapping[Modality, Mapping[Tone, float]] = field(default_factory=dict)  # tones that came with the message
    is_failing: bool = False  # the agent broke off on this message before: a person is asked, nothing else
    said: list[str] = field(default_factory=list)
    shown: SourcesEvent | None = None
    citations: list[CitationEvent] = field(default_factory=list)
    draft: Draft = field(default_factory=Draft)
    learned: Memory = field(default_factory=Memory)  # what the turn changes of the memory, once it ends
    did: str = ""  # in words for a person who takes over
    answered: bool = True  # false: nothing was known, it was refused, or a person takes over
    cancelled: threading.Event = field(default_factory=threading.Event)
    emit: Callable[[ChatEvent], None] = field(default=_to_nobody)  # to whoever listens; set by who runs the graph


@dataclass(frozen=True)
class Desks:
    """Where a session's effects go; a chat without a session needs none of it."""

    policy: Policy
    actions: ActionDesk
    handoffs: HandoffDesk
    memory: CustomerMemory
    states: SessionTracker
    checkpointer: BaseCheckpointSaver[Any]


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


def say(runtime: Runtime[Turn], text: str) -> None:
    """Stream a piece of the answer; fixed sentences in the customer's language."""
    text = for_customer(text, [m.content for m in runtime.context.messages if m.role == "user"])
    runtime.context.said.append(text)
    runtime.context.emit(ChatEvent(DeltaEvent(text=text)))


def say_kindly(runtime: Runtime[Turn], state: State) -> None:
    """Before an answer: the acknowledgement that the customer's tone calls for, if any."""
    if words := acknowledge(state["window"], state["understood"]):
        say(runtime, f"{words} ")


def with_care(state: State, words: str) -> str:
    """Where help is now comes first, for someone who may hurt themselves."""
    return f"{state['verdict'].reply}\n\n{words}" if state["verdict"].action == "hand_over" else words


def show_sources(runtime: Runtime[Turn], state: State) -> None:
    """Stream what the answer may cite, and what was searched for."""
    shown = SourcesEvent(sources=to_sources(state["hits"]), query=state["query"])
    runtime.context.shown = shown
    runtime.context.emit(ChatEvent(shown))


def cite(runtime: Runtime[Turn], hits: Sequence[Hit], evidence: Evidence) -> None:
    """Stream where the next sentence stands in its source."""
    passage_id, (start, end) = hits[evidence.source].passage_id, evidence.span
    citation = CitationEvent(number=evidence.source + 1, passage_id=passage_id, start=start, end=end)
    runtime.context.citations.append(citation)
    runtime.context.emit(ChatEvent(citation))


def show_memory(runtime: Runtime[Turn], recalled: Sequence[Recollection]) -> None:
    """Stream what is remembered, if anything."""
    if recalled:
        items = [MemoryItem(**vars(kept)) for kept in recalled]
        runtime.context.emit(ChatEvent(MemoryEvent(memories=items)))
