"""The model side of an engine, as the engine sees it, and what a request must fit there. Ignores how it is done."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from core_model.adapter_names import AdapterRoom, LoadedAdapter
from core_model.generation import SampledToken, SamplingParams
from core_model.scheduler import CacheRoom, Work
from core_model.stats import CacheStats

if TYPE_CHECKING:
    from core_model.pooled import Pooler, Pooling


class Runner(CacheRoom, AdapterRoom, Protocol):
    """The model side of the engine; used from the engine's thread, but for `prepare`, `pooler`, figures, adapters."""

    @property
    def vocab_size(self) -> int: ...

    @property
    def capacity(self) -> int:
        """Tokens that the cache holds, of all requests together."""

    @property
    def few_rows(self) -> int:
        """Tokens that may be computed together as guesses: more could come out otherwise than one by one."""

    @property
    def tile(self) -> int:
        """A prompt that does not fit into a step is cut at a multiple of this."""

    def read_adapter(self, folder: Path) -> LoadedAdapter:
        """Read and check an adapter's folder, from any thread. ValueError: it is damaged, or does not fit the model."""

    def prepare(self, params: SamplingParams, *, prompt_ids: Sequence[int], end_ids: Collection[int]) -> Any:
        """The sampler of a new request. ValueError: an unusable grammar."""

    def step(self, batch: Sequence[Work]) -> list[list[SampledToken] | Exception]:
        """Run the model once. Per work: the sampled tokens, or what went wrong with this one.

        One token, and one more for each right guess in `Work.draft`; none inside a prompt.
        """

    def cache_stats(self) -> CacheStats: ...

    def expert_counts(self) -> Mapping[int, Sequence[int]]:
        """Tokens per expert since the start, by layer with experts."""

    def pooler(self, pooling: Pooling) -> Pooler:
        """What collects a prompt's hidden states, in a sampler's place."""


def check_prompt(
    prompt_ids: Sequence[int], runner: Runner, *, num_virtual: int, params: SamplingParams, max_context: int
) -> None:
    """ValueError: empty, longer than the context, tokens that the model does not have, more than the cache holds."""
    if not prompt_ids:
        raise ValueError("prompt_ids: must not be empty.")
    num_tokens = num_virtual + len(prompt_ids)
    if num_tokens >= max_context:
        raise ValueError(
            f"prompt_ids: the context holds {max_context} tokens, answer included "
            f"(got a prompt of {num_tokens}). Shorten the prompt."
        )
    if not 0 <= min(prompt_ids) <= max(prompt_ids) < runner.vocab_size:
        raise ValueError(f"prompt_ids: must be 0 to {runner.vocab_size - 1}. Use this model's tokenizer.")
    if min(num_tokens + params.max_tokens, max_context) > runner.capacity:
        raise ValueError(
            f"prompt_ids: the cache holds {runner.capacity} tokens (got a prompt of {num_tokens} and "
            f"max_tokens={params.max_tokens}). Shorten one of them."
        )
