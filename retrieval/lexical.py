"""Word matching with BM25 in columns of words (after bm25s: Lù 2024, arXiv:2407.03618). Ignores word order."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.words import tokenize

K1, B = 1.5, 0.75
_ARRAYS = ("starts", "rows", "counts", "lengths")  # shapes: V + 1; P pairs of a word and a row that has it; P; N


@dataclass(frozen=True)
class Query:
    """A query's words with their rarity over all indexes that are searched together, so that scores of all compare."""

    weights: Mapping[str, float]  # inverse document frequency, times how often the query has the word
    mean_length: float

    @classmethod
    def over(cls, indexes: Sequence[LexicalIndex], text: str) -> Query:
        """Weigh the words of `text` by the rows of all `indexes` (Lucene's idf)."""
        num_rows, num_words = sum(map(len, indexes)), sum(index.num_words for index in indexes)
        weights = {}
        for word, times in Counter(tokenize([text])[0]).items():
            df = sum(index.num_rows_with(word) for index in indexes)
            weights[word] = times * log(1 + (num_rows - df + 0.5) / (df + 0.5))
        return cls(weights, num_words / num_rows if num_words else 1.0)


class LexicalIndex:
    """Words of rows 0..n-1, immutable: for each word the rows that have it and how often. Safe from many threads.

    bm25s' layout (a column of rows per word) without its scores, because those hold the statistics of one index alone.
    """

    def __init__(
        self,
        vocabulary: Sequence[str],
        starts_V: NDArray[np.int64],
        rows_P: NDArray[np.int32],
        counts_P: NDArray[np.float32],
        lengths_N: NDArray[np.float32],
    ) -> None:
        self._word_ids = {word: i for i, word in enumerate(vocabulary)}
        self._starts_V, self._rows_P, self._counts_P, self._lengths_N = starts_V, rows_P, counts_P, lengths_N
        self.num_words = float(lengths_N.sum(dtype=np.float64))

    @classmethod
    def build(cls, texts: Sequence[str]) -> LexicalIndex:
        """Index texts."""
        return cls.of_words(tokenize(texts))

    @classmethod
    def of_words(cls, words: Sequence[Sequence[str]]) -> LexicalIndex:
        """Index rows whose texts were tokenized before."""
        word_ids: dict[str, int] = {}
        tokens_T = np.fromiter((word_ids.setdefault(w, len(word_ids)) for row in words for w in row), np.int64)
        lengths_N = np.fromiter(map(len, words), np.int64)
        rows_T = np.repeat(np.arange(len(words)), lengths_N)
        pairs_P, counts_P = np.unique(tokens_T * max(len(words), 1) + rows_T, return_counts=True)
        tokens_P, rows_P = np.divmod(pairs_P, max(len(words), 1))
        starts_V = np.searchsorted(tokens_P, np.arange(len(word_ids) + 1))
        return cls(
            list(word_ids),
            starts_V,
            rows_P.astype(np.int32),
            counts_P.astype(np.float32),
            lengths_N.astype(np.float32),
        )

    @classmethod
    def load(cls, folder: Path) -> LexicalIndex:
        """Read what `save` wrote.

        Raises:
            OSError, ValueError: a file is missing or damaged.
        """
        vocabulary = json.loads((folder / "vocabulary.json").read_text("utf-8"))
        arrays = [np.load(folder / f"{name}.npy", allow_pickle=False) for name in _ARRAYS]
        return cls(vocabulary, *arrays)

    def save(self, folder: Path) -> None:
        """Write arrays (npy, no pickle) and JSON into a new folder."""
        folder.mkdir(parents=True)
        (folder / "vocabulary.json").write_text(json.dumps(list(self._word_ids), ensure_ascii=False), "utf-8")
        arrays: tuple[NDArray[Any], ...] = (self._starts_V, self._rows_P, self._counts_P, self._lengths_N)
        for name, array in zip(_ARRAYS, arrays, strict=True):
            np.save(folder / f"{name}.npy", array, allow_pickle=False)

    def __len__(self) -> int:
        return len(self._lengths_N)

    def num_rows_with(self, word: str) -> int:
        """Document frequency of a word as `tokenize` gives it."""
        return len(self._column(word)[0])

    def scores(self, query: Query | str) -> NDArray[np.float32]:
        """BM25 score of every row (Lucene's variant, k1=1.5, b=0.75); 0 for a row that shares no word."""
        query = Query.over([self], query) if isinstance(query, str) else query
        scores_N = np.zeros(len(self), np.float32)
        for word, weight in query.weights.items():
            rows, counts = self._column(word)
            damping = K1 * (1 - B + B * self._lengths_N[rows] / query.mean_length)
            scores_N[rows] += weight * counts / (counts + damping)
        return scores_N

    def best(
        self, query: Query | str, *, k: int, allowed: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The k rows of the highest scores above 0 and those scores, best first, ties by row.

        Args:
            allowed: (n,), the rows that may be found; all if None.
        """
        scores_N = self.scores(query)
        rows = np.flatnonzero(scores_N > 0 if allowed is None else (scores_N > 0) & allowed)
        if len(rows) > k:  # sort only what can be among the best
            rows = rows[scores_N[rows] >= np.partition(scores_N[rows], -k)[-k]]
        rows = rows[np.argsort(-scores_N[rows], kind="stable")][:k]
        return rows, scores_N[rows]

    def search(self, query: str, *, k: int, allowed: NDArray[np.bool_] | None = None) -> list[int]:
        """The rows of `best`, scored by the statistics of this index alone."""
        return [int(row) for row in self.best(query, k=k, allowed=allowed)[0]]

    def _column(self, word: str) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        word_id = self._word_ids.get(word)
        column = slice(0, 0) if word_id is None else slice(*self._starts_V[word_id : word_id + 2])
        return self._rows_P[column], self._counts_P[column]
