"""A session's next answer: store the message, run the agent, store the answer; after a crash, go on. Ignores HTTP.

The order makes a crash harmless at every point. The message is on disk before the turn begins; effects are keyed by the
message's number; the session's memory, which holds the answer, is on disk before the answer is stored; the answer is
stored before the last event is sent. A turn that was cut off is run again, or only its answer is stored if its memory
was written.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from verticals.contract import Conflict, Context, Decision, InvalidInput, NotFound
from verticals.support.actions import ActionDesk
from verticals.support.agent import SupportAgent
from verticals.support.handoffs import HandoffDesk
from verticals.support.heard import Heard
from verticals.support.references import ReferenceDesk
from verticals.support.schemas import (
    ChatEvent,
    CitationEvent,
    DeltaEvent,
    DoneEvent,
    Modality,
    SendMessageRequest,
    SessionHistory,
    SessionState,
    SourcesEvent,
    Tone,
    UnderstandingEvent,
    Usage,
)
from verticals.support.sessions import SessionStore
from verticals.support.tickets import messages_sha256
from verticals.support.turn import Memory, Turn

POLICY_VERSION = "support-session-1"
MAX_FAILURES = 2  # of the agent on one message: then a person is asked

Signals = Mapping[Modality, Mapping[Tone, float]]

_log = logging.getLogger(__name__)


class Dialogue:
    """Sends messages and reads sessions back; one answer at a time a session in this process.

    `after` is called when an answer is stored, and returns at once.
    """

    def __init__(
        self,
        store: SessionStore,
        agent: SupportAgent,
        actions: ActionDesk,
        handoffs: HandoffDesk,
        references: ReferenceDesk,
        model_version: Callable[[], str],
        *,
        after: Callable[[], None] = lambda: None,
    ) -> None:
        self._store, self._agent, self._model_version = store, agent, model_version
        self._actions, self._handoffs, self._references, self._after = actions, handoffs, references, after
        self._busy: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    def send(
        self, request: SendMessageRequest, context: Context, *, signals: Signals = MappingProxyType({})
    ) -> Iterator[ChatEvent]:
        """Store the message and answer it; while a person has the session it is stored for them.

        An earlier message that a crash left unanswered is answered first, into the history. `signals` are tones that
        came with the message; after a crash they are not known any more.

        Raises:
            InvalidInput: the message has no words.
            NotFound: no such session for this customer (this and the next at the first event).
            Conflict: the session is closed, or is answering now.
        """
        if not re.search(r"\w", request.content):
            raise InvalidInput("the message has no words", field="content", remedy="Send the customer's question.")
        settings = {"max_tokens": request.max_tokens, "temperature": request.temperature, "seed": request.seed}
        return self._send(request, context, settings, signals)

    def resume(self, session_id: str, context: Context) -> Iterator[ChatEvent]:
        """Answer what a crash or a hang-up left unanswered; no events if there is nothing.

        Raises:
            NotFound, Conflict: as `send`.
        """
        self._store.get(session_id, context)
        self._actions.recover(context)
        return self._resume(session_id, context)

    def history(self, session_id: str, context: Context) -> SessionHistory:
        """A session with everything in it.

        Raises:
            NotFound: no such session for this customer.
        """
        self._actions.recover(context)
        session = self._store.get(session_id, context)
        messages, is_waiting = self._store.messages(session_id, context.tenant)
        return SessionHistory(
            **session.model_dump(),
            messages=messages,
            actions=self._actions.of_session(session_id, context.tenant),
            handoffs=list(self._handoffs.of_session(session_id, context.tenant)),
            unanswered=is_waiting,
        )

    def _send(
        self, request: SendMessageRequest, context: Context, settings: dict[str, Any], signals: Signals
    ) -> Iterator[ChatEvent]:
        with self._claim(request.session_id, context):
            state, number = self._store.receive(request.session_id, request.content, context)
            if state != SessionState.BOT:
                yield _silent(request.session_id, state)
                return
            yield from self._answer(request.session_id, context, settings, fresh=number, signals=signals)

    def _resume(self, session_id: str, context: Context) -> Iterator[ChatEvent]:
        with self._claim(session_id, context):
            yield from self._answer(session_id, context, {"max_tokens": 160, "temperature": 0.0, "seed": None})

    def _answer(
        self,
        session_id: str,
        context: Context,
        settings: dict[str, Any],
        *,
        fresh: int | None = None,
        signals: Signals = MappingProxyType({}),
    ) -> Iterator[ChatEvent]:
        """Answer every message that wants it; only the last answer is streamed, the others were asked before.

        `fresh` has just been received, so nothing can be known about it.
        """
        waiting = self._store.waiting(session_id, context.tenant)
        for number, talk in waiting:
            memory = {} if number == fresh else self._agent.recall(context.tenant, session_id)
            turn = Turn(context, session_id, talk, settings, number, signals if number == fresh else {})
            events = self._turn(turn, number, memory.get("replied") or {})
            if number == waiting[-1][0]:
                yield from events
            else:
                for _ in events:
                    pass

    def _turn(self, turn: Turn, number: int, replied: dict[str, Any]) -> Iterator[ChatEvent]:
        context, session_id, heard = turn.context, turn.conversation_id, Heard()
        if replied.get("number") == number:  # the turn was done, only its answer is not stored
            events = _repeat(replied, session_id)
        else:
            events = self._try_twice(turn, number)
        try:
            for event in events:
                heard.note(event)
                if heard.done is None:
                    yield event
        finally:
            events.close()  # type: ignore[attr-defined]
        assert heard.done is not None, "every turn ends with a done event"
        answer_id = self._references.keep(heard, context, conversation_id=session_id)
        state = self._store.answer(
            session_id,
            number,
            content=heard.text,
            sources=[source.model_dump(mode="json") for source in heard.shown.sources] if heard.shown else [],
            understood=heard.understood.model_dump(mode="json") if heard.understood else None,
            context=context,
            decision=Decision(
                kind="support.answer",
                subject=session_id,
                input_sha256=messages_sha256(turn.messages),
                outcome=heard.outcome(),
                model_version=self._model_version(),
                policy_version=POLICY_VERSION,
            ),
        )
        self._after()
        yield ChatEvent(heard.done.model_copy(update={"session_state": state, "answer_id": answer_id}))

    def _try_twice(self, turn: Turn, number: int) -> Iterator[ChatEvent]:
        """The agent's events; when it breaks off on a message for the second time, a person is asked instead."""
        try:
            yield from self._agent.stream(turn)
        except Exception as error:
            if self._store.note_failure(turn.conversation_id, number, turn.context.tenant) < MAX_FAILURES:
                raise
            _log.warning("A session goes to a person, its agent broke off: %s", type(error).__name__)
            gap = "\n\n" if turn.said else ""
            if gap:
                yield ChatEvent(DeltaEvent(text=gap))
            fresh = replace(turn, learned=Memory(), cancelled=threading.Event())
            yield from self._agent.stream(replace(fresh, is_failing=True, said=[*turn.said, gap]))

    @contextmanager
    def _claim(self, session_id: str, context: Context) -> Iterator[None]:
        key = (context.tenant, session_id)
        with self._lock:
            if key in self._busy:
                raise Conflict("is answering now", field="session_id", remedy="Wait for the end of the answer.")
            self._busy.add(key)
        try:
            yield
        except NotFound:
            if not self._store.exists(session_id, context.tenant):  # the customer was forgotten in mid-answer
                self._agent.forget(context.tenant, session_id)
                self._references.forget(session_id, context)
            raise
        finally:
            with self._lock:
                self._busy.discard(key)


def _repeat(replied: dict[str, Any], session_id: str) -> Iterator[ChatEvent]:
    if replied["shown"]:
        yield ChatEvent(SourcesEvent.model_validate(replied["shown"]))
    for citation in replied["citations"]:
        yield ChatEvent(CitationEvent.model_validate(citation))
    yield ChatEvent(DeltaEvent(text=replied["text"]))
    if replied["understood"]:
        yield ChatEvent(UnderstandingEvent.model_validate(replied["understood"]))
    answered = replied["answered"]
    yield ChatEvent(DoneEvent(finish_reason="stop", usage=Usage(), answered=answered, conversation_id=session_id))


def _silent(session_id: str, state: SessionState) -> ChatEvent:
    """The only event while a person has the session."""
    return ChatEvent(
        DoneEvent(finish_reason="stop", usage=Usage(), answered=False, conversation_id=session_id, session_state=state)
    )
