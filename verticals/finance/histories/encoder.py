"""A history as one vector: a small causal transformer over events, with time and amount. Ignores how it is trained.

Its layers are `core_model`'s: attention with rotary positions over the order of events, and SwiGLU.
Shapes: B histories, N events of the longest, E events of all, D width, P periods of the time encoding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from core_model.config import parse_config
from core_model.train.language_model import Layer, Strategy
from verticals.finance.histories.vocabulary import Category, Channel, Kind

DAY_S = 86_400
PERIODS_D = (1.0, 7.0, 14.0, 30.0, 90.0, 360.0)  # of the time encoding, in days
NUMBERS = ("amount", "no_amount", "used", "no_limit", "gap")
_WORDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("kind", tuple(map(str, Kind))),
    ("category", tuple(map(str, Category))),
    ("channel", tuple(map(str, Channel))),
)


@dataclass(frozen=True)
class EncoderConfig:
    """Sizes. `max_events`: the newest ones of a longer history are read."""

    dim: int = 64
    num_layers: int = 2
    num_heads: int = 4
    max_events: int = 160


@dataclass(frozen=True)
class Histories:
    """Events of many customers, one after another: those of customer i are `first[i]` to `first[i + 1]`.

    Attributes:
        customers: Ids, in order; some may have no event.
        words_E3: Index of kind, category, channel; 0: missing.
        steps_E2: Index of the kinds (before, now) and (two before, now) as one number; 0: no event before.
        numbers_E5: `NUMBERS`: logarithm of the amount, scaled; 1 without an amount; share of the limit; 1 without a
            limit; logarithm of the days since the event before.
        day_E: Time in days.
    """

    customers: tuple[str, ...]
    first: NDArray[np.int64]
    words_E3: Tensor
    steps_E2: Tensor
    numbers_E5: Tensor
    day_E: NDArray[np.float64]

    @property
    def counts(self) -> NDArray[np.int64]:
        """Events of each customer."""
        return np.diff(self.first)


@dataclass(frozen=True)
class Batch:
    """Padded at the end; `days_BN` counts back from each history's last event."""

    words_BN3: Tensor
    steps_BN2: Tensor
    numbers_BN5: Tensor
    days_BN: Tensor
    mask_BN: Tensor


def read_histories(events: pd.DataFrame, customers: Sequence[str]) -> Histories:
    """Numbers of a table of events (`events.event_table`), for these customers in their order."""
    order = {customer: i for i, customer in enumerate(customers)}
    rows = events[events["customer"].isin(order)]
    owner = rows["customer"].map(order).to_numpy(np.int64)
    at_s = rows["at_s"].to_numpy(np.int64)
    sorting = np.lexsort((rows["event_id"].to_numpy(str), at_s, owner))
    rows, owner, at_s = rows.iloc[sorting], owner[sorting], at_s[sorting]
    words = [rows[name].map({word: i for i, word in enumerate(known, start=1)}).fillna(0) for name, known in _WORDS]
    words_E3 = np.stack(words, axis=1).astype(np.int64)
    cents, balance, limit = (
        rows[name].to_numpy(float, na_value=np.nan) for name in ("amount_cents", "balance_cents", "limit_cents")
    )
    used = np.clip(balance / np.where(limit > 0, limit, np.nan), -2, 2)
    gap_s = np.diff(at_s, prepend=at_s[:1])
    gap_s[np.diff(owner, prepend=-1) != 0] = 0
    numbers = [
        np.nan_to_num((np.log1p(cents / 100) - 5) / 2),
        np.isnan(cents).astype(float),
        np.nan_to_num(used),
        np.isnan(used).astype(float),
        np.log1p(gap_s / DAY_S),
    ]
    first = np.concatenate([[0], np.bincount(owner, minlength=len(customers)).cumsum()])
    return Histories(
        tuple(customers),
        first,
        torch.from_numpy(words_E3),
        torch.from_numpy(_steps(words_E3[:, 0], owner)),
        torch.from_numpy(np.stack(numbers, axis=1).astype(np.float32)),
        at_s / DAY_S,
    )


def _steps(kind_E: NDArray[np.integer], owner_E: NDArray[np.integer]) -> NDArray[np.int64]:
    """Which kind follows which, one and two events apart: what attention alone is slow to learn from few defaults."""
    found = np.zeros((len(kind_E), 2), np.int64)
    for i, apart in enumerate((1, 2)):
        same = owner_E[apart:] == owner_E[:-apart]
        found[apart:, i] = np.where(same, (kind_E[:-apart] - 1) * len(Kind) + kind_E[apart:], 0)
    return found


def cut(histories: Histories, start: NDArray[np.int64], stop: NDArray[np.int64]) -> Batch:
    """Events `start` to `stop` (places among all E), a history each; each has at least one."""
    place_BN = start[:, None] + np.arange((stop - start).max())
    mask_BN = place_BN < stop[:, None]
    place_BN = np.minimum(place_BN, stop[:, None] - 1)
    days_BN = histories.day_E[stop - 1][:, None] - histories.day_E[place_BN]
    place = torch.from_numpy(place_BN)
    return Batch(
        histories.words_E3[place],
        histories.steps_E2[place],
        histories.numbers_E5[place],
        torch.from_numpy(days_BN.astype(np.float32)),
        torch.from_numpy(mask_BN),
    )


class EventEncoder(nn.Module):
    """Events to a vector of `config.dim`; the mean over events of what each says after looking back."""

    def __init__(self, config: EncoderConfig, *, seed: int) -> None:
        super().__init__()
        self.config = config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.words = nn.ModuleList(nn.Embedding(len(known) + 1, config.dim) for _, known in _WORDS)
            self.steps = nn.ModuleList(nn.Embedding(len(Kind) ** 2 + 1, config.dim) for _ in range(2))
            self.numbers = nn.Linear(len(NUMBERS) + 2 * len(PERIODS_D) + 1, config.dim)
            core = parse_config(_core_config(config))
            self.layers = nn.ModuleList(Layer(core, Strategy(), i) for i in range(config.num_layers))
            self.norm = nn.RMSNorm(config.dim)
            self.out = nn.Linear(config.dim, config.dim)

    def forward(self, batch: Batch) -> Tensor:
        """(B, D)."""
        time_BNP = _encode_time(batch.days_BN)
        x_BND = self.numbers(torch.cat((batch.numbers_BN5, time_BNP), -1))
        for i, table in enumerate(self.words):
            x_BND = x_BND + table(batch.words_BN3[..., i])
        for i, table in enumerate(self.steps):
            x_BND = x_BND + table(batch.steps_BN2[..., i])
        for layer in self.layers:
            x_BND = layer(x_BND, [])
        # Attention looks back only, so the padding behind an event changes nothing of it.
        seen_BN1 = batch.mask_BN.unsqueeze(-1)
        mean_BD = (self.norm(x_BND) * seen_BN1).sum(1) / seen_BN1.sum(1)
        out_BD: Tensor = self.out(mean_BD)
        return out_BD

    def batch_of(self, histories: Histories, rows: NDArray[np.int64]) -> Batch:
        """The newest events of some customers; each has at least one."""
        stop = histories.first[rows + 1]
        return cut(histories, np.maximum(histories.first[rows], stop - self.config.max_events), stop)

    @torch.inference_mode()
    def embed(self, histories: Histories, *, batch_size: int = 128) -> NDArray[np.float32]:
        """Vectors of all customers, (customers, D); NaN for one without events."""
        self.eval()
        found = np.full((len(histories.customers), self.config.dim), np.nan, np.float32)
        [rows] = np.nonzero(histories.counts)
        rows = rows[np.argsort(histories.counts[rows], kind="stable")]  # alike lengths together: less padding
        for first in range(0, len(rows), batch_size):
            part = rows[first : first + batch_size]
            found[part] = self(self.batch_of(histories, part)).numpy()
        return found

    def describe(self) -> dict[str, Any]:
        """What `EncoderConfig` and the vocabulary were, JSON-able."""
        return asdict(self.config) | {"words": {name: list(known) for name, known in _WORDS}}


def _encode_time(days_BN: Tensor) -> Tensor:
    """Sine and cosine of each period, and the logarithm of the age, (B, N, 2 P + 1)."""
    turns_BNP = days_BN.unsqueeze(-1) * (2 * torch.pi / torch.tensor(PERIODS_D))
    return torch.cat((turns_BNP.sin(), turns_BNP.cos(), days_BN.log1p().unsqueeze(-1) / 3), -1)


def _core_config(config: EncoderConfig) -> dict[str, Any]:
    """A llama config.json with these sizes."""
    return {
        "model_type": "llama",
        "vocab_size": 1,
        "hidden_size": config.dim,
        "intermediate_size": 2 * config.dim,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_heads,
        "max_position_embeddings": config.max_events,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10_000.0,
        "tie_word_embeddings": True,
    }
