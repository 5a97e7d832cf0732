"""The model side of an engine, as the engine sees it, and what a request must fit there. Ignores how it is done."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from core_model.generation import RequestOptions, SampledToken, SamplingParams
from core_model.scheduler import CacheRoom, Work
from core_model.stats import CacheStats

if TYPE_CHECKING:
    from core_model.pooled import Pooler, Pooling


class Runner(CacheRoom, Protocol):
    """The model side of the engine; used from the engine's thread, but for `prepare`, `pooler` and the figures."""

    @property
    def vocab_size(self) -> int: ...

    @property
    def capacity(self) -> int:
        """Tokens that the cache holds, of all requests together."""

    @property
    def adapters(self) -> frozenset[str]:
        """Adapters that a request may ask for."""

    def prepare(self, params: SamplingParams, *, prompt_ids: Sequence[int], end_ids: Collection[int]) -> Any:
        """The sampler of a new request. ValueError: an unusable grammar."""

    def step(self, batch: Sequence[Work]) -> list[SampledToken | Exception | None]:
        """Run the model once. Per work: the sampled token, None inside a prompt, or what went wrong with this one."""

    def cache_stats(self) -> CacheStats: ...

    def expert_counts(self) -> Mapping[int, Sequence[int]]:
        """Tokens per expert since the start, by layer with experts."""

    def pooler(self, pooling: Pooling) -> Pooler:
        """What collects a prompt's hidden states, in a sampler's place."""


def check_prompt(prompt_ids: Sequence[int], runner: Runner, *, max_tokens: int, max_context: int) -> None:
    """ValueError: empty, longer than the context, tokens that the model does not have, more than the cache holds."""
    if not prompt_ids:
        raise ValueError("prompt_ids: must not be empty.")
    if len(prompt_ids) >= max_context:
        raise ValueError(
            f"prompt_ids: the context holds {max_context} tokens, answer included "
            f"(got a prompt of {len(prompt_ids)}). Shorten the prompt."
        )
    if not 0 <= min(prompt_ids) <= max(prompt_ids) < runner.vocab_size:
        raise ValueError(f"prompt_ids: must be 0 to {runner.vocab_size - 1}. Use this model's tokenizer.")
    if min(len(prompt_ids) + max_tokens, max_context) > runner.capacity:
        raise ValueError(
            f"prompt_ids: the cache holds {runner.capacity} tokens (got a prompt of {len(prompt_ids)} and "
            f"max_tokens={max_tokens}). Shorten one of them."
        )


def check_adapter(options: RequestOptions, runner: Runner) -> None:
    """ValueError: an adapter that is not loaded."""
    if options.adapter is not None and options.adapter not in runner.adapters:
        loaded = ", ".join(sorted(runner.adapters)) or "none"
        raise ValueError(f"adapter: not loaded (got {options.adapter!r}; loaded: {loaded}).")
