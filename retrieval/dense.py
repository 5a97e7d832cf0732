"""Exact nearest neighbours by inner product: a flat FAISS index over unit vectors. Ignores what the rows mean."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class DenseIndex:
    """Rows 0..n-1 of unit vectors, immutable. Searches are safe from many threads."""

    def __init__(self, index: Any) -> None:
        self._index = index

    @classmethod
    def build(cls, vectors_ND: NDArray[np.float32]) -> DenseIndex:
        """Index unit vectors, fp32; no rows is allowed."""
        import faiss

        index = faiss.IndexFlatIP(vectors_ND.shape[1])
        index.add(np.ascontiguousarray(vectors_ND))
        return cls(index)

    @classmethod
    def load(cls, path: Path) -> DenseIndex:
        """Read what `save` wrote.

        Raises:
            OSError: the file is missing or damaged.
        """
        import faiss

        try:
            return cls(faiss.read_index(str(path)))
        except RuntimeError as error:  # FAISS knows no other
            raise OSError(f"{path.name}: cannot be read") from error

    def save(self, path: Path) -> None:
        """Write the index to one file.

        Raises:
            OSError: the disk refuses.
        """
        import faiss

        try:
            faiss.write_index(self._index, str(path))
        except RuntimeError as error:
            raise OSError(f"{path.name}: cannot be written") from error

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def search(self, query_D: NDArray[np.float32], *, k: int, allowed: NDArray[np.int64] | None = None) -> list[int]:
        """The k rows nearest to a unit vector, best first; among `allowed` only, if given."""
        import faiss

        if k < 1 or len(self) == 0:
            return []
        params = None
        if allowed is not None:
            selector = faiss.IDSelectorBatch(allowed)  # held by this name: FAISS keeps only a pointer
            params = faiss.SearchParameters()
            params.sel = selector
        _, rows = self._index.search(query_D[None], min(k, len(self)), params=params)
        return [int(row) for row in rows[0] if row >= 0]  # FAISS pads with -1 when fewer rows are allowed

    def similarities(self, query_D: NDArray[np.float32], rows: Sequence[int]) -> NDArray[np.float32]:
        """Cosine in [-1, 1] of a unit vector with each of `rows`."""
        if not rows:
            return np.zeros(0, np.float32)
        vectors_ND = self._index.reconstruct_batch(np.asarray(rows, np.int64))
        cosines: NDArray[np.float32] = np.clip(vectors_ND @ query_D, -1, 1)
        return cosines
