"""One trial of the intent reader on labelled texts: all data, a few examples an intent, or intents held out.

Ignores how trials are averaged and printed. Everything is fitted on the training split; the test split is only read.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verticals.support.understanding.datasets import LabelledTexts
from verticals.support.understanding.intent import soft_shares
from verticals.support.understanding.intent_training import intent_vectors, train_intents
from verticals.support.understanding.tuning import ReadTexts, UpperLayers

FEW_EXAMPLES = 10
HELD_SHARE = 0.2


@dataclass(frozen=True)
class Embedded:
    """Labelled texts, and how the encoder reads them, row by row."""

    data: LabelledTexts
    read: ReadTexts


@dataclass(frozen=True)
class Trial:
    """What one fitted reader says about the test texts.

    Attributes:
        right: Whether the intent was found, of each text whose intent is known.
        known: Which of all test texts are of an intent that training saw.
        familiarity: Of all test texts.
        top_share: The largest softmax share of all test texts.
    """

    right: NDArray[np.bool_]
    known: NDArray[np.bool_]
    familiarity: NDArray[np.float32]
    top_share: NDArray[np.float32]


def draw_few(data: LabelledTexts, num: int, *, seed: int) -> NDArray[np.int64]:
    """`num` rows of each label, drawn with this seed."""
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.permutation(np.flatnonzero(data.labels == c))[:num] for c in range(len(data.names))])


def draw_known(data: LabelledTexts, *, seed: int) -> NDArray[np.int64]:
    """The rows that remain when `HELD_SHARE` of the labels are held out."""
    num = len(data.names)
    held = np.random.default_rng(seed).permutation(num)[: round(HELD_SHARE * num)]
    return np.flatnonzero(~np.isin(data.labels, held))


def run_trial(train: Embedded, test: Embedded, rows: NDArray[np.int64], layers: UpperLayers) -> Trial:
    """Fit on `rows` of `train`, whose labels are the known ones, and read all of `test`."""
    intents = [train.data.names[i] for i in train.data.labels[rows]]
    model = train_intents(train.read.take(rows), intents, layers)
    scores_NC, familiarity_N = model.score(test.data.texts, intent_vectors(test.read, model.delta, layers))
    truth_N = np.array(test.data.names)[test.data.labels]
    known_N = np.isin(truth_N, model.labels)
    found_N = np.array(model.labels)[scores_NC.argmax(1)]
    return Trial((found_N == truth_N)[known_N], known_N, familiarity_N, soft_shares(scores_NC).max(1))


def nearest_means(train: Embedded, test: Embedded, rows: NDArray[np.int64]) -> float:
    """Test accuracy of the nearest label mean, from these training rows: a baseline."""
    labels = train.data.labels[rows]
    known = np.unique(labels)
    means_CD = np.stack([train.read.plain_ND[rows][labels == c].mean(0) for c in known])
    means_CD /= np.linalg.norm(means_CD, axis=1, keepdims=True)
    return float((known[(test.read.plain_ND @ means_CD.T).argmax(1)] == test.data.labels).mean())


def auroc(known: NDArray[np.bool_], familiarity: NDArray[np.floating]) -> float:
    """Chance that a random known text is more familiar than a random other one, ties counting half; nan if one lacks.

    Args:
        known: Of each text.
        familiarity: Of each text: any score that is larger for what looks known.
    """
    if known.all() or not known.any():
        return float("nan")
    others = np.sort(familiarity[~known])
    below = np.searchsorted(others, familiarity[known], "left") + np.searchsorted(others, familiarity[known], "right")
    return float(below.mean() / 2 / len(others))
