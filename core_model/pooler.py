"""Pools a prompt's hidden states as they are computed, piece by piece. Ignores scheduling.

Shapes: N tokens of one step, D model dim.
"""

from __future__ import annotations

import torch
from torch import Tensor

from core_model.generation import SampledToken
from core_model.pooled import END, FloatArray, Pooling, check_pooling


class HiddenPooler:
    """Implements `core_model.pooled.Pooler`.

    Raises:
        ValueError: an unknown pooling.
    """

    def __init__(self, pooling: Pooling) -> None:
        check_pooling(pooling)
        self.needs_all = pooling == "mean"
        # First token -> how many, and their sum: a piece that is run twice counts once.
        self._pieces: dict[int, tuple[int, Tensor]] = {}

    def add(self, hidden_ND: Tensor, *, start: int, num_virtual: int = 0) -> None:
        """Take the states of the tokens from `start` on; the first `num_virtual` of all are an adapter's, not text."""
        if start == 0 or not self.needs_all:  # also when the request gave its place up and begins again
            self._pieces.clear()
        if self.needs_all:
            hidden_ND = hidden_ND[max(0, num_virtual - start) :]
            self._pieces[start] = len(hidden_ND), hidden_ND.double().sum(0)
        else:
            self._pieces[start] = 1, hidden_ND[-1].double()

    def sample(self, logits_V: object) -> SampledToken:
        """The end."""
        return END

    def vector(self) -> FloatArray:
        """(D,) fp32."""
        counts, sums = zip(*self._pieces.values(), strict=True)
        mean_D: Tensor = torch.stack(sums).sum(0) / sum(counts)
        return mean_D.float().cpu().numpy()
