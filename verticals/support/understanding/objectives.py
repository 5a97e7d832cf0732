"""What deltas are trained for: emotions each by itself, rare ones weighing more; intents apart from each other.

Ignores the encoder.

Shapes: N examples, B of a batch, C labels, D width.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

VECTOR_SCALE = 12.0  # of unit vectors, so that weights near 1 already give decided logits
COSINE_SCALE, SMOOTHING = 16.0, 0.1  # of intents


class EmotionObjective:
    """Binary cross entropy of each label; rare labels weigh more.

    Args:
        weight_CD, bias_C: Where to start, as `fit_logistic` gives them.
        target_NC: 1 where a label holds.
        rarity: A positive counts (negatives / positives) ** `rarity` times: 0 all alike, 1 fully balanced.
    """

    def __init__(self, weight_CD: Tensor, bias_C: Tensor, target_NC: Tensor, *, rarity: float) -> None:
        self._weight_CD, self._bias_C = weight_CD.clone().requires_grad_(), bias_C.clone().requires_grad_()
        self._target_NC, self._positive_C = target_NC, positive_weights(target_NC, rarity)

    def parameters(self) -> list[Tensor]:
        """Weights and biases."""
        return [self._weight_CD, self._bias_C]

    def head(self, weight_CD: Tensor, bias_C: Tensor) -> tuple[Tensor, Tensor]:
        """Weights (C, D) and biases (C,) over unit vectors, of trained parameters; see `calibrate`."""
        return calibrate(weight_CD, bias_C, self._positive_C)

    def loss(self, vectors_BD: Tensor, rows: NDArray[np.int64]) -> Tensor:
        """See `tuning.Objective`."""
        logits_BC = vectors_BD @ self._weight_CD.T * VECTOR_SCALE + self._bias_C
        target_BC = self._target_NC[torch.from_numpy(rows)]
        return functional.binary_cross_entropy_with_logits(logits_BC, target_BC, pos_weight=self._positive_C)


class IntentObjective:
    """Cross entropy of the cosines to a learned vector an intent, smoothed (Zhai 2019, arXiv:1811.12649).

    Args:
        vectors_ED: Unit vectors of the examples by the encoder as it is; an intent starts at the mean of its own.
        label_E: Index of each example's intent.
    """

    def __init__(self, vectors_ED: Tensor, label_E: Tensor) -> None:
        self._label_E = label_E
        means = [vectors_ED[label_E == label].mean(0) for label in range(int(label_E.max()) + 1)]
        self._intent_CD = functional.normalize(torch.stack(means), dim=-1).requires_grad_()

    def parameters(self) -> list[Tensor]:
        """The intents' vectors."""
        return [self._intent_CD]

    def loss(self, vectors_BD: Tensor, rows: NDArray[np.int64]) -> Tensor:
        """See `tuning.Objective`."""
        cosine_BC = vectors_BD @ functional.normalize(self._intent_CD, dim=-1).T
        labels_B = self._label_E[torch.from_numpy(rows)]
        return functional.cross_entropy(COSINE_SCALE * cosine_BC, labels_B, label_smoothing=SMOOTHING)


def fit_logistic(vectors_ND: Tensor, target_NC: Tensor, *, rarity: float, max_steps: int = 60) -> tuple[Tensor, Tensor]:
    """A logistic regression a label by L-BFGS: weights over unit vectors times `VECTOR_SCALE`, and biases."""
    with torch.inference_mode(False), torch.enable_grad():
        weight_CD = torch.zeros(target_NC.shape[1], vectors_ND.shape[1], requires_grad=True)
        bias_C = torch.full((target_NC.shape[1],), -3.0, requires_grad=True)
        optimizer = torch.optim.LBFGS([weight_CD, bias_C], max_iter=max_steps, line_search_fn="strong_wolfe")
        positive_C, scaled_ND = positive_weights(target_NC, rarity), vectors_ND * VECTOR_SCALE

        def loss() -> Tensor:
            optimizer.zero_grad()
            logits_NC = functional.linear(scaled_ND, weight_CD, bias_C)
            value = functional.binary_cross_entropy_with_logits(logits_NC, target_NC, pos_weight=positive_C)
            value = value + 1e-4 * weight_CD.square().sum()
            value.backward()  # type: ignore[no-untyped-call]
            return value

        optimizer.step(loss)  # type: ignore[no-untyped-call]
    return weight_CD.detach(), bias_C.detach()


def calibrate(weight_CD: Tensor, bias_C: Tensor, positive_C: Tensor) -> tuple[Tensor, Tensor]:
    """The head over unit vectors whose probabilities are those of the texts, not of reweighted ones (Elkan 2001)."""
    return weight_CD * VECTOR_SCALE, bias_C - positive_C.log()


def positive_weights(target_NC: Tensor, rarity: float) -> Tensor:
    """(negatives / positives) ** rarity of each label, (C,); a label that never holds counts as if it held once."""
    positives_C = target_NC.sum(0).clamp_min(1)
    return ((len(target_NC) - positives_C) / positives_C) ** rarity
