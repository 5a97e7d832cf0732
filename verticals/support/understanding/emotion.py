"""The 28 emotions of GoEmotions in a message, as probabilities with a threshold each. Ignores what follows from them.

Shapes: N texts, C emotions, D width of the encoder.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verticals.bootstrap import bootstrap_interval
from verticals.support.understanding.encoder import Delta, Vectors

WEIGHTS_DIR = Path(__file__).parent / "emotion"
_WEIGHTS, _CARD = "model.safetensors", "card.json"
TRUST = 0.9  # best of 0, 0.1, 0.3, 0.5, 0.7, 0.9, 1 on texts of GoEmotions train, for the tuned encoder's head


@dataclass(frozen=True)
class EmotionHead:
    """A logistic regression a label over unit vectors, and from which probability a label counts.

    Attributes:
        labels: C of them.
        weight_CD: fp32.
        bias_C: fp32.
        threshold_C: 0-1, chosen on examples that training did not see.
    """

    labels: tuple[str, ...]
    weight_CD: NDArray[np.float32]
    bias_C: NDArray[np.float32]
    threshold_C: NDArray[np.float32]

    def predict(self, vectors_ND: Vectors) -> NDArray[np.float32]:
        """Probability of each label, (N, C)."""
        logits_NC = vectors_ND @ self.weight_CD.T + self.bias_C
        return np.asarray(1 / (1 + np.exp(-logits_NC)), np.float32)

    def mark(self, vectors_ND: Vectors) -> NDArray[np.bool_]:
        """Which labels hold, (N, C); a row may have none."""
        return np.asarray(self.predict(vectors_ND) >= self.threshold_C)


@dataclass(frozen=True)
class EmotionModel:
    """What is shipped: the encoder's delta (None: none), the head, and the card that says where they are from."""

    delta: Delta | None
    head: EmotionHead
    card: Mapping[str, Any]

    def save(self, folder: Path) -> None:
        """Write weights (fp16) and card into `folder`, made if missing."""
        import torch
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        arrays = {"weight": self.head.weight_CD, "bias": self.head.bias_C, "threshold": self.head.threshold_C}
        tensors = {f"head.{name}": torch.from_numpy(array).half() for name, array in arrays.items()}
        save_file((self.delta.tensors() if self.delta else {}) | tensors, folder / _WEIGHTS)
        card = {**self.card, "labels": self.head.labels}
        (folder / _CARD).write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path = WEIGHTS_DIR) -> EmotionModel:
        """Read what `save` wrote; the shipped model if no folder is given.

        Raises:
            ValueError: a missing or damaged file.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            tensors, card = load_file(folder / _WEIGHTS), json.loads((folder / _CARD).read_text("utf-8"))
            parts = [tensors[f"head.{name}"].float().numpy() for name in ("weight", "bias", "threshold")]
            head = EmotionHead(tuple(map(str, card["labels"])), *parts)
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise ValueError(f"folder: no readable emotion model in {folder.name!r}. Install again.") from error
        tuned = any(name.endswith(".down") for name in tensors)
        return cls(Delta.from_tensors(tensors) if tuned else None, head, card)


def choose_thresholds(
    probabilities_NC: NDArray[np.float32], target_NC: NDArray[np.float32], *, trust: float = TRUST
) -> NDArray[np.float32]:
    """For each label the probability from which marking it gives the best F1, (C,).

    A rare label has a handful of examples here, and the best cut among them is mostly luck. So each text counts as its
    label mixed with the model's own probability, which is nearly calibrated; F1 is that of expected counts.

    Args:
        trust: 0 the labels alone, 1 the probabilities alone.
    """
    thresholds = []
    for probability_N, target_N in zip(probabilities_NC.T, target_NC.T, strict=True):
        order = np.argsort(-probability_N, kind="stable")
        share_N = ((1 - trust) * target_N + trust * probability_N)[order]
        f1_N = 2 * share_N.cumsum() / (np.arange(1, len(order) + 1) + share_N.sum())
        thresholds.append(probability_N[order[f1_N.argmax()]])
    return np.array(thresholds, np.float32)


def f1_scores(marked_NC: NDArray[np.bool_], target_NC: NDArray[np.float32]) -> NDArray[np.float64]:
    """F1 of each label, (C,); 0 for one that neither holds nor is marked."""
    hits_C = (marked_NC * target_NC).sum(0, dtype=np.float64)
    return np.asarray(2 * hits_C / np.maximum(marked_NC.sum(0) + target_NC.sum(0, dtype=np.float64), 1))


def macro_f1(marked_NC: NDArray[np.bool_], target_NC: NDArray[np.float32]) -> tuple[float, float, float]:
    """Mean F1 of the labels, and the bounds of its 95 % bootstrap interval over texts."""
    num = target_NC.shape[1]
    low, high = bootstrap_interval(
        np.hstack([marked_NC, target_NC > 0]),
        lambda drawn: float(f1_scores(drawn[:, :num], drawn[:, num:].astype(np.float32)).mean()),
    )
    return float(f1_scores(marked_NC, target_NC).mean()), low, high
