"""Fits the intent reader to examples: few of them also tune a delta of the encoder. Ignores where examples are from.

A few hundred examples gain a point by it and take a minute; with thousands the encoder as it is does as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from verticals.support.understanding.intent import IntentModel, fit_intents, join
from verticals.support.understanding.objectives import IntentObjective
from verticals.support.understanding.tuning import Progress, Recipe, UpperLayers, tune

# Chosen on texts of Banking77 train alone, ten-shot draws 301 and 302. First layer and rank are the emotion model's:
# one pass serves both.
RECIPE = Recipe(epochs=10, learning_rate=1e-3, first_layer=2)
MAX_TUNED = 2_000  # examples


def train_intents(
    texts: Sequence[str], intents: Sequence[str], layers: UpperLayers, *, on_progress: Progress = lambda share: None
) -> IntentModel:
    """Fit on example messages and their intents; each intent's name in words is one example more.

    Args:
        layers: Beginning where `RECIPE` does.
    Returns:
        A model that lets everything in, with a delta unless there are more than `MAX_TUNED` examples.
    Raises:
        ValueError: see `fit_intents`.
    """
    labels = sorted(set(intents))
    texts, intents = [*texts, *(label.replace("_", " ") for label in labels)], [*intents, *labels]
    states = layers.lower_states(texts)
    plain_ED = layers.vectors(states, None)
    if len(texts) > MAX_TUNED:
        return fit_intents(texts, intents, plain_ED.numpy())
    objective = IntentObjective(plain_ED, torch.tensor([labels.index(intent) for intent in intents]))
    delta, _ = tune(layers, states, objective, RECIPE, on_progress=on_progress)
    tuned_ED = layers.vectors(states, delta)
    return replace(fit_intents(texts, intents, join(plain_ED.numpy(), tuned_ED.numpy())), delta=delta)
