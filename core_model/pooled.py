"""Prompts that are read and not answered: one vector each, a few at once. Ignores tensors and what vectors mean.

A pooled prompt is a request like any other, whose answer ends at its first token: it is scheduled, cut, cached and
paused as others are. Shapes: N prompts, D model dim.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from core_model.generation import EngineBusy, SampledToken, SamplingParams

if TYPE_CHECKING:
    from core_model.request_stream import RequestStream

FloatArray = NDArray[np.float32]
Pooling = Literal["mean", "last"]
"""Which of a prompt's last hidden states are its vector: the mean of all, or that of the last token, which has read
all others. "mean" computes every token anew; "last" uses what is cached of the prompt's beginning."""

END = SampledToken(0)  # what a pooler "samples"
READING = SamplingParams(max_tokens=1, stop_token_ids=(END.token_id,))


class Pooler(Protocol):
    """Collects one prompt's hidden states, in the place of a sampler."""

    @property
    def needs_all(self) -> bool:
        """Whether it needs every token's hidden state, so that no cached prefix will do."""

    def sample(self, logits_V: object) -> SampledToken:
        """`END`: there is no answer."""

    def vector(self) -> FloatArray:
        """The pooled states, (D,)."""


def check_pooling(pooling: str) -> None:
    """ValueError: not a `Pooling`."""
    if pooling not in get_args(Pooling):
        raise ValueError(f"pooling: must be one of {', '.join(get_args(Pooling))} (got {pooling!r}). Use one of these.")


def embed_all(
    start: Callable[[Sequence[int]], tuple[RequestStream, Pooler]],
    prompts: Sequence[Sequence[int]],
    *,
    at_once: int,
    normalize: bool,
) -> FloatArray:
    """Run all prompts, (N, D); with `at_once` of them in the queue, a long list keeps nobody else out.

    Raises:
        What `start` and the streams raise; the other prompts are cancelled then.
    """
    if not prompts:
        raise ValueError("prompts: must not be empty. Give at least one.")
    waiting = deque(prompts)
    running: deque[tuple[RequestStream, Pooler]] = deque()
    rows: list[FloatArray] = []
    with ExitStack() as leaving:
        while waiting or running:
            if waiting and len(running) < at_once:
                try:
                    running.append(start(waiting[0]))
                except EngineBusy:
                    if not running:
                        raise
                else:
                    waiting.popleft()
                    leaving.enter_context(closing(running[-1][0]))
                    continue
            stream, pooler = running.popleft()
            for _ in stream:
                pass
            rows.append(pooler.vector())
    table_ND = np.stack(rows)
    return normalized(table_ND) if normalize else table_ND


def normalized(table_ND: FloatArray) -> FloatArray:
    """Rows of length 1; a row of zeros stays one."""
    length_N1 = np.linalg.norm(table_ND, axis=1, keepdims=True)
    return (table_ND / np.where(length_N1 > 0, length_N1, 1)).astype(np.float32)
