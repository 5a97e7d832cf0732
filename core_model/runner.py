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
from core_model.quantize import FEW_ROWS
from core_model.sampling import Sampler
from core_model.scheduler import Request, Work
from core_model.stats import CacheStats


class ModelRunner:
    """Implements `core_model.engine.Runner` over a decoder and its cache."""

    def __init__(self, decoder: Decoder, cache: PagedCache, constraints: ConstraintFactory | None = None) -> None:
        self._decoder, self._cache, self._constraints = decoder, cache, constraints

    @property
    def vocab_size(self) -> int:
        """Token ids are 0 to this, exclusive."""
        return self._decoder.config.vocab_size

    @property
    def capacity(self) -> int:
        """Tokens that the cache holds, of all requests together."""
        return self._cache.capacity

    @property
    def few_rows(self) -> int:
        """So many tokens in a pass come out as each alone would, but for rounding in other formats than int8."""
        return FEW_ROWS

    @property
    def adapters(self) -> frozenset[str]:
        """Adapters that a request may ask for: none yet."""
        return frozenset()

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

    def step(self, batch: Sequence[Work]) -> list[list[SampledToken] | Exception]:
        """Run the batch's tokens through the decoder and sample where a request's last token is among them."""
        drafts = [work.request.sampler.possible(work.draft) if work.draft else () for work in batch]
        token_ids: list[int] = []
        segments = []
        for work, draft in zip(batch, drafts, strict=True):
            request, start = work.request, work.request.num_computed
            assert request.slot is not None
            end = start + work.num_tokens
            token_ids += [*request.token_ids[start:end], *draft]
            segments.append(Segment(work.num_tokens, start, request.slot))
            segments += [Segment(1, end + i, request.slot) for i in range(len(draft))]  # as if sampled one by one
        hidden_TD = self._decoder(torch.tensor(token_ids, device=self._decoder.device), segments, self._cache)

        num_rows = [work.num_tokens + len(draft) for work, draft in zip(batch, drafts, strict=True)]
        hidden = torch.split(hidden_TD, num_rows)
        due = [h_ND[work.num_tokens - 1 :] for work, h_ND in zip(batch, hidden, strict=True) if work.samples]
        lengths = [len(h_ND) for h_ND in due]
        logits = iter(torch.split(self._decoder.logits(torch.cat(due)), lengths) if due else ())
        results: list[list[SampledToken] | Exception] = []
        for work, draft, hidden_ND in zip(batch, drafts, hidden, strict=True):
            results.append(_sample(work.request, draft, next(logits)) if work.samples else [])
            if work.request.speculation and isinstance(results[-1], list):
                num_right = max(len(results[-1]) - 1, 0)
                work.request.speculation.drafter.observe(
                    work.request.num_computed, hidden_ND[: work.num_tokens + num_right]
                )
        return results


@torch.inference_mode()
def _sample(request: Request, draft: Sequence[int], logits_NV: Tensor) -> list[SampledToken] | Exception:
    """One token after the request's last one, and after each token of `draft` for as long as that is what was sampled.

    What goes wrong behind a right guess is left for its own turn: the answer may have ended before it.
    """
    sampled: list[SampledToken] = []
    for logits_V, guess in zip(logits_NV, (*draft, None), strict=True):
        try:
            sampled.append(request.sampler.sample(logits_V))
        except Exception as error:  # noqa: BLE001 - belongs to this request alone
            return sampled or error
        if sampled[-1].ends or sampled[-1].token_id != guess:
            break
    return sampled
