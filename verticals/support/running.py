"""Runs the agent's graph in one thread and gives its events as they come. Ignores the graph's steps.

LangGraph's own `stream_mode="custom"` starts a thread for every step and one more that waits for it; the first word of
an answer would wait for all of them. Run by itself, a graph takes its steps one after the other in its thread.
"""

from __future__ import annotations

import contextvars
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor, wait
from queue import SimpleQueue
from typing import Any

from verticals.support.schemas import ChatEvent, DeltaEvent
from verticals.support.turn import State, Turn

MAX_TURNS = 64  # at a time in this process; others wait

# The first word passes through two threads to the socket, and Python lets a busy one go on for 5 ms before it yields.
FIRST_WORD_S = 0.001


class Unheard(Exception):
    """Nobody listens any more; raised in the step that wanted to say something, so that nothing is remembered of it."""


class GraphRunner:
    """Threads for graphs, used again."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(MAX_TURNS, "support-turn")

    def stream(self, graph: Any, turn: Turn, **options: Any) -> Generator[ChatEvent]:
        """Events of one turn; when they have ended, what the graph remembers is on disk.

        Closing the iterator stops the model, waits for the step that runs, and ends the graph with it.
        """
        events: SimpleQueue[ChatEvent | None] = SimpleQueue()

        def emit(event: ChatEvent) -> None:
            if turn.cancelled.is_set():
                raise Unheard
            events.put(event)
            if isinstance(event.root, DeltaEvent) and len(turn.said) == 1:
                turn.cancelled.wait(FIRST_WORD_S)

        def run() -> None:
            try:
                start: State = {"replied": {}}
                graph.invoke(start, context=turn, **options)
            except Unheard:
                pass
            finally:
                events.put(None)

        turn.emit = emit
        work = self._threads.submit(contextvars.copy_context().run, run)
        try:
            while (event := events.get()) is not None:
                yield event
            work.result()
        finally:
            turn.cancelled.set()
            wait([work])
