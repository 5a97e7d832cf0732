"""Before and after: size, perplexity, drift and speed of a compressed checkpoint. Ignores how it was compressed.

Shapes: T tokens of a window, V vocabulary.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from core_model.evaluate import token_logits
from core_model.model import Decoder


@dataclass(frozen=True)
class Judgement:
    """One model on one text.

    Args:
        num_bytes: Of all tensors as stored.
        share_zero: Of all parameters, 0-1.
        mean_kl: KL(reference || this) per token in nats; 0 for the reference itself.
        top1_agreement: How often both prefer the same token, 0-1.
        tokens_per_s: Prompt tokens through the decoder, median over windows.
    """

    num_parameters: int
    num_bytes: int
    share_zero: float
    perplexity: float
    mean_kl: float
    top1_agreement: float
    tokens_per_s: float


class Judge:
    """Holds the reference's answers, so that each compressed model costs one pass.

    Raises:
        ValueError: fewer tokens than one window.
    """

    def __init__(self, reference: Decoder, token_ids: Sequence[int], *, window: int = 256) -> None:
        if len(token_ids) < window or window < 2:
            raise ValueError(f"token_ids: must be at least one window of {window} (got {len(token_ids)}).")
        starts = range(0, len(token_ids) - window + 1, window)
        self._windows = [list(token_ids[first : first + window]) for first in starts]
        self._answers = [token_logits(reference, ids).log_softmax(-1) for ids in self._windows]

    def __call__(self, decoder: Decoder, tensors: Mapping[str, Tensor]) -> Judgement:
        """Judge a decoder; `tensors` are its checkpoint, for the sizes."""
        losses, divergences, agreements, seconds = [], [], [], []
        for ids, p_TV in zip(self._windows, self._answers, strict=True):
            start = time.perf_counter()
            q_TV = token_logits(decoder, ids).log_softmax(-1)
            seconds.append(time.perf_counter() - start)
            losses.append(F.nll_loss(q_TV[:-1], torch.tensor(ids[1:], device=q_TV.device)))
            divergences.append(F.kl_div(q_TV, p_TV, log_target=True, reduction="batchmean"))
            agreements.append((q_TV.argmax(-1) == p_TV.argmax(-1)).float().mean())
        sizes = [(w.numel(), w.nbytes, int((w == 0).sum())) for w in tensors.values()]
        num_parameters, num_bytes, num_zero = (sum(column) for column in zip(*sizes, strict=True))
        return Judgement(
            num_parameters=num_parameters,
            num_bytes=num_bytes,
            share_zero=num_zero / num_parameters,
            perplexity=float(torch.stack(losses).mean().exp()),
            mean_kl=max(0.0, float(torch.stack(divergences).mean())),
            top1_agreement=float(torch.stack(agreements).mean()),
            tokens_per_s=len(self._windows[0]) / median(seconds),
        )
