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
COSINE_SCALE = 16.0  # of examples of intents


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
    """Neighbourhood components (Goldberger 2004): a message's neighbours should be those of its intent.

    It is what the kernel asks of vectors, and unlike a learned vector an intent it does not draw an intent's examples
    to one point. Neighbours are all examples, each as it was when a batch last held it.

    Args:
        vectors_ED: Unit vectors of the examples by the encoder as it is.
        label_E: Index of each example's intent; at least two examples an intent.
    """

    def __init__(self, vectors_ED: Tensor, label_E: Tensor) -> None:
        self._bank_ED, self._label_E = vectors_ED.clone(), label_E

    def parameters(self) -> list[Tensor]:
        """None."""
        return []

    def loss(self, vectors_BD: Tensor, rows: NDArray[np.int64]) -> Tensor:
        """See `tuning.Objective`."""
        rows_B = torch.from_numpy(rows)
        self._bank_ED[rows_B] = vectors_BD.detach()
        itself_BE = rows_B[:, None] == torch.arange(len(self._bank_ED))
        other_BE = self._label_E[rows_B][:, None] != self._label_E
        likeness_BE = (COSINE_SCALE * vectors_BD @ self._bank_ED.T).masked_fill(itself_BE, -torch.inf)
        own_B = likeness_BE.masked_fill(other_BE, -torch.inf).logsumexp(1)
        return (likeness_BE.logsumexp(1) - own_B).mean()


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
