"""Root mean square normalisation (arXiv:1910.07467). Ignores what it normalises."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from core_model.weights import Weights


class RMSNorm:
    """x / rms(x) * weight, over the last dimension."""

    def __init__(self, weights: Weights, name: str, *, eps: float) -> None:
        self.weight, self.eps = weights.tensor(f"{name}.weight"), eps

    def __call__(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)
