"""Runs the decoder for the engine: one forward pass for all scheduled tokens, then one sample per request that is due.

Ignores queues, threads and text.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from core_model.constrain import ConstraintFactory
from core_model.generation import SampledToken, SamplingParams
from core_model.kv_cache import SlotCache
from core_model.model import Decoder, Segment
from core_model.sampling import Sampler
from core_model.scheduler import Request, Work


class ModelRunner:
    """Implements `core_model.engine.Runner` over a decoder and its cache."""

    def __init__(self, decoder: Decoder, cache: SlotCache, constraints: ConstraintFactory | None = None) -> None:
        self._decoder, self._cache, self._constraints = decoder, cache, constraints

    @property
    def vocab_size(self) -> int:
        """Token ids are 0 to this, exclusive."""
        return self._decoder.config.vocab_size

    def prepare(self, params: SamplingParams, *, prompt_ids: Sequence[int], end_ids: Collection[int]) -> Sampler:
        """A sampler; compiles the grammar, if there is one."""
        if params.grammar is None:
            return Sampler(params, prompt_ids=prompt_ids, end_ids=end_ids)
        if self._constraints is None:
            raise ValueError("grammar: this engine was made without a constraint compiler. Leave grammar out.")
        return Sampler(params, prompt_ids=prompt_ids, constraint=self._constraints.compile(params.grammar))

    def begin(self, request: Request) -> None:
        """Give the request a slot, the one that holds most of its prompt already."""
        request.slot, request.num_computed = self._cache.allocate(request.token_ids)

    def end(self, request: Request) -> None:
        """Take the slot back; what it holds stays usable for a later prompt."""
        assert request.slot is not None
        self._cache.free(request.slot, request.token_ids[: request.num_computed])

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
