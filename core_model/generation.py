"""What goes into an engine and what comes out: sampling values, chunks of tokens, errors. Ignores how it is done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

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

    def check(self) -> None:
        """Check every range.

        Raises:
            ValueError: names field, value, rule.
        """
        rules = (
            ("max_tokens", self.max_tokens >= 1, "must be at least 1"),
            ("temperature", 0.0 <= self.temperature <= 2.0, "must be 0 (greedy) to 2"),
            ("top_k", self.top_k >= 0, "must be 0 (all tokens) or more"),
            ("top_p", 0.0 < self.top_p <= 1.0, "must be above 0 and at most 1"),
            ("seed", self.seed is None or 0 <= self.seed < 2**63, "must be 0 to 2**63 - 1, or left out"),
        )
        for name, holds, rule in rules:
            if not holds:
                raise ValueError(f"{name}: {rule} (got {getattr(self, name)!r}).")
        if not all(self.stop):
            raise ValueError("stop: strings must not be empty. Leave out the empty one.")


@dataclass(frozen=True)
class TokenChunk:
    """New tokens of one request; `text` is their text without stop strings; the last has `finish_reason`."""

    token_ids: tuple[int, ...]
    text: str
    finish_reason: FinishReason | None = None


class TextEngine(Protocol):
    """One interface; local, remote and fake engines."""

    @property
    def model_version(self) -> str: ...

    def stream(self, prompt_ids: Sequence[int], params: SamplingParams) -> Iterator[TokenChunk]:
        """Generate after `prompt_ids`. Closing the iterator cancels the request. Safe from many threads.

        Raises:
            ValueError: empty prompt, prompt longer than the context, or sampling values out of range.
        """


class EngineBusy(RuntimeError):
    """The waiting queue is full; try again later."""


class EngineStopped(RuntimeError):
    """The engine is not running."""


class GenerationFailed(RuntimeError):
    """This request failed inside the model; others go on. The cause is attached."""


@dataclass(frozen=True)
class RequestOptions:
    """For whom a request runs, which never changes what it says but for `adapter`.

    Attributes:
        tenant: Tenants of equal priority take turns by the tokens that they were served.
        priority: Higher goes first; any integer.
        adapter: One that the engine has loaded; None for the model as it is.
        cache_salt: Requests with different salts share no cached prefix, so that none can time another's prompts.
    """

    tenant: str = ""
    priority: int = 0
    adapter: str | None = None
    cache_salt: str = ""
