"""A score with a behaviour sequence: the table of binned fields plus one bounded sequence term, trained jointly.

The encoder is recurrent (GRU, arXiv:1406.1078), with the core's mixture of experts on what it has read. Its part of the
logit stays within +-bound and is a reason group of its own. Ignores where steps come from.
Shapes: N rows, L steps of a sequence, C channels of a step, D dim, T tokens of the table, S sources.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from numpy.typing import NDArray
from torch import Tensor, nn

from core_model.train.language_model import MoE, Strategy
from verticals.finance.moe.bins import BinnedField, Field, fit_bins
from verticals.finance.moe.fit import Recipe, one_thread, precisions_of, rows_of
from verticals.finance.moe.network import ScoreNetwork, Size, SourceTerm
from verticals.finance.moe.prior import Prior

NAME = "sequence"


@dataclass(frozen=True)
class SequenceRecipe:
    """How table and sequence are trained together, in shuffled batches."""

    table: Recipe = field(default_factory=Recipe)
    size: Size = field(default_factory=lambda: Size(dim=32, expert_dim=32))
    bound: float = 3.0
    num_epochs: int = 15
    batch_size: int = 256
    learning_rate: float = 4e-3
    weight_decay: float = 0.05
    dropout: float = 0.2


class SequenceEncoder(nn.Module):
    """Steps (N, L, C), oldest first, to a number (N,): recurrence, then last, mean and largest state."""

    def __init__(self, num_channels: int, size: Size, dropout: float) -> None:
        super().__init__()
        self.embed_steps = nn.Linear(num_channels, size.dim)
        self.recurrence = nn.GRU(size.dim, size.dim, batch_first=True)
        self.pool = nn.Linear(3 * size.dim, size.dim)
        self.mlp = MoE(size.config(1), Strategy())
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(size.dim, 1))
        for name, parameter in self.mlp.named_parameters():
            if parameter.ndim == 2:
                nn.init.normal_(parameter, std=0.02 if name.endswith("gate.weight") else parameter.shape[1] ** -0.5)

    def forward(self, step_NLC: Tensor) -> Tensor:
        """A number for each row, (N,)."""
        state_NLD, _ = self.recurrence(F.gelu(self.embed_steps(step_NLC)))
        pooled_ND = self.pool(torch.cat([state_NLD[:, -1], state_NLD.mean(1), state_NLD.amax(1)], dim=-1))
        y_1ND, _ = self.mlp(pooled_ND.unsqueeze(0))
        y_N: Tensor = self.head(F.gelu(pooled_ND) + y_1ND[0]).squeeze(-1)
        return y_N


@dataclass(frozen=True)
class SequenceMember:
    """A trained network with its bins."""

    binned: tuple[BinnedField, ...]
    network: ScoreNetwork

    def parts(self, frame: pd.DataFrame, step_NLC: NDArray[np.float32]) -> tuple[Tensor, Tensor]:
        """ln(odds bad:good) of the table and of the sequence term, (N,) each; their sum is the logit."""
        self.network.eval()
        steps, present_NS = torch.from_numpy(step_NLC), torch.ones(len(step_NLC), 1)
        with torch.no_grad():
            term_N = self.network.sources[NAME](steps, present_NS, 0)
            return self.network(rows_of(self.binned, frame)), term_N


def fit_with_sequence(
    frame: pd.DataFrame,
    step_NLC: NDArray[np.float32],
    default: NDArray[np.int_],
    *,
    fields: Sequence[Field],
    recipe: SequenceRecipe,
    seed: int,
) -> SequenceMember:
    """Train table and sequence term on all rows.

    Args:
        frame: (N, F), the columns of `fields`.
        step_NLC: Steps of every row, oldest first; channels within a few units of zero. They are not standardised here:
            that makes rare flags large, and on six months of statements cost .01 of AUC.
        default: (N,), 1 = bad.
    """
    binned = tuple(
        fit_bins(f, frame[f.name], num_bins=recipe.table.num_bins[0], rare_share=recipe.table.rare_share)
        for f in fields
    )
    row_NT = rows_of(binned, frame)
    with one_thread(seed):
        encoder = SequenceEncoder(step_NLC.shape[2], recipe.size, recipe.dropout)
        network = ScoreNetwork(
            [binned],
            recipe.table.size,
            count_T=row_NT.sum(0),
            base_rate=float(default.mean()),
            sources={NAME: SourceTerm(encoder, num_sources=1, bound=recipe.bound)},
        )
        steps_and_outcomes = torch.from_numpy(step_NLC), torch.from_numpy(default).float()
        _train(network, row_NT, *steps_and_outcomes, prior=recipe.table.start(fields), recipe=recipe)
    return SequenceMember(binned, network)


def _train(
    network: ScoreNetwork,
    row_NT: Tensor,
    step_NLC: Tensor,
    default_N: Tensor,
    *,
    prior: Prior,
    recipe: SequenceRecipe,
) -> None:
    precisions = precisions_of(prior, num_members=1)
    optimizer = torch.optim.AdamW(
        network.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
    )
    num_batches = len(default_N) // recipe.batch_size
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, total_steps=recipe.num_epochs * num_batches
    )
    network.train()
    for _ in range(recipe.num_epochs):
        order_N = torch.randperm(len(default_N))[: num_batches * recipe.batch_size]
        for batch in torch.split(order_N, recipe.batch_size):
            present_NS = torch.ones(len(batch), 1)
            effect_T = network.effects()
            inputs = {NAME: step_NLC[batch]}
            logit_N = network(row_NT[batch], table_T=effect_T, inputs=inputs, present_NS=present_NS)
            penalty = network.effects.penalty(effect_T, **precisions)
            loss = F.binary_cross_entropy_with_logits(logit_N, default_N[batch]) + penalty / len(default_N)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    network.eval()
