"""Recall and latency of the same vectors in this process (FAISS), in PostgreSQL with pgvector and in Qdrant.

    python -m benchmarks.vectors --pgvector postgresql+psycopg://user@host/db [--qdrant http://host:6333] [--rows 20000]

Vectors and queries are SYNTHETIC: 384 numbers of 32 hidden ones, of length 1. What is left out is not measured.
Against FAISS's flat index, which is exact; the masks allow a tenth of the rows. One client; wall times include Python
and the way to the server. Intervals: 95 % bootstrap percentiles over queries.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np
from numpy.typing import NDArray

from benchmarks.setting import machine
from retrieval.dense import DenseIndex, FaissIndexes
from retrieval.pgvector import PgVectorIndexes
from retrieval.qdrant import QdrantIndexes
from retrieval.vectors import VectorIndex, VectorIndexes
from service.storage import open_database

K = 10
NUM_QUERIES = 200


def make_vectors(rng: np.random.Generator, hidden_HD: NDArray[np.float64], count: int) -> NDArray[np.float32]:
    """Unit vectors near a plane of 32 dimensions, as texts' are."""
    vectors_ND = rng.normal(size=(count, len(hidden_HD))) @ hidden_HD + 0.1 * rng.normal(
        size=(count, hidden_HD.shape[1])
    )
    unit_ND: NDArray[np.float32] = (vectors_ND / np.linalg.norm(vectors_ND, axis=1, keepdims=True)).astype(np.float32)
    return unit_ND


def measure(
    name: str,
    index: VectorIndex,
    truth: VectorIndex,
    queries_QD: NDArray[np.float32],
    allowed: NDArray[np.bool_] | None,
) -> None:
    """Print recall@10 and times."""
    recall, times = [], []
    for query_D in queries_QD:
        start = time.perf_counter()
        found = index.nearest(query_D, k=K, allowed=allowed)[0]
        times.append((time.perf_counter() - start) * 1e3)
        recall.append(len(set(found) & set(truth.nearest(query_D, k=K, allowed=allowed)[0])) / K)
    draws = np.random.default_rng(0).choice(recall, (2_000, len(recall))).mean(axis=1)
    low, high = np.percentile(draws, [2.5, 97.5])
    p50, p99 = np.percentile(times, [50, 99])
    which = "all rows" if allowed is None else "a tenth"
    times_text = f"ms p50 {p50:.2f} p99 {p99:.2f}"
    print(f"  {name:9s} {which:9s} recall@10 {np.mean(recall):.4f} [{low:.4f}, {high:.4f}]  {times_text}")


def main() -> int:
    """Print each kind with and without a mask."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pgvector", help="SQLAlchemy URL of a PostgreSQL with pgvector")
    parser.add_argument("--qdrant", help="address of a Qdrant")
    parser.add_argument("--rows", type=int, default=20_000)
    asked = parser.parse_args()
    rng = np.random.default_rng(0)
    hidden_HD = rng.normal(size=(32, 384))
    vectors_ND, queries_QD = make_vectors(rng, hidden_HD, asked.rows), make_vectors(rng, hidden_HD, NUM_QUERIES)
    allowed = rng.random(asked.rows) < 0.1
    truth = DenseIndex.build(vectors_ND, factory="Flat")
    kinds: dict[str, VectorIndexes] = {"faiss": FaissIndexes()}
    if asked.pgvector:
        kinds["pgvector"] = PgVectorIndexes(open_database(asked.pgvector))
    if asked.qdrant:
        kinds["qdrant"] = QdrantIndexes(asked.qdrant)
    print(machine())
    for name, indexes in kinds.items():
        start = time.perf_counter()
        index = indexes.build(vectors_ND)
        print(f"  {name:9s} {asked.rows:,} rows built in {time.perf_counter() - start:.1f} s")
        for mask in (None, allowed):
            measure(name, index, truth, queries_QD, mask)
    return 0


if __name__ == "__main__":
    sys.exit(main())
