"""Classification heads: labels for a text from the body's hidden states, many heads on one pass. Ignores training.

A head is a matrix; the body is the language model that serves everything else. Heads are safetensors and JSON.
Shapes: N texts, C labels, D model dim.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from core_model.pooled import FloatArray, Pooling, check_pooling

_WEIGHTS, _CARD = "head.safetensors", "head.json"


class Encodes(Protocol):
    """The part of a tokenizer that is needed."""

    def encode(self, text: str) -> list[int]: ...


class Pools(Protocol):
    """An `Engine`, or whatever embeds as one."""

    @property
    def model_version(self) -> str: ...

    def embed(
        self, prompts: Sequence[Sequence[int]], *, pooling: Pooling = "mean", normalize: bool = False
    ) -> FloatArray: ...


@dataclass(frozen=True)
class LinearHead:
    """softmax(weight h + bias) over pooled hidden states h.

    Attributes:
        labels: C of them, in the order of the weight's rows.
        weight_CD: fp32.
        bias_C: fp32.
        pooling: How the states that it was trained on were pooled.
        model_version: Of the body that it was trained on; another body's states mean nothing to it.

    Raises:
        ValueError: shapes that do not fit, fewer than two labels or one twice, values that are not finite.
    """

    labels: tuple[str, ...]
    weight_CD: FloatArray
    bias_C: FloatArray
    pooling: Pooling
    model_version: str

    def __post_init__(self) -> None:
        check_pooling(self.pooling)
        num = len(self.labels)
        if num < 2 or len(set(self.labels)) < num:
            raise ValueError(f"labels: at least 2, each once (got {num}, of which {len(set(self.labels))} differ).")
        if self.weight_CD.ndim != 2 or len(self.weight_CD) != num or self.bias_C.shape != (num,):
            shapes = f"{self.weight_CD.shape} and {self.bias_C.shape}"
            raise ValueError(f"weight, bias: must be ({num}, D) and ({num},), a row a label (got {shapes}).")
        if not (np.isfinite(self.weight_CD).all() and np.isfinite(self.bias_C).all()):
            raise ValueError("weight, bias: must be finite. Train the head again.")

    def predict(self, hidden_ND: FloatArray) -> FloatArray:
        """Probability of each label, (N, C); each row sums to 1.

        Raises:
            ValueError: states of another width.
        """
        if hidden_ND.ndim != 2 or hidden_ND.shape[1] != self.weight_CD.shape[1]:
            raise ValueError(
                f"hidden: must be (N, {self.weight_CD.shape[1]}) (got {hidden_ND.shape}). Use the body of this head."
            )
        logits_NC = hidden_ND.astype(np.float64) @ self.weight_CD.T + self.bias_C
        odds_NC = np.exp(logits_NC - logits_NC.max(1, keepdims=True))
        shares_NC: FloatArray = (odds_NC / odds_NC.sum(1, keepdims=True)).astype(np.float32)
        return shares_NC

    def save(self, folder: Path) -> None:
        """Write both files into `folder`, made if missing."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file({"weight": self.weight_CD, "bias": self.bias_C}, folder / _WEIGHTS)
        card = {"labels": self.labels, "pooling": self.pooling, "model_version": self.model_version}
        (folder / _CARD).write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> LinearHead:
        """Read what `save` wrote.

        Raises:
            ValueError: a missing or damaged file.
        """
        try:
            tensors, card = load_file(folder / _WEIGHTS), json.loads((folder / _CARD).read_text(encoding="utf-8"))
            parts: dict[str, Any] = {
                "labels": tuple(map(str, card["labels"])),
                "pooling": card["pooling"],
                "model_version": str(card["model_version"]),
                "weight_CD": tensors["weight"].astype(np.float32),
                "bias_C": tensors["bias"].astype(np.float32),
            }
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise ValueError(f"folder: no readable head in {folder.name!r}. Train and save it again.") from error
        return cls(**parts)


def classify(
    texts: Sequence[str], heads: Mapping[str, LinearHead], *, engine: Pools, tokenizer: Encodes
) -> dict[str, FloatArray]:
    """Label probabilities of each text by each head, (N, C) by name; each text is read once for all heads.

    Raises:
        ValueError: no text, an empty or too long one, no head, a head of another body, heads that pool differently.
    """
    if not heads:
        raise ValueError("heads: must not be empty. Give at least one.")
    if len({head.pooling for head in heads.values()}) > 1:
        raise ValueError("heads: must pool alike to share a pass. Classify with each kind apart.")
    for name, head in heads.items():
        if _body(head.model_version) != _body(engine.model_version):
            raise ValueError(
                f"heads: {name!r} was trained on {head.model_version}, and {engine.model_version} is loaded. "
                "Train it on this model."
            )
    pooling = next(iter(heads.values())).pooling
    hidden_ND = engine.embed([tokenizer.encode(text) for text in texts], pooling=pooling)
    return {name: head.predict(hidden_ND) for name, head in heads.items()}


def best_labels(head: LinearHead, probabilities_NC: npt.NDArray[np.float32]) -> list[str]:
    """The likeliest label of each row."""
    return [head.labels[i] for i in probabilities_NC.argmax(1)]


def _body(version: str) -> str:
    """Without what rebalancing appends: it moves tokens near a tie to another expert, no more."""
    return version.partition("+")[0]
