"""Pre-training without labels: slices of one history are alike, of two histories not (CoLES, arXiv:2002.08232).

Ignores defaults: any history will do. Shapes: C customers of a batch, S slices of each, B = C * S, D width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from verticals.finance.histories.encoder import EventEncoder, Histories, cut


@dataclass(frozen=True)
class Contrast:
    """How to pre-train; slice lengths in events, the margin on the unit sphere."""

    steps: int = 300
    customers: int = 48
    slices: int = 4
    shortest: int = 12
    longest: int = 48
    margin: float = 0.5
    negatives: int = 5  # nearest slices of others, for each slice
    learning_rate: float = 2e-3
    seed: int = 0


def pretrain(
    encoder: EventEncoder,
    histories: Histories,
    contrast: Contrast,
    *,
    progress: Callable[[float], None] = lambda share: None,
) -> float:
    """Train in place; the mean loss of the last tenth of the steps.

    Raises:
        ValueError: fewer than two customers with `shortest` events.
    """
    [able] = np.nonzero(histories.counts >= contrast.shortest)
    if len(able) < 2:
        raise ValueError(f"histories: two with {contrast.shortest} events are needed (got {len(able)}).")
    rng = np.random.default_rng(contrast.seed)
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=contrast.learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, contrast.learning_rate, total_steps=contrast.steps, pct_start=0.1
    )
    losses = []
    encoder.train()
    for step in range(contrast.steps):
        chosen = rng.choice(able, min(contrast.customers, len(able)), replace=False)
        start, stop = slices(histories, np.repeat(chosen, contrast.slices), contrast, rng)
        vectors_BD = functional.normalize(encoder(cut(histories, start, stop)), dim=-1)
        owner_B = torch.arange(len(chosen)).repeat_interleave(contrast.slices)
        loss = contrastive_loss(vectors_BD, owner_B, margin=contrast.margin, negatives=contrast.negatives)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
        progress((step + 1) / contrast.steps)
    return float(np.mean(losses[-max(1, contrast.steps // 10) :]))


def slices(
    histories: Histories, rows: NDArray[np.int64], contrast: Contrast, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(start, stop) of a random run of events of each of these customers (CoLES, 3.2)."""
    counts = histories.counts[rows]
    length = rng.integers(contrast.shortest, np.minimum(contrast.longest, counts) + 1)
    start = histories.first[rows] + rng.integers(0, counts - length + 1)
    return start, start + length


def contrastive_loss(vectors_BD: Tensor, owner_B: Tensor, *, margin: float, negatives: int) -> Tensor:
    """Squared distance of slices of one owner, and what `negatives` nearest others lack to `margin` (Hadsell 2006).

    Args:
        vectors_BD: Unit vectors.
        owner_B: Whose each is; each owner has at least two.
    """
    squared_BB = (2 - 2 * vectors_BD @ vectors_BD.T).clamp_min(1e-8)
    same_BB = owner_B[:, None] == owner_B
    alike = squared_BB[same_BB & ~torch.eye(len(owner_B), dtype=torch.bool)].mean()
    others_BB = squared_BB.sqrt().masked_fill(same_BB, torch.inf)
    nearest = others_BB.topk(min(negatives, int((~same_BB).sum(1).min())), largest=False).values
    return alike + (margin - nearest).clamp_min(0).square().mean()
