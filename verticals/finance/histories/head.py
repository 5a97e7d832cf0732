"""The sequence term: what a history adds to the log odds of default, never more than a bound. Ignores other terms.

Everything else that is known of the applicant comes as an `offset` on the log odds, so the term learns only what that
does not say. Shapes: C customers, D width.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from verticals.finance.histories.encoder import EventEncoder, Histories

Array = NDArray[np.float64]


@dataclass(frozen=True)
class SequenceHead:
    """bound * tanh((weight . vector + bias) / bound): linear near 0, bounded, 0 without a vector.

    Attributes:
        bound: Log odds; exp(1.5) is 4.5 times the odds.
    """

    weight_D: NDArray[np.float32]
    bias: float
    bound: float

    def logits(self, vectors_CD: NDArray[np.float32]) -> Array:
        """The term of each customer, (C,), within -bound to bound; a row with NaN, no history, has 0."""
        linear = vectors_CD.astype(np.float64) @ self.weight_D.astype(np.float64) + self.bias
        return np.nan_to_num(self.bound * np.tanh(linear / self.bound))

    def logit(self, vector_D: NDArray[np.float32]) -> float:
        """The term of one customer."""
        return float(self.logits(vector_D[None])[0])

    def to_json(self) -> bytes:
        """Exact: shortest decimals that read back as the same numbers."""
        content = {"weight": [float(w) for w in self.weight_D], "bias": self.bias, "bound": self.bound}
        return (json.dumps(content, indent=1) + "\n").encode()

    @classmethod
    def from_json(cls, content: bytes) -> SequenceHead:
        """The inverse of `to_json`."""
        found: Mapping[str, Any] = json.loads(content)
        return cls(np.array(found["weight"], np.float32), float(found["bias"]), float(found["bound"]))


@dataclass(frozen=True)
class Tuning:
    """How the encoder is tuned with its head; `l2` is also that of a head alone."""

    epochs: int = 6
    batch_size: int = 64
    learning_rate: float = 1e-3
    bound: float = 2.0
    l2: float = 1e-2
    seed: int = 0


def fit_head(
    vectors_CD: NDArray[np.float32], default: NDArray[np.int_], offset: Array, *, tuning: Tuning
) -> SequenceHead:
    """The head alone, on fixed vectors, by L-BFGS in fp64; rows without a history are left out.

    The scaling of the vectors is folded into the weights, so `l2` means the same for every encoder.
    """
    seen = ~np.isnan(vectors_CD).any(1)
    x_CD = torch.from_numpy(vectors_CD[seen]).double()
    mean_D, std_D = x_CD.mean(0), x_CD.std(0).clamp_min(1e-6)
    x_CD = (x_CD - mean_D) / std_D
    target_C, offset_C = torch.from_numpy(default[seen]).double(), torch.from_numpy(offset[seen]).double()
    weight_D = torch.zeros(x_CD.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight_D, bias], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        logit_C = offset_C + _bounded(x_CD @ weight_D + bias, tuning.bound)
        value = functional.binary_cross_entropy_with_logits(logit_C, target_C)
        value = value + tuning.l2 / 2 * weight_D.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    scaled_D = (weight_D.detach() / std_D).float()
    bias_now = float(bias.detach() - scaled_D.double() @ mean_D)
    return SequenceHead(scaled_D.numpy(), bias_now, tuning.bound)


def tune(
    encoder: EventEncoder,
    histories: Histories,
    default: NDArray[np.int_],
    offset: Array,
    *,
    tuning: Tuning,
    progress: Callable[[float], None] = lambda share: None,
) -> SequenceHead:
    """Train the encoder in place together with a head; gives the head. Customers without events are left out."""
    [rows] = np.nonzero(histories.counts)
    rng = np.random.default_rng(tuning.seed)
    target, known = torch.from_numpy(default).float(), torch.from_numpy(offset).float()
    out = nn.Linear(encoder.config.dim, 1)
    nn.init.zeros_(out.weight)
    nn.init.zeros_(out.bias)
    parameters = [*encoder.parameters(), *out.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=tuning.learning_rate, weight_decay=tuning.l2)
    steps = tuning.epochs * -(-len(rows) // tuning.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, tuning.learning_rate, total_steps=steps, pct_start=0.1)
    encoder.train()
    done = 0
    for _ in range(tuning.epochs):
        for part in _batches(histories.counts[rows], tuning.batch_size, rng):
            chosen = rows[part]
            term_B = _bounded(out(encoder(encoder.batch_of(histories, chosen))).squeeze(-1), tuning.bound)
            loss = functional.binary_cross_entropy_with_logits(known[chosen] + term_B, target[chosen])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            schedule.step()
            done += 1
            progress(done / steps)
    return SequenceHead(out.weight.detach().numpy()[0].copy(), float(out.bias.detach()), tuning.bound)


def _bounded(linear: Tensor, bound: float) -> Tensor:
    return bound * torch.tanh(linear / bound)


def _batches(counts: NDArray[np.int64], size: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """All rows once, in batches of alike lengths (little padding), the batches in random order."""
    order = np.argsort(counts + rng.uniform(0, 20, len(counts)))
    parts = np.split(order, range(size, len(order), size))
    return [parts[i] for i in rng.permutation(len(parts))]
