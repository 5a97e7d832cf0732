"""Word matching with BM25 (bm25s: Lù 2024, arXiv:2407.03618), over `retrieval.words`. Ignores word order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.words import quiet_bm25s, tokenize


class LexicalIndex:
    """BM25 scores of rows 0..n-1, immutable and computed once; a query only adds them up. Safe from many threads."""

    def __init__(self, bm25: Any | None) -> None:
        self._bm25 = bm25  # None: no row has a word

    @classmethod
    def build(cls, texts: Sequence[str]) -> LexicalIndex:
        """Index texts with Lucene's variant, k1=1.5, b=0.75."""
        words = tokenize(texts)
        if not any(words):
            return cls(None)
        bm25 = quiet_bm25s().BM25(method="lucene", k1=1.5, b=0.75)
        bm25.index(words, show_progress=False)
        return cls(bm25)

    @classmethod
    def load(cls, folder: Path) -> LexicalIndex:
        """Read what `save` wrote; an empty folder is an index without words.

        Raises:
            OSError, ValueError: a file is missing or damaged.
        """
        if not any(folder.iterdir()):
            return cls(None)
        return cls(quiet_bm25s().BM25.load(folder, allow_pickle=False))

    def save(self, folder: Path) -> None:
        """Write arrays (npy, no pickle) and JSON into a new folder."""
        folder.mkdir(parents=True)
        if self._bm25 is not None:
            self._bm25.save(folder, allow_pickle=False, show_progress=False)

    def scores(self, query: str) -> NDArray[np.float32]:
        """BM25 score of every row; 0 for a row that shares no word. Empty if no row has a word."""
        if self._bm25 is None:
            return np.zeros(0, np.float32)
        words = tokenize([query])[0]
        if not words:
            return np.zeros(self._bm25.scores["num_docs"], np.float32)
        scores: NDArray[np.float32] = self._bm25.get_scores(words)
        return scores

    def search(self, query: str, *, k: int, allowed: NDArray[np.int64] | None = None) -> list[int]:
        """The k rows of the highest scores above 0, best first, ties by row; among `allowed` only, if given."""
        scores = self.scores(query)
        rows = np.flatnonzero(scores > 0)
        if allowed is not None:
            rows = np.intersect1d(rows, allowed, assume_unique=True)
        best = rows[np.argsort(-scores[rows], kind="stable")]
        return [int(row) for row in best[:k]]
