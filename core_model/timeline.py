"""When a request was queued, began, gave its first token and ended, told to whoever watches. Ignores what it said."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context, copy_context
from dataclasses import dataclass, field


@dataclass
class Timeline:
    """One request's times, in nanoseconds since 1970; 0 for what never came.

    Attributes:
        context: Of who asked: `observe` is called in it, so it may tell whose request this was.
        observe: Called once, at the end, on the engine's thread: it must be quick. What goes wrong there is dropped.
    """

    observe: Callable[[Timeline], None] | None = None
    model_version: str = ""  # of the engine
    context: Context = field(default_factory=copy_context)
    queued_ns: int = field(default_factory=time.time_ns)
    started_ns: int = 0
    first_token_ns: int = 0
    ended_ns: int = 0
    num_prompt: int = 0
    num_cached: int = 0  # of these, tokens whose keys and values were there already
    num_generated: int = 0

    def start(self, *, num_prompt: int, num_cached: int) -> None:
        """It has room and will be computed from the next step on."""
        self.started_ns, self.num_prompt, self.num_cached = time.time_ns(), num_prompt, num_cached

    def count_token(self) -> None:
        """One more token of the answer."""
        self.first_token_ns = self.first_token_ns or time.time_ns()
        self.num_generated += 1

    def end(self) -> None:
        """Finished, failed or cancelled."""
        self.ended_ns = time.time_ns()
        if self.observe is not None:
            with suppress(Exception):
                self.context.run(self.observe, self)


Observe = Callable[[Timeline], None]
