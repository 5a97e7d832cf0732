"""Trains the tagger of entities on tagged sentences. Ignores where they are from.

Shapes: as in `network`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from verticals.contract import Progress, Unavailable
from verticals.medical.text.entities import TAGS, EntityTagger
from verticals.medical.text.network import TagNetwork, WordReader

CARD = {
    "trained_on": "BC5CDR (Li 2016), training split: 4,560 sentences of PubMed titles and abstracts",
    "licence": "Corpus in the public domain (NLM); over an encoder under Apache-2.0, no part of which is in here",
    "limits": "English abstracts, not clinical notes; diseases and chemicals only; measured by benchmarks.entities",
}
_WARM_UP_STEPS = 50
_AVERAGING = 6  # polynomial-decay averaging (Shamir 2013, arXiv:1212.1824): step t counts about as t ** 5
_MANY = 64  # batches in a block of sentences of similar length


@dataclass(frozen=True)
class Recipe:
    """How the tagger is trained."""

    epochs: int = 6
    rate: float = 1e-3
    batch: int = 16
    dropout: float = 0.3
    seed: int = 0


LARGER = Recipe(epochs=4, rate=6e-4)  # over an encoder of twice MiniLM's width and depth


@dataclass(frozen=True)
class Tagged:
    """Sentences cut into words, and each word's tag."""

    words: list[list[str]]
    tags: list[list[str]]


def read_bc5cdr(data_dir: Path | None, split: str) -> Tagged:
    """BC5CDR, "train" (4,560 sentences), "devel" (4,581) or "test" (4,797); the corpus is in the public domain.

    Raises:
        Unavailable: the data is not mounted.
    """
    name = f"medical/bc5cdr_ner/{split}.tsv"
    if data_dir is None or not (data_dir / name).is_file():
        raise Unavailable(f"{name} is not mounted", field="data_dir", remedy="Set TRIVIUM_DATA to the data's folder.")
    blocks = (data_dir / name).read_text("utf-8").strip().split("\n\n")
    rows = [[line.split("\t") for line in block.splitlines() if line.strip()] for block in blocks]
    return Tagged([[row[0] for row in block] for block in rows], [[row[1] for row in block] for block in rows])


def train(
    data: Tagged, progress: Progress, *, recipe: Recipe = Recipe(), encoder_dir: Path | None = None
) -> EntityTagger:
    """The tagger after `recipe.epochs` passes over the data; its weights are an average of the late steps.

    Args:
        encoder_dir: Of the encoder that reads; MiniLM if None.
    """
    torch.manual_seed(recipe.seed)
    reader = WordReader(encoder_dir)
    lower = _lower_states(reader, data.words)
    network = TagNetwork(reader, len(TAGS), dropout=recipe.dropout).train()
    averages = [p.detach().clone() for p in network.parameters()]
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / _WARM_UP_STEPS))
    num_steps = recipe.epochs * math.ceil(len(data.words) / recipe.batch)
    for step, rows in enumerate(_batches(data, recipe)):
        words = reader.batch([data.words[i] for i in rows])
        states_BTD = pad_sequence([lower[i] for i in rows], batch_first=True).float()
        tags_BW = pad_sequence([_indices(data.tags[i]) for i in rows], batch_first=True)
        optimizer.zero_grad()
        network.loss(network(words, states_BTD), tags_BW, words.lengths_B).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        torch._foreach_lerp_(averages, [p.detach() for p in network.parameters()], _AVERAGING / (_AVERAGING + step))
        progress("entities: training", (step + 1) / num_steps)
    with torch.no_grad():
        for parameter, average in zip(network.parameters(), averages, strict=True):
            parameter.copy_(average)
    return EntityTagger(reader, network, CARD | {"recipe": str(recipe)})


def _lower_states(reader: WordReader, sentences: Sequence[Sequence[str]]) -> list[Tensor]:
    """States (T, D) of each sentence before the first changed layer, fp16."""
    states: list[Tensor] = [torch.empty(0)] * len(sentences)
    order = sorted(range(len(sentences)), key=lambda i: len(sentences[i]))
    for start in range(0, len(order), 32):
        rows = order[start : start + 32]
        words = reader.batch([sentences[i] for i in rows])
        for i, x_TD, mask_T in zip(rows, reader.lower(words), words.mask_BT, strict=True):
            states[i] = x_TD[mask_T].half()
    return states


def _indices(tags: Sequence[str]) -> Tensor:
    return torch.tensor([TAGS.index(tag) for tag in tags])


def _batches(data: Tagged, recipe: Recipe) -> Iterator[list[int]]:
    """Every epoch's batches, of sentences of similar length within each shuffled block."""
    draw = np.random.default_rng(recipe.seed)
    lengths = np.array([len(words) for words in data.words])
    for _ in range(recipe.epochs):
        order = draw.permutation(len(lengths))
        block = recipe.batch * _MANY
        chunks = [order[i : i + block] for i in range(0, len(order), block)]
        chunks = [chunk[lengths[chunk].argsort(kind="stable")] for chunk in chunks]
        batches = [c[i : i + recipe.batch].tolist() for c in chunks for i in range(0, len(c), recipe.batch)]
        for i in draw.permutation(len(batches)):
            yield batches[i]
