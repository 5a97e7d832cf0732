"""Trains a low-rank delta of the encoder's upper layers together with a head's weights. Ignores what the labels mean.

The lower layers never change, so each text passes them once and its states are kept in memory: about 400 bytes a token
and layer width of 384 in half precision. Shapes: as in `encoder`; B texts of a batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from verticals.support.understanding.encoder import (
    ADAPTED,
    Delta,
    DeltaEncoder,
    TextReader,
    Vectors,
    pad,
    unit_means,
)

Progress = Callable[[float], None]  # share done, 0-1
WARM_UP_STEPS = 30
AVERAGING = 4  # polynomial-decay averaging (Shamir 2013, arXiv:1212.1824): step t counts about as t ** 3


@dataclass(frozen=True)
class Recipe:
    """How a delta is trained.

    Attributes:
        feature_dropout: Share of a vector's entries that a step leaves out.
    """

    epochs: int
    learning_rate: float
    batch_size: int = 32
    first_layer: int = 3
    rank: int = 16
    feature_dropout: float = 0.1
    seed: int = 0


class Objective(Protocol):
    """A head in training: its parameters, and the loss of a batch of unit vectors."""

    def parameters(self) -> list[Tensor]: ...

    def loss(self, vectors_BD: Tensor, rows: NDArray[np.int64]) -> Tensor:
        """Mean loss of the examples `rows`."""


@dataclass(frozen=True)
class ReadTexts:
    """Texts as the encoder reads them.

    Attributes:
        states: (T, D) of each before the first changed layer, fp16.
        plain_ND: Unit vectors by the encoder as it is, fp32.
    """

    texts: Sequence[str]
    states: Sequence[Tensor]
    plain_ND: Vectors

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> ReadTexts:
        """These rows alone."""
        return ReadTexts([self.texts[i] for i in rows], [self.states[i] for i in rows], self.plain_ND[rows])

    def __add__(self, other: ReadTexts) -> ReadTexts:
        """These, then the others."""
        plain_ND = np.concatenate([self.plain_ND, other.plain_ND])
        return ReadTexts([*self.texts, *other.texts], [*self.states, *other.states], plain_ND)


class UpperLayers:
    """The changed part of the encoder over kept states of the lower layers."""

    def __init__(self, reader: TextReader, first_layer: int) -> None:
        self.reader, self.first_layer = reader, first_layer
        self._plain = reader.encoder()

    def read(self, texts: Sequence[str]) -> ReadTexts:
        """The texts' states and plain vectors, for `vectors` and `tune`."""
        states = self.lower_states(texts)
        return ReadTexts(texts, states, self.vectors(states, None).numpy())

    def lower_states(self, texts: Sequence[str], *, batch_size: int = 64) -> list[Tensor]:
        """States (T, D) of each text before the first changed layer, fp16."""
        ids = self.reader.tokenize(texts)
        states: list[Tensor] = [torch.empty(0)] * len(ids)
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        with torch.no_grad():
            for start in range(0, len(order), batch_size):
                rows = order[start : start + batch_size]
                ids_BT, mask_BT = pad([ids[i] for i in rows])
                x_BTD = self._plain.run_layers(self._plain.embed(ids_BT), mask_BT, range(self.first_layer))
                for i, x_TD in zip(rows, x_BTD, strict=True):
                    states[i] = x_TD[: len(ids[i])].half()
        return states

    def vectors(self, states: Sequence[Tensor], delta: Delta | None, *, batch_size: int = 64) -> Tensor:
        """Unit vectors (N, D) of texts by their lower states, under `delta` or plain."""
        encoder = self.reader.encoder([delta] if delta else [])
        vectors_ND = torch.zeros(len(states), self.reader.config["hidden_size"])
        order = sorted(range(len(states)), key=lambda i: len(states[i]))
        with torch.no_grad():
            for start in range(0, len(order), batch_size):
                rows = order[start : start + batch_size]
                vectors_ND[rows] = self.run(encoder, [states[i] for i in rows])
        return vectors_ND

    def run(self, encoder: DeltaEncoder, states: Sequence[Tensor]) -> Tensor:
        """Unit vectors (B, D) of one batch."""
        lengths_B = torch.tensor([len(x_TD) for x_TD in states])
        x_BTD = pad_sequence(list(states), batch_first=True).float()
        mask_BT = torch.arange(x_BTD.shape[1]) < lengths_B[:, None]
        x_BTD = encoder.run_layers(x_BTD, mask_BT, range(self.first_layer, encoder.num_layers))
        return unit_means(x_BTD, mask_BT)


def new_delta(reader: TextReader, recipe: Recipe, generator: torch.Generator) -> Delta:
    """A delta that changes nothing yet: random down, zero up."""
    down, up = {}, {}
    for layer in range(recipe.first_layer, reader.config["num_hidden_layers"]):
        for part in ADAPTED:
            name = f"encoder.layer.{layer}.{part}"
            wide, narrow = reader.weights[f"{name}.weight"].shape
            down[name] = torch.randn(recipe.rank, narrow, generator=generator) / math.sqrt(narrow)
            up[name] = torch.zeros(wide, recipe.rank)
    return Delta(recipe.first_layer, down, up)


def tune(
    layers: UpperLayers,
    states: Sequence[Tensor],
    objective: Objective,
    recipe: Recipe,
    *,
    on_progress: Progress = lambda share: None,
) -> tuple[Delta, list[Tensor]]:
    """Train delta and objective by AdamW at a constant rate, and average over about the last quarter of the steps.

    The average does what a falling rate does, but what is trained does not depend on when training ends: two epochs
    are the first two of three.

    Args:
        states: Of the training texts, from `layers.lower_states`.
    Returns:
        The delta, and the objective's parameters in their order.
    """
    generator, rng = torch.Generator().manual_seed(recipe.seed), np.random.default_rng(recipe.seed)
    delta = new_delta(layers.reader, recipe, generator)
    num_steps = recipe.epochs * math.ceil(len(states) / recipe.batch_size)
    with torch.inference_mode(False), torch.enable_grad():
        changing = [t.requires_grad_() for t in (*delta.down.values(), *delta.up.values())]
        trained = [*changing, *objective.parameters()]
        averages = [t.detach().clone() for t in trained]
        optimizer = torch.optim.AdamW(trained, lr=recipe.learning_rate)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / WARM_UP_STEPS))
        for step, rows in enumerate(_all_batches(states, recipe, rng)):
            # a delta's stacked copy is a node of the graph, so it is made again in each step
            vectors_BD = layers.run(layers.reader.encoder([delta]), [states[i] for i in rows])
            kept_BD = torch.rand(vectors_BD.shape, generator=generator) >= recipe.feature_dropout
            optimizer.zero_grad()
            objective.loss(functional.normalize(vectors_BD * kept_BD, dim=-1), rows).backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(changing, 1.0)
            optimizer.step()
            schedule.step()
            torch._foreach_lerp_(averages, [t.detach() for t in trained], AVERAGING / (AVERAGING + step))
            on_progress((step + 1) / num_steps)
    num = len(delta.down)
    down, up = averages[:num], averages[num : 2 * num]
    names = zip(delta.down, down, strict=True), zip(delta.up, up, strict=True)
    return Delta(delta.first_layer, *map(dict, names)), averages[2 * num :]


def _all_batches(states: Sequence[Tensor], recipe: Recipe, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Every epoch's batches, of texts of similar length within each shuffled block of sixteen batches."""
    lengths = np.array([len(x_TD) for x_TD in states])
    for _ in range(recipe.epochs):
        order = rng.permutation(len(states))
        block = recipe.batch_size * 16
        chunks = [order[i : i + block] for i in range(0, len(order), block)]
        chunks = [chunk[lengths[chunk].argsort(kind="stable")] for chunk in chunks]
        size = recipe.batch_size
        batches = [chunk[i : i + size] for chunk in chunks for i in range(0, len(chunk), size)]
        for i in rng.permutation(len(batches)):
            yield batches[i]
