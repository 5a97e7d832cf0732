"""How good a decoder is on given tokens, and how far a quantized one drifts. Ignores text, data sets and thresholds.

Shapes: T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from core_model.model import Decoder, Segment


@dataclass(frozen=True)
class Drift:
    """KL(reference || quantized) per token, in nats, and how often both prefer the same token, 0-1."""

    mean_kl: float
    max_kl: float
    top1_agreement: float
    num_tokens: int


def token_logits(decoder: Decoder, token_ids: Sequence[int]) -> Tensor:
    """Logits (T, V) fp32 after each token, without a cache."""
    ids_T = torch.tensor(list(token_ids), device=decoder.device)
    return decoder.logits(decoder(ids_T, [Segment(len(ids_T))]))


def token_nll(decoder: Decoder, token_ids: Sequence[int], *, window: int = 512) -> Tensor:
    """Negative log likelihood of each token after its window's first, in nats, (T - number of windows,).

    Raises:
        ValueError: fewer than two tokens.
    """
    if len(token_ids) < 2:
        raise ValueError(f"token_ids: at least 2 are needed (got {len(token_ids)}).")
    parts = []
    for first in range(0, len(token_ids) - 1, window):
        ids = list(token_ids[first : first + window])
        if len(ids) > 1:
            target = torch.tensor(ids[1:], device=decoder.device)
            parts.append(F.cross_entropy(token_logits(decoder, ids)[:-1], target, reduction="none"))
    return torch.cat(parts)


def perplexity(decoder: Decoder, token_ids: Sequence[int], *, window: int = 512) -> float:
    """exp of the mean of `token_nll`; lower is better."""
    return float(token_nll(decoder, token_ids, window=window).mean().exp())


def token_kl(expected_TV: Tensor, found_TV: Tensor) -> Tensor:
    """KL(expected || found) of each token's log-probabilities, nats, (T,)."""
    return F.kl_div(found_TV, expected_TV, log_target=True, reduction="none").sum(-1)


def logits_kl(reference: Decoder, quantized: Decoder, token_ids: Sequence[int]) -> Drift:
    """How far `quantized` predicts differently from `reference` after each of `token_ids`."""
    p, q = token_logits(reference, token_ids), token_logits(quantized, token_ids)
    kl_T = token_kl(p.log_softmax(-1), q.log_softmax(-1))
    agreement = (p.argmax(-1) == q.argmax(-1)).float().mean()
    return Drift(float(kl_T.mean()), float(kl_T.max()), float(agreement), len(token_ids))
