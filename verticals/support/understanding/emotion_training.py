"""Trains the emotion model; a tenth of the texts only chooses thresholds. Ignores where texts are from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from verticals.support.understanding.datasets import LabelledTexts
from verticals.support.understanding.emotion import EmotionHead, choose_thresholds
from verticals.support.understanding.encoder import Delta, Vectors
from verticals.support.understanding.objectives import EmotionObjective, calibrate, fit_logistic, positive_weights
from verticals.support.understanding.tuning import Progress, ReadTexts, Recipe, UpperLayers, tune

RECIPE = Recipe(epochs=2, learning_rate=1e-3, first_layer=2)
RARITY = 0.3
HELD_SHARE = 0.1


@dataclass(frozen=True)
class Split:
    """Training texts in two parts: what is fitted, and what only chooses thresholds."""

    fitted: NDArray[np.int64]
    held: NDArray[np.int64]

    @classmethod
    def draw(cls, num: int, *, seed: int) -> Split:
        """`HELD_SHARE` of `num` rows held, the rest fitted."""
        order = np.random.default_rng(seed).permutation(num)
        held, fitted = np.split(order, [round(HELD_SHARE * num)])
        return cls(fitted, held)


def train_plain(data: LabelledTexts, vectors_ND: Vectors, *, seed: int = 0) -> EmotionHead:
    """Logistic regression on the encoder as it is: the baseline, and where tuning starts.

    Args:
        data: Training texts only.
        vectors_ND: Their unit vectors.
    """
    split, target_NC = Split.draw(len(data.texts), seed=seed), torch.from_numpy(data.target_NC)
    start = fit_logistic(torch.from_numpy(vectors_ND)[split.fitted], target_NC[split.fitted], rarity=RARITY)
    head = calibrate(*start, positive_weights(target_NC[split.fitted], RARITY))
    return _head(data, head, vectors_ND[split.held], split.held)


def train_tuned(
    data: LabelledTexts,
    read: ReadTexts,
    *,
    layers: UpperLayers,
    recipe: Recipe = RECIPE,
    on_progress: Progress = lambda share: None,
) -> tuple[Delta, EmotionHead]:
    """From the same start, the encoder's delta and the head together.

    Args:
        data: Training texts only; the held tenth is drawn from it with the recipe's seed.
        read: Its texts, by `layers`, which begin where the recipe does.
    """
    split, target_NC = Split.draw(len(read.texts), seed=recipe.seed), torch.from_numpy(data.target_NC)
    start = fit_logistic(torch.from_numpy(read.plain_ND)[split.fitted], target_NC[split.fitted], rarity=RARITY)
    objective = EmotionObjective(*start, target_NC[split.fitted], rarity=RARITY)
    delta, head = tune(layers, read.take(split.fitted).states, objective, recipe, on_progress=on_progress)
    held_HD = layers.vectors(read.take(split.held).states, delta).numpy()
    return delta, _head(data, objective.head(*head), held_HD, split.held)


def _head(
    data: LabelledTexts, fitted: tuple[torch.Tensor, torch.Tensor], vectors_HD: Vectors, held: NDArray[np.int64]
) -> EmotionHead:
    weight_CD, bias_C = (tensor.numpy() for tensor in fitted)
    draft = EmotionHead(data.names, weight_CD, bias_C, np.full(len(data.names), 0.5, np.float32))
    thresholds_C = choose_thresholds(draft.predict(vectors_HD), data.target_NC[held])
    return EmotionHead(data.names, weight_CD, bias_C, thresholds_C)
