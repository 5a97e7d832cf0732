"""Both indexes over some passages, immutable. Ignores SQL, access, time and files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrieval.dense import FaissIndexes
from retrieval.lexical import LexicalIndex
from retrieval.vectors import VectorIndex, VectorIndexes


@dataclass(frozen=True)
class Segment:
    """Row i of both indexes is passage `row_ids_N[i]` in SQL, of revision `revision_ids_N[i]`."""

    row_ids_N: NDArray[np.int64]
    revision_ids_N: NDArray[np.int64]
    dense: VectorIndex
    lexical: LexicalIndex

    @classmethod
    def build(
        cls,
        row_ids: Sequence[int],
        revision_ids: Sequence[int],
        *,
        vectors_ND: NDArray[np.float32],
        words: Sequence[Sequence[str]],
        indexes: VectorIndexes | None = None,
    ) -> Segment:
        """Index passages; none is allowed. Vectors in this process unless `indexes` are given."""
        return cls(
            np.asarray(row_ids, np.int64),
            np.asarray(revision_ids, np.int64),
            (indexes or FaissIndexes()).build(vectors_ND),
            LexicalIndex.of_words(words),
        )

    def __len__(self) -> int:
        return len(self.row_ids_N)
