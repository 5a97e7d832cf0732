"""Trains the members of a score: each on its own rows and bins, stopped early by rows that they have not seen.

One thread and a few seconds for a thousand rows. Ignores tables, teachers and how members are averaged.
Shapes: N rows, F fields, T tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from numpy.typing import NDArray
from torch import Tensor, nn

from verticals.finance.moe.bins import BinnedField, Field, fit_bins, token_index, token_offsets
from verticals.finance.moe.network import ScoreNetwork, Size, rows
from verticals.finance.moe.prior import Prior, fit_prior

_CHECK_EVERY = 10  # steps between looks at the held-out rows


@dataclass(frozen=True)
class Recipe:
    """How members are trained. One recipe for all samples: how far effects may go is found from the rows.

    Attributes:
        num_bins: Of a numeric field; members take turns.
        rare_share: Nominal categories with a smaller share of the rows are grouped.
        ridge: Where the search begins for what pulls the effects of numeric and ordered fields to zero; in rows,
            roughly times four: with as many rows, an effect is half of what the rows alone say.
        nominal_ridge: The same for nominal fields, whose bins have no neighbours to learn from.
        smooth: Where it begins for what pulls three effects in a row to one line.
        prior_effects: How many effects like those of all fields together count as seen for each (`prior.fit_prior`).
        field_dropout: Chance that a step does without a field, so that fields do not lean on each other.
    """

    num_bins: tuple[int, ...] = (12, 16, 20)
    rare_share: float = 0.02
    ridge: float = 4.0
    nominal_ridge: float = 8.0
    smooth: float = 50.0
    prior_effects: float = 2.0
    field_dropout: float = 0.0
    num_steps: int = 150
    learning_rate: float = 0.02
    weight_decay: float = 0.01
    size: Size = field(default_factory=Size)

    def start(self, fields: Sequence[Field]) -> Prior:
        """The prior before any row is seen."""
        has_order = np.array([f.kind != "nominal" for f in fields])
        return Prior(np.where(has_order, self.ridge, self.nominal_ridge), np.where(has_order, self.smooth, 0.0))


@dataclass(frozen=True)
class Members:
    """A trained network of M members. Member m has not seen `held_out[m]`; `held_out_logit` is its answer there.

    Attributes:
        held_out_logit: (N,), each row by the member that has not seen it. The experts, which members share, have seen
            all rows; they are too small and too common to tell one.
    """

    binned: tuple[tuple[BinnedField, ...], ...]
    network: ScoreNetwork
    held_out_logit: NDArray[np.float64]

    def logit(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """Mean ln(odds bad:good) of all members from the network itself, not calibrated, (N,)."""
        with torch.no_grad():
            tables, intercept_M = self.network.tables(), self.network.intercept_M
            found = [i + rows_of(b, frame) @ t for b, t, i in zip(self.binned, tables, intercept_M, strict=True)]
        return torch.stack(found).double().mean(0).numpy()


def fit_members(
    frame: pd.DataFrame,
    target: NDArray[np.float64],
    *,
    default: NDArray[np.int_],
    folds: Sequence[NDArray[np.intp]],
    fields: Sequence[Field],
    recipe: Recipe,
    seed: int,
) -> Members:
    """Train a member for each fold on the rows outside it, and stop where the held-out rows fit best.

    Args:
        frame: (N, F), the columns of `fields`.
        target: What to learn, (N,), 0-1: outcomes, or a mixture of outcomes and a teacher's probabilities.
        default: Outcomes, (N,): what early stopping judges by.
        folds: Row numbers; together all rows, none twice.
        fields: What the columns are.
        recipe: How to train.
        seed: Of embeddings and dropout.
    """
    seen = [np.setdiff1d(np.arange(len(frame)), fold) for fold in folds]
    binned = tuple(
        tuple(fit_bins(f, frame[f.name].iloc[rows], num_bins=num_bins, rare_share=recipe.rare_share) for f in fields)
        for rows, num_bins in zip(seen, cycle(recipe.num_bins), strict=False)
    )
    row_NT = [rows_of(b, frame) for b in binned]
    count_T = torch.cat([r[rows].sum(0) for r, rows in zip(row_NT, seen, strict=True)])
    parts = [
        _Part(r[rows], torch.from_numpy(target[rows]).float(), r[fold], torch.from_numpy(default[fold]).float())
        for r, rows, fold in zip(row_NT, seen, folds, strict=True)
    ]
    prior = fit_prior(binned[-1], frame, target, start=recipe.start(fields), num_prior_effects=recipe.prior_effects)
    with one_thread(seed):
        network = ScoreNetwork(binned, recipe.size, count_T=count_T, base_rate=float(default.mean()))
        nn.init.zeros_(network.effects.head.weight)  # effects start at zero: what rows do not ask for never comes
        _train(network, parts, prior=prior, recipe=recipe)
    held_out_logit = np.empty(len(frame))
    with torch.no_grad():
        for fold, logit_N in zip(folds, _held_out(network, parts), strict=True):
            held_out_logit[fold] = logit_N.double().numpy()
    return Members(binned, network, held_out_logit)


@dataclass(frozen=True)
class _Part:
    """A member's rows and targets, and its held-out rows and outcomes."""

    row_NT: Tensor
    target_N: Tensor
    held_out_NT: Tensor
    default_N: Tensor


def _train(network: ScoreNetwork, parts: Sequence[_Part], *, prior: Prior, recipe: Recipe) -> None:
    # Fused: one pass over all parameters. With so few numbers a step costs what its calls cost.
    optimizer = torch.optim.AdamW(
        network.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, recipe.num_steps)
    num_fields = len(parts) * len(prior.ridge_F)
    precisions = precisions_of(prior, len(parts))
    effects, best, best_state = network.effects, float("inf"), network.state_dict()
    for step in range(1, recipe.num_steps + 1):
        effect_T = effects()
        kept_F = (torch.rand(num_fields) >= recipe.field_dropout).float()
        loss = effects.penalty(effect_T, **precisions) / len(parts[0].target_N)
        tables = network.tables(effect_T * kept_F[effects.field_T])
        for part, table_T, intercept in zip(parts, tables, network.intercept_M, strict=True):
            logit_N = intercept + part.row_NT @ table_T
            loss = loss + F.binary_cross_entropy_with_logits(logit_N, part.target_N)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if step % _CHECK_EVERY == 0:
            with torch.no_grad():
                logits = _held_out(network, parts)
            unseen = sum(
                float(F.binary_cross_entropy_with_logits(logit_N, part.default_N, reduction="sum"))
                for logit_N, part in zip(logits, parts, strict=True)
            )
            if unseen < best:
                best, best_state = unseen, {k: v.clone() for k, v in network.state_dict().items()}
    network.load_state_dict(best_state)


def precisions_of(prior: Prior, num_members: int) -> dict[str, Tensor]:
    """The arguments of `TokenEffects.penalty`, for as many members."""
    ridge_F, smooth_F = (torch.from_numpy(p).float().repeat(num_members) for p in (prior.ridge_F, prior.smooth_F))
    return {"ridge_F": ridge_F, "smooth_F": smooth_F}


def _held_out(network: ScoreNetwork, parts: Sequence[_Part]) -> list[Tensor]:
    found = zip(parts, network.tables(), network.intercept_M, strict=True)
    return [intercept + part.held_out_NT @ table_T for part, table_T, intercept in found]


def rows_of(binned: Sequence[BinnedField], frame: pd.DataFrame) -> Tensor:
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
