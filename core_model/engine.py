"""Engine: token ids in, token ids out. Knows no chat template, no HTTP, no domain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from core_model.tokenizer import Tokenizer

FinishReason = Literal["stop", "length", "cancelled"]


@dataclass(frozen=True)
class SamplingParams:
    """How to pick tokens. `temperature` 0 is greedy; `json_schema` constrains the output to that schema."""

    max_tokens: int = 256
    temperature: float = 0.0
    top_k: int = 0  # 0: all
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int | None = None
    json_schema: str | None = None


@dataclass(frozen=True)
class TokenChunk:
    """New tokens of one request; `text` is their decoded text with stop strings removed; the last has a `finish_reason`."""

    token_ids: tuple[int, ...]
    text: str
    finish_reason: FinishReason | None = None


class EngineBusy(RuntimeError):
    """The waiting queue is full; try again later."""


class TextEngine(Protocol):
    """One interface; local, remote and fake engines."""

    @property
    def model_version(self) -> str: ...

    def stream(self, prompt_ids: Sequence[int], params: SamplingParams) -> Iterator[TokenChunk]:
        """Generate after `prompt_ids`. Closing the iterator cancels the request. Safe from many threads.

        Raises:
            ValueError: empty prompt, prompt longer than the context, or sampling values out of range.
        """


@dataclass(frozen=True)
class EngineStats:
    """A snapshot for metrics; totals count since the engine was made."""

    running: int
    waiting: int
    max_batch: int
    requests_total: int
    failed_total: int
    prompt_tokens_total: int
    generated_tokens_total: int
    cached_prompt_tokens_total: int  # prompt tokens whose keys and values were reused


class Engine:
    """The local engine: continuous batching on one background thread.

    `start()` begins the thread; `close()` ends it and every running request. Also a context manager.
    """

    model_version: str
    max_context: int  # tokens of prompt and answer together

    def start(self) -> Engine:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    def stream(self, prompt_ids: Sequence[int], params: SamplingParams) -> Iterator[TokenChunk]:
        raise NotImplementedError

    def stats(self) -> EngineStats:
        raise NotImplementedError
