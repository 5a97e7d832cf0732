"""The flat index against numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from retrieval.dense import DenseIndex

RNG = np.random.default_rng(0)
VECTORS = RNG.normal(size=(40, 8)).astype(np.float32)
VECTORS /= np.linalg.norm(VECTORS, axis=1, keepdims=True)
QUERY = VECTORS[3] * 0.6 + VECTORS[7] * 0.4
QUERY /= np.linalg.norm(QUERY)


def test_the_nearest_rows_are_those_of_a_full_sort() -> None:
    assert DenseIndex.build(VECTORS).search(QUERY, k=10) == np.argsort(-(VECTORS @ QUERY))[:10].tolist()


def test_only_allowed_rows_are_found() -> None:
    allowed = np.array([1, 5, 7, 30], np.int64)

    found = DenseIndex.build(VECTORS).search(QUERY, k=10, allowed=allowed)

    assert found == allowed[np.argsort(-(VECTORS[allowed] @ QUERY))].tolist()


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
