"""Fits the intent reader to examples: few of them also tune a delta of the encoder. Ignores where examples are from.

A few hundred examples gain a point by it and take a minute; with thousands the encoder as it is does as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch

from verticals.support.understanding.encoder import Delta, TextReader, Vectors
from verticals.support.understanding.intent import RIDGE, SHARPNESS, WORD_SHARE, IntentModel, fit_intents
from verticals.support.understanding.objectives import IntentObjective
from verticals.support.understanding.tuning import Progress, ReadTexts, Recipe, UpperLayers, tune

# Chosen on texts of Banking77 train alone: ten-shot draw 301 and 1,500 of the other texts. On draws 301 to 303 and
# 3,200 others tuning adds .009, .007 and .006 to the accuracy. Layers and rank are the emotion model's: one pass serves
# both. No better in those draws, against 2,000 others each: scores or weights averaged over two or three deltas, a
# learned vector an intent. A fifth of the tokens left out of a step adds .0022 (.0001 to .0043 over two seeds), the
# best of nine comparisons, so it may be chance. In draw 301 alone, no better: twice that share, three times the steps,
# all six layers, the reader's own leave-one-out error as the loss, SGD's intents first.
RECIPE = Recipe(epochs=1, learning_rate=5e-4)
KEPT_SHARE = 3  # the lowest third of the encoder's layers is left as it is
NUM_STEPS = 50  # at least, in whole epochs; twice as many were no better
MAX_TUNED = 2_000  # examples


def recipe_text(encoder: str) -> str:
    """What was chosen for fitting, for a card: other choices make another model of the same examples."""
    kernel = f"kernel ridge {RIDGE}, sharpness {SHARPNESS}, words {WORD_SHARE}"
    return f"{kernel}, on {encoder} with a low-rank delta of its upper layers, {NUM_STEPS} steps of {RECIPE}"


def intent_layers(reader: TextReader) -> UpperLayers:
    """The layers of an encoder that `train_intents` may change."""
    return UpperLayers(reader, reader.config["num_hidden_layers"] // KEPT_SHARE)


def train_intents(
    read: ReadTexts, intents: Sequence[str], layers: UpperLayers, *, on_progress: Progress = lambda share: None
) -> IntentModel:
    """Fit on example messages and their intents; each intent's name in words is one example more.

    Args:
        read: The messages, by `layers`, which are `intent_layers`.
    Returns:
        A model that lets everything in, with a delta unless there are more than `MAX_TUNED` examples.
    Raises:
        ValueError: see `fit_intents`.
    """
    labels = sorted(set(intents))
    read, intents = read + layers.read([label.replace("_", " ") for label in labels]), [*intents, *labels]
    delta = None
    if len(intents) <= MAX_TUNED:
        label_E = torch.tensor([labels.index(intent) for intent in intents])
        objective = IntentObjective(torch.from_numpy(read.plain_ND), label_E)
        epochs = math.ceil(NUM_STEPS / math.ceil(len(intents) / RECIPE.batch_size))
        recipe = replace(RECIPE, epochs=epochs, first_layer=layers.first_layer)
        delta, _ = tune(layers, read.states, objective, recipe, on_progress=on_progress)
    return replace(fit_intents(read.texts, intents, intent_vectors(read, delta, layers)), delta=delta)


def intent_vectors(read: ReadTexts, delta: Delta | None, layers: UpperLayers) -> Vectors:
    """The unit vectors (N, D) that a model with this delta reads."""
    return read.plain_ND if delta is None else layers.vectors(read.states, delta).numpy()
