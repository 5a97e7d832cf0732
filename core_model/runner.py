"""Runs the decoder for the engine: one forward pass for all scheduled tokens, then one sample per request that is due.

Ignores queues, threads and text.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import torch
from torch import Tensor

from core_model.adapter_bank import AdapterBank
from core_model.adapters import Adapter
from core_model.constrain import ConstraintFactory
from core_model.generation import SampledToken, SamplingParams
from core_model.kv_cache import PagedCache
from core_model.model import Decoder, Segment
from core_model.pages import root_hash
from core_model.sampling import Sampler
from core_model.scheduler import Request, Work
from core_model.stats import CacheStats


class ModelRunner:
    """Implements `core_model.engine.Runner` over a decoder and its cache."""

    def __init__(
        self,
        decoder: Decoder,
        cache: PagedCache,
        constraints: ConstraintFactory | None = None,
        *,
        adapters: AdapterBank | None = None,
    ) -> None:
        self._decoder, self._cache, self._constraints = decoder, cache, constraints
        self._adapters = adapters or AdapterBank(decoder)

    @property
    def vocab_size(self) -> int:
        """Token ids are 0 to this, exclusive."""
        return self._decoder.config.vocab_size

    @property
    def capacity(self) -> int:
        """Tokens that the cache holds, of all requests together."""
        return self._cache.capacity

    def read_adapter(self, folder: Path) -> Adapter:
        """An adapter that fits the model; not usable until it is added. From any thread."""
        return self._adapters.read(folder)

    def add_adapter(self, adapter: Adapter) -> None:
        """Make an adapter usable."""
        self._adapters.add(adapter)

    def remove_adapter(self, adapter_id: str) -> None:
        """Let go of an adapter that no request uses."""
        self._adapters.remove(adapter_id)

    def cache_stats(self) -> CacheStats:
        """How full the cache is."""
        return self._cache.stats()

    def prepare(self, params: SamplingParams, *, prompt_ids: Sequence[int], end_ids: Collection[int]) -> Sampler:
        """A sampler; compiles the grammar, if there is one."""
        if params.grammar is None:
            return Sampler(params, prompt_ids=prompt_ids, end_ids=end_ids)
        if self._constraints is None:
            raise ValueError("grammar: this engine was made without a constraint compiler. Leave grammar out.")
        return Sampler(params, prompt_ids=prompt_ids, constraint=self._constraints.compile(params.grammar))

    def begin(self, request: Request) -> bool:
        """Give the request pages for all its tokens; those that hold its beginning already are shared."""
        root = root_hash(*request.cache_root)
        begun = self._cache.begin(request.token_ids, root=root, num_expected=request.max_length)
        if begun is None:
            return False
        request.slot, request.num_computed = begun
        return True

    def reserve(self, request: Request, num_tokens: int) -> bool:
        """Make room for the next `num_tokens` tokens; what is computed may be shared from here on."""
        assert request.slot is not None
        self._cache.publish(request.slot, request.token_ids[: request.num_computed])
        return self._cache.reserve(request.slot, request.num_computed + num_tokens)

    def end(self, request: Request) -> None:
        """Take the pages back; what they hold stays usable for a later prompt."""
        assert request.slot is not None
        self._cache.end(request.slot, request.token_ids[: request.num_computed])
        request.slot = None

    def step(self, batch: Sequence[Work]) -> list[SampledToken | Exception | None]:
        """Run the batch's tokens through the decoder and sample where a request's last token is among them."""
        token_ids: list[int] = []
        segments, last = [], []
        for work in batch:
            request, start = work.request, work.request.num_computed
            assert request.slot is not None
            adapter_id = request.adapter.id if request.adapter else None
            segments.append(Segment(work.num_tokens, start, request.slot, adapter_id))
            token_ids += request.token_ids[start : start + work.num_tokens]
            last.append(len(token_ids) - 1)
        hidden_TD = self._decoder(torch.tensor(token_ids, device=self._decoder.device), segments, self._cache)
        due = [at for work, at in zip(batch, last, strict=True) if work.samples]
        logits = iter(self._decoder.logits(hidden_TD[due])) if due else iter(())
        return [_sample(work.request, next(logits)) if work.samples else None for work in batch]


@torch.inference_mode()
def _sample(request: Request, logits_V: Tensor) -> SampledToken | Exception:
    try:
        sampled: SampledToken = request.sampler.sample(logits_V)
    except Exception as error:  # noqa: BLE001 - belongs to this request alone
        return error
    return sampled
