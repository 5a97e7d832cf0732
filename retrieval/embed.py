"""Sentences to unit vectors: the Embedder seam and the embedded MiniLM. Ignores indexes and languages other than English."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Embedder(Protocol):
    """Turns texts into unit vectors; the same text always gives the same vector."""

    @property
    def name(self) -> str:
        """Identity of model and weights: vectors of different names are never compared."""

    @property
    def dim(self) -> int:
        """Length of a vector."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed.

        Returns:
            (len(texts), dim), fp32; each row has length 1.
        """
