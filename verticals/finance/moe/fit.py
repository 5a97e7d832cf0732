"""Trains the members of a score: each on its own rows and bins, stopped early on rows that it has not seen.

One thread and a few seconds for a thousand rows. Ignores tables, teachers and how members are averaged.
Shapes: N rows, F fields, T tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from numpy.typing import NDArray

from verticals.finance.moe.bins import BinnedField, Field, fit_bins, token_index, token_offsets
from verticals.finance.moe.network import ScoreNetwork, Size, rows

_CHECK_EVERY = 10  # steps between looks at the held-out rows


@dataclass(frozen=True)
class Recipe:
    """How members are trained. The defaults are for about a thousand rows and any fields.

    Attributes:
        num_bins: Of a numeric field; members take turns.
        rare_share: Nominal categories with a smaller share of the rows are grouped.
        ridge: Pulls every effect to zero, in rows: the effect of a bin with as many rows is halved or so.
        smooth: Pulls neighbouring effects together, likewise.
        field_dropout: Chance that a step does without a field, so that fields do not lean on each other.
    """

    num_bins: tuple[int, ...] = (12, 16, 20)
    rare_share: float = 0.02
    ridge: float = 4.0
    smooth: float = 30.0
    field_dropout: float = 0.2
    num_steps: int = 120
    learning_rate: float = 0.04
    weight_decay: float = 0.01
    size: Size = field(default_factory=Size)


@dataclass(frozen=True)
class Member:
    """A trained network. `held_out` are the rows that it has not seen, `held_out_logit` its answer to them."""

    binned: tuple[BinnedField, ...]
    network: ScoreNetwork
    held_out: NDArray[np.intp]
    held_out_logit: NDArray[np.float64]

    def logit(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """ln(odds bad:good) from the network itself, (N,)."""
        with torch.no_grad():
            return self.network(rows_of(self.binned, frame)).double().numpy()


def fit_member(
    frame: pd.DataFrame,
    target: NDArray[np.float64],
    *,
    default: NDArray[np.int_],
    held_out: NDArray[np.intp],
    fields: Sequence[Field],
    recipe: Recipe,
    num_bins: int,
    seed: int,
) -> Member:
    """Train one network on all rows but `held_out`, and keep it as it was when these fitted best.

    Args:
        frame: (N, F), the columns of `fields`.
        target: What to learn, (N,), 0-1: outcomes, or a mixture of outcomes and a teacher's probabilities.
        default: Outcomes, (N,): what early stopping judges by.
        held_out: Row numbers.
    """
    seen = np.setdiff1d(np.arange(len(frame)), held_out)
    binned = tuple(
        fit_bins(f, frame[f.name].iloc[seen], num_bins=num_bins, rare_share=recipe.rare_share) for f in fields
    )
    row_NT = rows_of(binned, frame)
    with one_thread(seed):
        network = ScoreNetwork(binned, recipe.size, count_T=row_NT[seen].sum(0), base_rate=float(default[seen].mean()))
        target_N, default_N = torch.from_numpy(target).float(), torch.from_numpy(default).float()
        _train(network, row_NT, target_N, default_N, seen=seen, held_out=held_out, recipe=recipe)
        with torch.no_grad():
            logit = network(row_NT[held_out]).double().numpy()
    return Member(binned, network, held_out, logit)


def _train(
    network: ScoreNetwork,
    row_NT: torch.Tensor,
    target_N: torch.Tensor,
    default_N: torch.Tensor,
    *,
    seen: NDArray[np.intp],
    held_out: NDArray[np.intp],
    recipe: Recipe,
) -> None:
    # Fused: one pass over all parameters. With so few numbers a step costs what its calls cost.
    optimizer = torch.optim.AdamW(
        network.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, recipe.num_steps)
    train_NT, train_N, test_NT, test_N = row_NT[seen], target_N[seen], row_NT[held_out], default_N[held_out]
    best, best_state = float("inf"), network.state_dict()
    for step in range(1, recipe.num_steps + 1):
        effect_T = network.effects()
        kept_F = (torch.rand(network.effects.embed_fields.num_embeddings) >= recipe.field_dropout).float()
        logit_N = network(train_NT, effect_T=effect_T * kept_F[network.effects.field_T])
        loss = F.binary_cross_entropy_with_logits(logit_N, train_N)
        prior = network.effects.penalty(effect_T, ridge=recipe.ridge, smooth=recipe.smooth)
        optimizer.zero_grad()
        (loss + prior / len(train_N)).backward()
        optimizer.step()
        schedule.step()
        if step % _CHECK_EVERY == 0:
            with torch.no_grad():
                unseen = float(F.binary_cross_entropy_with_logits(network(test_NT), test_N))
            if unseen < best:
                best, best_state = unseen, {k: v.clone() for k, v in network.state_dict().items()}
    network.load_state_dict(best_state)


def rows_of(binned: Sequence[BinnedField], frame: pd.DataFrame) -> torch.Tensor:
    """The tokens of a table's rows as zeros and ones, (N, T)."""
    return rows(torch.from_numpy(token_index(binned, frame)), int(token_offsets(binned)[-1]))


@contextmanager
def one_thread(seed: int) -> Iterator[None]:
    """Such small products gain nothing from more, and one thread gives the same bytes every time."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(num_threads)
