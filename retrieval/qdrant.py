"""Near vectors in Qdrant: a collection an index. Ignores what rows mean. Needs the extra package qdrant-client."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.dense import EF_CONSTRUCTION, EF_SEARCH
from retrieval.vectors import Nearest, VectorIndex, VectorsAway, new_name, read_name, write_name

_PREFIX = "trivium-"
_BLOCK = 1_000  # rows sent at a time
_TIMEOUT_S = 10


class QdrantIndexes:
    """Indexes in one Qdrant.

    Args:
        url: Of the server; ":memory:" keeps all in this process, for trying out.
        api_key: Empty if it asks for none.
    Raises:
        ValueError: qdrant-client is not installed.
    """

    def __init__(self, url: str, *, api_key: str = "") -> None:
        try:
            from qdrant_client import QdrantClient
        except ImportError as error:
            raise ValueError(
                "vectors: qdrant needs an extra package. `pip install -c constraints.txt qdrant-client`."
            ) from error
        self._is_exact = url == ":memory:"  # which compares all, and knows no other way
        if self._is_exact:
            self._client = QdrantClient(url)
        else:
            self._client = QdrantClient(url=url, api_key=api_key or None, timeout=_TIMEOUT_S, trust_env=False)

    def build(self, vectors_ND: NDArray[np.float32]) -> VectorIndex:
        """As `VectorIndexes.build`."""
        from qdrant_client import models

        name, (num_rows, dim) = new_name(_PREFIX), vectors_ND.shape
        with _answering():
            self._client.create_collection(
                name,
                vectors_config=models.VectorParams(size=dim, distance=models.Distance.DOT),
                hnsw_config=models.HnswConfigDiff(ef_construct=EF_CONSTRUCTION),
            )
            for start in range(0, num_rows, _BLOCK):
                block = vectors_ND[start : start + _BLOCK]
                ids: list[Any] = list(range(start, start + len(block)))
                self._client.upsert(name, models.Batch(ids=ids, vectors=block.tolist()), wait=True)
        return _QdrantIndex(self._client, name, num_rows, is_exact=self._is_exact)

    def load(self, path: Path) -> VectorIndex:
        """As `VectorIndexes.load`."""
        name, num_rows = read_name(path, prefix=_PREFIX)
        try:
            with _answering():
                found = self._client.count(name, exact=True).count
        except VectorsAway as error:
            raise OSError(f"{path.name}: its collection cannot be read") from error
        if found != num_rows:
            raise OSError(f"{path.name}: its collection has {found} rows for {num_rows}")
        return _QdrantIndex(self._client, name, num_rows, is_exact=self._is_exact)

    def drop(self, path: Path) -> None:
        """As `VectorIndexes.drop`."""
        try:
            name, _ = read_name(path, prefix=_PREFIX)
            with _answering():
                self._client.delete_collection(name)
        except (OSError, VectorsAway):
            return

    def close(self) -> None:
        """As `VectorIndexes.close`."""
        self._client.close()


class _QdrantIndex:
    def __init__(self, client: Any, name: str, num_rows: int, *, is_exact: bool) -> None:
        self._client, self._name, self._num_rows, self._is_exact = client, name, num_rows, is_exact
        self.is_gone = False

    def __len__(self) -> int:
        return self._num_rows

    def save(self, path: Path) -> None:
        write_name(path, self._name, self._num_rows)

    def nearest(self, query_D: NDArray[np.float32], *, k: int, allowed: NDArray[np.bool_] | None = None) -> Nearest:
        from qdrant_client import models

        k = min(k, len(self) if allowed is None else int(np.count_nonzero(allowed)))
        if k < 1:
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        try:
            with _answering():
                points = self._client.query_points(
                    self._name,
                    query=query_D.tolist(),
                    query_filter=None if allowed is None else _filter(allowed),
                    search_params=None if self._is_exact else models.SearchParams(hnsw_ef=max(EF_SEARCH, 2 * k)),
                    limit=k,
                    with_payload=False,
                ).points
        except VectorsAway as error:
            cause = error.__cause__
            self.is_gone = isinstance(cause, ValueError) or getattr(cause, "status_code", None) == 404
            raise
        cosines = np.array([point.score for point in points], np.float32)
        return np.array([point.id for point in points], np.int64), np.clip(cosines, -1, 1)


def _filter(allowed: NDArray[np.bool_]) -> Any:
    """Names the allowed or the others, whichever are fewer."""
    from qdrant_client import models

    named = np.flatnonzero(allowed) if 2 * np.count_nonzero(allowed) < len(allowed) else np.flatnonzero(~allowed)
    has_id = models.HasIdCondition(has_id=named.tolist())
    is_named = bool(len(named)) and bool(allowed[named[0]])
    return models.Filter(must=[has_id]) if is_named else models.Filter(must_not=[has_id])


@contextmanager
def _answering() -> Iterator[None]:
    from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

    try:
        yield
    except (ResponseHandlingException, UnexpectedResponse, ValueError) as error:  # ValueError: in memory, no collection
        raise VectorsAway(f"qdrant: {type(error).__name__}") from error
