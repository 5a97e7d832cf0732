"""A logistic head on sentence vectors, as JSON: the only trained part of the safety classifiers. Ignores training."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.embed import Embedder

WEIGHTS_DIR = Path(__file__).parent / "weights"


@dataclass(frozen=True)
class Head:
    """Probability of one class from a unit vector: sigmoid(w.x + b).

    `threshold` was chosen on training data; `embedder` is the `Embedder.name` whose vectors the weights were fitted to.
    """

    weights_D: NDArray[np.float32]
    bias: float
    threshold: float
    embedder: str

    def probabilities(self, vectors_ND: NDArray[np.float32]) -> NDArray[np.float64]:
        """Of each row, (rows,)."""
        logits_N = vectors_ND.astype(np.float64) @ self.weights_D + self.bias
        return np.asarray(1.0 / (1.0 + np.exp(-logits_N)), np.float64)

    def to_json(self) -> str:
        """As `load_head` reads it; five significant digits are finer than any threshold."""
        fields: dict[str, Any] = {
            "embedder": self.embedder,
            "threshold": self.threshold,
            "bias": round(self.bias, 5),
            "weights": [float(f"{weight:.5g}") for weight in self.weights_D],
        }
        return json.dumps(fields)


def load_head(name: str, *, embedder: str) -> Head:
    """The shipped head `weights/<name>.json`; its card, `<name>.card.json`, says what it was trained on.

    Raises:
        ValueError: the vectors of `embedder` are not those that the head was fitted to.
    """
    fields = json.loads((WEIGHTS_DIR / f"{name}.json").read_text("utf-8"))
    if fields["embedder"] != embedder:
        raise ValueError(
            f"embedder: the head {name!r} was fitted to {fields['embedder']} (got {embedder}). "
            "Pass that embedder, or none: then the rules decide alone."
        )
    return Head(np.array(fields["weights"], np.float32), fields["bias"], fields["threshold"], fields["embedder"])


def open_head(name: str, embedder: Embedder | None) -> Head | None:
    """`load_head` for an embedder; None without one: then rules decide alone."""
    return load_head(name, embedder=embedder.name) if embedder else None
