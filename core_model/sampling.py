"""Picks a token from logits: greedy, or temperature with top-k and top-p (arXiv:1904.09751). Ignores text and stopping.

Shapes: V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor

from core_model.constrain import Constraint
from core_model.generation import SamplingParams

_NUCLEUS = (
    512  # most nuclei are smaller; sorting the whole vocabulary for each token would cost more than the model's head
)


class Sampler:
    """The sampling state of one request: its random numbers and its place in a JSON schema."""

    def __init__(self, params: SamplingParams, *, constraint: Constraint | None = None) -> None:
        self._params, self._constraint = params, constraint
        self._generator = torch.Generator()
        if params.seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(params.seed)

    def sample(self, logits_V: Tensor) -> int:
        """Pick the next token from fp32 logits; greedy takes the first of equals."""
        if self._constraint:
            logits_V = self._constraint.mask(logits_V)
        token = int(logits_V.argmax()) if self._params.temperature == 0 else self._draw(logits_V.cpu())
        if self._constraint:
            self._constraint.accept(token)
        return token

    def _draw(self, logits_V: Tensor) -> int:
        params, vocab_size = self._params, logits_V.shape[0]
        k = min(params.top_k or vocab_size, vocab_size)
        size = k if params.top_k else min(_NUCLEUS, k) if params.top_p < 1 else k
        if size == vocab_size and params.top_p == 1:
            probs_V = (logits_V / params.temperature).softmax(-1)
            return int(torch.multinomial(probs_V, 1, generator=self._generator))

        best, tokens = (logits_V / params.temperature).topk(size)
        probs = (best - self._log_total(logits_V, best, k)).exp()
        if params.top_p < 1:
            if size < k and probs.sum() < params.top_p:  # a flat distribution: the nucleus is larger than we looked
                best, tokens = (logits_V / params.temperature).sort(descending=True)
                probs = best.softmax(-1)
            outside = probs.cumsum(-1) - probs >= params.top_p  # the mass before a token, so the first always stays
            probs = probs.masked_fill(outside, 0.0)
        return int(tokens[torch.multinomial(probs, 1, generator=self._generator)])

    def _log_total(self, logits_V: Tensor, best: Tensor, k: int) -> Tensor:
        """log of the sum that turns `best` into probabilities: over the top k, or over all."""
        return best.logsumexp(-1) if k < logits_V.shape[0] else (logits_V / self._params.temperature).logsumexp(-1)
