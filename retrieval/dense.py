"""Nearest neighbours by inner product of unit vectors, in the kind of FAISS index that suits their number.

| rows | index | because |
|---|---|---|
| up to 20,000 | flat, fp32 | exact, and as quick as a graph |
| beyond | HNSW, 32 links, fp16 vectors | a search reads a few thousand rows |

HNSW (Malkov and Yashunin 2016, arXiv:1603.09320) takes about 1.1 kB of memory a row, a million rows 1.1 GB. Figures:
python -m benchmarks.ann. Ignores what rows mean.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

KINDS = ((20_000, "Flat"), (2**31 - 1, "HNSW32_SQfp16"))  # (up to so many rows, FAISS factory string)
EF_CONSTRUCTION, EF_SEARCH = 100, 192  # HNSW: candidates held while building, and at least while searching
EXACT_ROWS = 10_000  # so few allowed rows are compared one by one
_BLOCK = 10_000  # rows added at a time
_GPU_MOST = 2_048  # results that FAISS gives on a GPU


class FaissIndexes:
    """`VectorIndexes` in this process."""

    def build(self, vectors_ND: NDArray[np.float32]) -> DenseIndex:
        """As `DenseIndex.build`."""
        return DenseIndex.build(vectors_ND)

    def load(self, path: Path) -> DenseIndex:
        """As `DenseIndex.load`."""
        return DenseIndex.load(path)

    def drop(self, path: Path) -> None:
        """Nothing: all is in the file."""

    def close(self) -> None:
        """Nothing is open."""


class DenseIndex:
    """Rows 0..n-1 of unit vectors, immutable. Searches are safe from many threads.

    Args:
        index: A FAISS index.
        accelerator: The same rows in an index on a GPU, asked first; None for none.
    """

    is_gone = False

    def __init__(self, index: Any, accelerator: Any = None) -> None:
        self._index, self._accelerator, self._accelerator_lock = index, accelerator, threading.Lock()

    @classmethod
    def build(cls, vectors_ND: NDArray[np.float32], *, factory: str | None = None) -> DenseIndex:
        """Index unit vectors, fp32, in the kind that the table names, or as `factory` says; no rows is allowed."""
        faiss = _faiss()
        factory = factory or next(name for most, name in KINDS if len(vectors_ND) <= most)
        index = faiss.index_factory(vectors_ND.shape[1], factory, faiss.METRIC_INNER_PRODUCT)
        if isinstance(index, faiss.IndexHNSW):
            index.hnsw.efConstruction = EF_CONSTRUCTION
        for start in range(0, len(vectors_ND), _BLOCK):
            index.add(np.ascontiguousarray(vectors_ND[start : start + _BLOCK]))
        return cls(index, _on_gpu(index))

    @classmethod
    def load(cls, path: Path) -> DenseIndex:
        """Read what `save` wrote.

        Raises:
            OSError: the file is missing or damaged.
        """
        faiss = _faiss()
        try:
            index = faiss.read_index(str(path))
        except RuntimeError as error:  # FAISS knows no other
            raise OSError(f"{path.name}: cannot be read") from error
        return cls(index, _on_gpu(index))

    def save(self, path: Path) -> None:
        """Write the index to one file.

        Raises:
            OSError: the disk refuses.
        """
        faiss = _faiss()
        try:
            faiss.write_index(self._index, str(path))
        except RuntimeError as error:
            raise OSError(f"{path.name}: cannot be written") from error

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def nearest(
        self, query_D: NDArray[np.float32], *, k: int, allowed: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The (nearly) k nearest rows to a unit vector and their cosines, best first.

        Args:
            allowed: (n,), the rows that may be found; all if None. When they are few, the search is exact.
        """
        faiss = _faiss()
        num_allowed = len(self) if allowed is None else int(np.count_nonzero(allowed))
        k = min(k, num_allowed)
        if k < 1:
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        if self._accelerator is not None and (found := self._nearest_on_gpu(query_D, k, allowed)) is not None:
            return found
        if (
            allowed is not None
            and num_allowed < len(self)
            and num_allowed <= EXACT_ROWS
            and not isinstance(self._index, faiss.IndexFlat)
        ):
            rows = np.flatnonzero(allowed)
            cosines = self.similarities(query_D, rows)
            best = np.argsort(-cosines, kind="stable")[:k]
            return rows[best], cosines[best]
        return self._nearest_on_cpu(query_D, k, None if num_allowed == len(self) else allowed, num_allowed)

    def search(self, query_D: NDArray[np.float32], *, k: int, allowed: NDArray[np.bool_] | None = None) -> list[int]:
        """The rows of `nearest`."""
        return [int(row) for row in self.nearest(query_D, k=k, allowed=allowed)[0]]

    def similarities(
        self, query_D: NDArray[np.float32], rows: Sequence[int] | NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Cosine in [-1, 1] of a unit vector with each of `rows`."""
        if not len(rows):
            return np.zeros(0, np.float32)
        vectors_ND = self._index.reconstruct_batch(np.asarray(rows, np.int64))
        cosines: NDArray[np.float32] = np.clip(vectors_ND @ query_D, -1, 1)
        return cosines

    def _nearest_on_cpu(
        self, query_D: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None, num_allowed: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        faiss = _faiss()
        selector = None
        if allowed is not None:
            bits = np.packbits(allowed, bitorder="little")
            selector = faiss.IDSelectorBitmap(bits)  # both held by their names: FAISS keeps only pointers
        if isinstance(self._index, faiss.IndexHNSW):
            # A search keeps this many candidates, allowed or not; when half is not, it takes twice as many.
            effort = max(EF_SEARCH, 2 * k) * len(self) // num_allowed
            params = faiss.SearchParametersHNSW(efSearch=effort, sel=selector)
        else:
            params = faiss.SearchParameters(sel=selector)
        cosines, rows = self._index.search(query_D[None], k, params=params)
        found = rows[0] >= 0  # FAISS pads with -1 what it did not find
        return rows[0][found], np.clip(cosines[0][found], -1, 1)

    def _nearest_on_gpu(
        self, query_D: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]] | None:
        """Ask for more and drop what is not allowed; None if too few are left."""
        with self._accelerator_lock:  # a GPU index takes one search at a time
            most = k if allowed is None else min(_GPU_MOST, len(self))
            cosines, rows = self._accelerator.search(query_D[None], most)
        kept = rows[0] >= 0 if allowed is None else (rows[0] >= 0) & allowed[rows[0]]
        return (rows[0][kept][:k], np.clip(cosines[0][kept][:k], -1, 1)) if np.count_nonzero(kept) >= k else None


def _faiss() -> Any:
    import faiss

    return faiss


@contextmanager
def on_one_core() -> Iterator[None]:
    """What this thread asks of FAISS keeps to one core, so that building leaves the others to searches."""
    faiss = _faiss()
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)  # OpenMP keeps it per thread
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _on_gpu(index: Any) -> Any | None:
    """The rows of `index` in a flat index on the first GPU; None where faiss-gpu or a GPU is missing."""
    faiss = _faiss()
    if not hasattr(faiss, "StandardGpuResources") or not faiss.get_num_gpus():
        return None
    flat = faiss.IndexFlatIP(index.d)
    flat.add(index.reconstruct_n(0, index.ntotal))
    return faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, flat)
