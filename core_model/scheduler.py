"""Which requests run in the next step, and with how many tokens. Ignores tensors, threads and text.

First come, first served. Running answers go first, one token each; prompts fill what is left of a step, cut if need be
 (Sarathi-Serve, arXiv:2403.02310), so that a long prompt does not stop the others.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core_model.detokenize import TextStream
    from core_model.generation import SamplingParams, TokenChunk


@dataclass(eq=False)
class Request:
    """One generation on its way. `token_ids` is the prompt and what was generated so far."""

    token_ids: list[int]
    params: SamplingParams
    sampler: Any
    text: TextStream
    output: SimpleQueue[TokenChunk | Exception] = field(default_factory=SimpleQueue)
    slot: int | None = None
    num_computed: int = 0  # tokens whose keys and values are in the cache
    cancelled: bool = False
    num_prompt: int = field(init=False)

    def __post_init__(self) -> None:
        self.num_prompt = len(self.token_ids)


@dataclass(frozen=True)
class Work:
    """The next `num_tokens` tokens of a request."""

    request: Request
    num_tokens: int

    @property
    def samples(self) -> bool:
        """Whether these tokens reach the end, so that a new one is sampled."""
        return self.request.num_computed + self.num_tokens == len(self.request.token_ids)


class Scheduler:
    """A bounded waiting queue and at most `max_batch` running requests."""

    def __init__(self, *, max_batch: int, max_waiting: int, step_tokens: int) -> None:
        if step_tokens < max_batch:
            raise ValueError(f"step_tokens: must be at least max_batch={max_batch} (got {step_tokens}).")
        self.max_batch, self.max_waiting, self.step_tokens = max_batch, max_waiting, step_tokens
        self.waiting: deque[Request] = deque()
        self.running: list[Request] = []

    def add(self, request: Request) -> bool:
        """Queue a request; False if the queue is full."""
        if len(self.waiting) >= self.max_waiting:
            return False
        self.waiting.append(request)
        return True

    def has_work(self) -> bool:
        """Whether anything waits or runs."""
        return bool(self.waiting or self.running)

    def take_cancelled(self) -> list[Request]:
        """The cancelled requests, waiting or running; `remove` them."""
        return [request for request in (*self.waiting, *self.running) if request.cancelled]

    def admit(self) -> list[Request]:
        """Move waiting requests to running while there is room; those moved."""
        admitted = []
        while self.waiting and len(self.running) < self.max_batch:
            request = self.waiting.popleft()
            self.running.append(request)
            admitted.append(request)
        return admitted

    def remove(self, request: Request) -> None:
        """Forget a finished request."""
        if request in self.running:
            self.running.remove(request)
        elif request in self.waiting:
            self.waiting.remove(request)

    def schedule(self) -> list[Work]:
        """The next step: at most `step_tokens` tokens in all."""
        left = self.step_tokens
        batch = []
        for request in sorted(self.running, key=_num_pending):  # stable: one-token answers first, then by arrival
            num_tokens = min(_num_pending(request), left)
            if num_tokens:
                batch.append(Work(request, num_tokens))
                left -= num_tokens
        return batch


def _num_pending(request: Request) -> int:
    return len(request.token_ids) - request.num_computed
