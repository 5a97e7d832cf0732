"""Picks a token from logits, as `SamplingParams` describes it. Ignores text and stopping.

Shapes: V vocabulary, K candidates (most probable first), G distinct tokens of the answer so far.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from core_model.constrain import Constraint
from core_model.generation import SampledToken, SamplingParams, TokenLogprob

_NUCLEUS = 512  # most nuclei are smaller; sorting the whole vocabulary costs more than the model's head
_FORBIDDEN = float("-inf")


class Sampler:
    """The sampling state of one request: its random numbers, its tokens so far, its place in a grammar.

    Args:
        params: Checked values.
        prompt_ids: For the repetition penalty.
        end_ids: The model's end-of-text tokens; forbidden for `min_tokens`, as `stop_token_ids` are.
        constraint: The compiled grammar.
    """

    def __init__(
        self,
        params: SamplingParams,
        *,
        prompt_ids: Sequence[int] = (),
        end_ids: Collection[int] = (),
        constraint: Constraint | None = None,
    ) -> None:
        self._params, self._constraint = params, constraint
        self._prompt_ids = frozenset(prompt_ids) if params.repetition_penalty != 1 else frozenset()
        self._end_ids = sorted({*params.stop_token_ids, *(() if params.ignore_eos else end_ids)})
        self._answer: Counter[int] = Counter()
        self._generator = torch.Generator()
        if params.seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(params.seed)

    def sample(self, logits_V: Tensor) -> SampledToken:
        """Draw the next token from fp32 logits, which stay as they are; greedy takes the first of equals.

        Raises:
            RuntimeError: no token is possible: the model's numbers broke, or the grammar is stuck.
        """
        adjusted_V = self._forbid(self._penalize(logits_V))
        token = _best(adjusted_V) if self._params.temperature == 0 else self._draw(adjusted_V.cpu())
        if not float(adjusted_V[token]) > _FORBIDDEN:
            raise RuntimeError("sampling: no token is possible here.")
        self._answer[token] += 1
        ends = self._constraint.accept(token) if self._constraint else False
        return SampledToken(token, self._logprob(logits_V, token), ends)

    def possible(self, draft: Sequence[int]) -> Sequence[int]:
        """The beginning of `draft` that may come next: what the grammar forbids is not worth a guess."""
        return draft[: self._constraint.num_possible(draft)] if self._constraint else draft

    def _penalize(self, logits_V: Tensor) -> Tensor:
        """Bias and penalties; a new tensor if there are any."""
        params = self._params
        bias = dict(params.logit_bias)
        repeated = [*self._prompt_ids.union(self._answer)] if params.repetition_penalty != 1 else []
        counted = self._answer if params.presence_penalty or params.frequency_penalty else {}
        if not (bias or repeated or counted):
            return logits_V
        logits_V = logits_V.clone()
        if bias:
            logits_V[[*bias]] += logits_V.new_tensor([*bias.values()])
        if repeated:
            logits = logits_V[repeated]
            penalty = params.repetition_penalty
            logits_V[repeated] = torch.where(logits < 0, logits * penalty, logits / penalty)
        if counted:
            count_G = logits_V.new_tensor([*counted.values()])
            logits_V[[*counted]] -= params.presence_penalty + params.frequency_penalty * count_G
        return logits_V

    def _forbid(self, logits_V: Tensor) -> Tensor:
        """-inf for the tokens that must not come now."""
        if self._end_ids and self._answer.total() < self._params.min_tokens:
            ends = torch.tensor(self._end_ids, device=logits_V.device)
            logits_V = logits_V.index_fill(0, ends, _FORBIDDEN)
        return self._constraint.mask(logits_V) if self._constraint else logits_V

    def _draw(self, logits_V: Tensor) -> int:
        params, vocab_size = self._params, logits_V.shape[0]
        scaled_V = (logits_V - logits_V.max()) / params.temperature  # at most 0: no overflow
        if not (params.top_k or params.top_p < 1 or params.min_p):
            return self._pick(scaled_V.softmax(-1))

        k = min(params.top_k or vocab_size, vocab_size)
        best_K, token_K = scaled_V.topk(k if params.top_k else min(_NUCLEUS, k))
        total = best_K.logsumexp(-1) if params.top_k else scaled_V.logsumexp(-1)
        if not params.top_k and not self._is_kept_within(best_K, total):
            best_K, token_K = scaled_V.sort(descending=True)
        prob_K = (best_K - total).exp()
        dropped_K = prob_K < params.min_p * prob_K[0]
        if params.top_p < 1:
            dropped_K |= prob_K.cumsum(-1) - prob_K >= params.top_p  # the mass before a token: 0 for the best
        return int(token_K[self._pick(prob_K.masked_fill(dropped_K, 0.0))])

    def _is_kept_within(self, best_K: Tensor, total: Tensor) -> bool:
        """Whether `top_p` and `min_p` leave only tokens among the candidates; else the distribution is flat."""
        params, prob_K = self._params, (best_K - total).exp()
        if params.top_p < 1 and prob_K.sum() >= params.top_p:
            return True
        return bool(prob_K[-1] < params.min_p * prob_K[0])

    def _pick(self, prob: Tensor) -> int:
        return int(torch.multinomial(prob, 1, generator=self._generator))

    def _logprob(self, logits_V: Tensor, token: int) -> TokenLogprob | None:
        if self._params.logprobs is None:
            return None
        logprob_V = logits_V.log_softmax(-1)
        top = logprob_V.topk(min(self._params.logprobs, logits_V.shape[0]))
        likeliest = tuple(zip(top.indices.tolist(), top.values.tolist(), strict=True))
        return TokenLogprob(token, float(logprob_V[token]), likeliest)


def _best(logits_V: Tensor) -> int:
    """The first of the highest; on a CPU by numpy, which takes a quarter of torch's time."""
    return int((logits_V.numpy() if logits_V.device.type == "cpu" else logits_V).argmax())
