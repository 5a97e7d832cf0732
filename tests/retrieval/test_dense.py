"""Every kind of index against numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from retrieval import dense
from retrieval.dense import DenseIndex, on_one_core

RNG = np.random.default_rng(0)
VECTORS = RNG.normal(size=(40, 8)).astype(np.float32)
VECTORS /= np.linalg.norm(VECTORS, axis=1, keepdims=True)


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def mask(rows: np.ndarray, count: int = 40) -> np.ndarray:
    allowed = np.zeros(count, bool)
    allowed[rows] = True
    return allowed


QUERY = VECTORS[3] * 0.6 + VECTORS[7] * 0.4
QUERY /= np.linalg.norm(QUERY)


def test_the_nearest_rows_are_those_of_a_full_sort() -> None:
    assert DenseIndex.build(VECTORS).search(QUERY, k=10) == np.argsort(-(VECTORS @ QUERY))[:10].tolist()


def test_only_allowed_rows_are_found() -> None:
    rows = np.array([1, 5, 7, 30])

    found = DenseIndex.build(VECTORS).search(QUERY, k=10, allowed=mask(rows))

    assert found == rows[np.argsort(-(VECTORS[rows] @ QUERY))].tolist()
    assert DenseIndex.build(VECTORS).search(QUERY, k=10, allowed=mask(np.zeros(0, int))) == []


@pytest.mark.parametrize(("factory", "least"), [("Flat", 1.0), ("HNSW32_SQfp16", 0.95)])
@pytest.mark.parametrize("num_allowed", [2_000, 1_000, 300, 4])
def test_every_kind_finds_most_of_the_nearest_that_are_allowed(
    factory: str, least: float, num_allowed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dense, "EXACT_ROWS", 100)  # a table entry: the graph is searched with filters here, too
    vectors = unit(RNG.normal(size=(2_000, 32)))
    rows = RNG.choice(2_000, num_allowed, replace=False)
    with on_one_core():
        index = DenseIndex.build(vectors, factory=factory)

    share = []
    for query in unit(RNG.normal(size=(20, 32))):
        true = rows[np.argsort(-(vectors[rows] @ query))[:10]]
        found, cosines = index.nearest(query, k=10, allowed=mask(rows, 2_000))
        share.append(len(set(found) & set(true)) / len(true))
        assert set(found) <= set(rows)
        assert (np.diff(cosines) <= 0).all()

    assert np.mean(share) >= (1.0 if num_allowed == 4 else least)


def test_a_gpu_is_asked_first_and_the_cpu_when_too_few_of_its_answers_are_allowed() -> None:
    class Gpu:
        """Knows the same rows, but gives 6 results at most."""

        def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
            cosines = np.sort(-(VECTORS @ queries[0]))[:6] * -1
            return cosines[None], np.argsort(-(VECTORS @ queries[0]))[None, :6]

    nearest = np.argsort(-(VECTORS @ QUERY))
    index = DenseIndex(DenseIndex.build(VECTORS)._index, Gpu())

    assert index.search(QUERY, k=3, allowed=mask(nearest[1:])) == nearest[1:4].tolist()
    assert index.search(QUERY, k=3, allowed=mask(nearest[10:])) == nearest[10:13].tolist()


def test_similarities_are_the_cosines_of_the_rows_asked_for() -> None:
    index = DenseIndex.build(VECTORS)

    assert index.similarities(QUERY, [7, 0, 3]) == pytest.approx(VECTORS[[7, 0, 3]] @ QUERY)
    assert index.similarities(QUERY, []).shape == (0,)


def test_a_saved_index_answers_the_same(tmp_path: Path) -> None:
    index = DenseIndex.build(VECTORS)
    index.save(tmp_path / "dense.faiss")

    assert DenseIndex.load(tmp_path / "dense.faiss").search(QUERY, k=5) == index.search(QUERY, k=5)


def test_an_empty_index_finds_nothing() -> None:
    assert DenseIndex.build(np.zeros((0, 8), np.float32)).search(QUERY, k=5) == []


def test_a_file_that_cannot_be_read_or_written_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "damaged.faiss").write_bytes(b"no index")

    with pytest.raises(OSError, match=r"damaged\.faiss: cannot be read"):
        DenseIndex.load(tmp_path / "damaged.faiss")
    with pytest.raises(OSError, match=r"dense\.faiss: cannot be written"):
        DenseIndex.build(VECTORS).save(tmp_path / "missing" / "dense.faiss")
