"""Runs the decoder for the engine: one forward pass for all scheduled tokens, then one sample per request that is due.

Ignores queues, threads and text.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from core_model.constrain import ConstraintFactory
from core_model.generation import SampledToken, SamplingParams
from core_model.kv_cache import PagedCache
from core_model.model import Decoder, Segment
from core_model.pages import root_hash
from core_model.pooled import Pooling
from core_model.pooler import HiddenPooler
from core_model.sampling import Sampler
from core_model.scheduler import Request, Work
from core_model.stats import CacheStats


class ModelRunner:
    """Implements `core_model.runs_model.Runner` over a decoder and its cache."""

    def __init__(self, decoder: Decoder, cache: PagedCache, constraints: ConstraintFactory | None = None) -> None:
        self._decoder, self._cache, self._constraints = decoder, cache, constraints
        self.balanced_at: dict[int, list[int]] = {}  # expert counts when biases were last changed; rebalance.py's note

    @property
    def decoder(self) -> Decoder:
        """The model; change it between steps only."""
        return self._decoder

    @property
    def vocab_size(self) -> int:
        """Token ids are 0 to this, exclusive."""
        return self._decoder.config.vocab_size

    @property
    def capacity(self) -> int:
        """Tokens that the cache holds, of all requests together."""
        return self._cache.capacity

    @property
    def adapters(self) -> frozenset[str]:
        """Adapters that a request may ask for: none yet."""
        return frozenset()

    def cache_stats(self) -> CacheStats:
        """How full the cache is."""
        return self._cache.stats()

    def expert_counts(self) -> dict[int, list[int]]:
        """Tokens per expert since the start, by layer with experts."""
        return self._decoder.expert_counts()

    def pooler(self, pooling: Pooling) -> HiddenPooler:
        """What collects a prompt's hidden states, in a sampler's place."""
        return HiddenPooler(pooling)

    def prepare(self, params: SamplingParams, *, prompt_ids: Sequence[int], end_ids: Collection[int]) -> Sampler:
        """A sampler; compiles the grammar, if there is one."""
        if params.grammar is None:
            return Sampler(params, prompt_ids=prompt_ids, end_ids=end_ids)
        if self._constraints is None:
            raise ValueError("grammar: this engine was made without a constraint compiler. Leave grammar out.")
        return Sampler(params, prompt_ids=prompt_ids, constraint=self._constraints.compile(params.grammar))

    def begin(self, request: Request) -> bool:
        """Give the request pages for all its tokens; those that hold its beginning already are shared."""
        root = b"" if request.is_private else root_hash(*request.cache_root)
        begun = self._cache.begin(request.token_ids, root=root, num_expected=request.max_length)
        if begun is None:
            return False
        request.slot, request.num_computed = begun
        return True

    def reserve(self, request: Request, num_tokens: int) -> bool:
        """Make room for the next `num_tokens` tokens; what is computed may be shared from here on."""
        assert request.slot is not None
        self._cache.publish(request.slot, _shared(request))
        return self._cache.reserve(request.slot, request.num_computed + num_tokens)

    def end(self, request: Request) -> None:
        """Take the pages back; what they hold stays usable for a later prompt."""
        assert request.slot is not None
        self._cache.end(request.slot, _shared(request))
        request.slot = None

    def step(self, batch: Sequence[Work]) -> list[SampledToken | Exception | None]:
        """Run the batch's tokens through the decoder and sample where a request's last token is among them."""
        token_ids: list[int] = []
        segments, last = [], []
        for work in batch:
            request, start = work.request, work.request.num_computed
            assert request.slot is not None
            segments.append(Segment(work.num_tokens, start, request.slot))
            token_ids += request.token_ids[start : start + work.num_tokens]
            last.append(len(token_ids) - 1)
        hidden_TD = self._decoder(torch.tensor(token_ids, device=self._decoder.device), segments, self._cache)
        hidden = torch.split(hidden_TD, [segment.num_tokens for segment in segments])
        for work, hidden_ND in zip(batch, hidden, strict=True):
            if isinstance(work.request.sampler, HiddenPooler):
                work.request.sampler.add(hidden_ND, start=work.request.num_computed)
        due = [at for work, at in zip(batch, last, strict=True) if work.samples]
        logits = iter(self._decoder.logits(hidden_TD[due])) if due else iter(())
        return [_sample(work.request, next(logits)) if work.samples else None for work in batch]


def _shared(request: Request) -> list[int]:
    """The tokens whose entries others may use."""
    return [] if request.is_private else request.token_ids[: request.num_computed]


@torch.inference_mode()
def _sample(request: Request, logits_V: Tensor) -> SampledToken | Exception:
    try:
        sampled: SampledToken = request.sampler.sample(logits_V)
    except Exception as error:  # noqa: BLE001 - belongs to this request alone
        return error
    return sampled
