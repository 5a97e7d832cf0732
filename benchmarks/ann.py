"""Recall and latency of the chosen nearest-neighbour index against a flat one, at 100,000 and at 1,000,000 vectors.

    TRIVIUM_DATA=... python -m benchmarks.ann      # first run: half an hour on one core; built indexes are kept

Vectors: MiniLM embeddings of 100,000 distinct real sentences (`benchmarks.sentences`); the other 900,000 are made of
them and are SYNTHETIC: a real vector moved by 0.3-0.7 of the difference of two other real ones, at length 1 again,
which keeps the directions in which real sentences differ. Queries: 1,000 further real sentences.
One thread; times include what Python adds. CPU time stands beside wall time, which other programs lengthen.
Intervals are 95 % bootstrap percentiles over queries.
"""

from __future__ import annotations

import sys
import time

import numpy as np
from numpy.typing import NDArray

from benchmarks.sentences import CACHE, load_sentences
from benchmarks.setting import machine
from retrieval.dense import KINDS, DenseIndex, on_one_core

K = 10
NUM_VECTORS = 1_000_000


def enlarge(vectors_ND: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """The vectors, followed by synthetic ones up to `count` rows in all; the same every time."""
    rng = np.random.default_rng(0)
    out_MD = np.empty((count, vectors_ND.shape[1]), np.float32)
    out_MD[: len(vectors_ND)] = vectors_ND
    for start in range(len(vectors_ND), count, 50_000):
        rows = slice(start, min(start + 50_000, count))
        i, j, k = rng.integers(0, len(vectors_ND), (3, rows.stop - start))
        moved_BD = vectors_ND[i] + rng.uniform(0.3, 0.7, (len(i), 1)) * (vectors_ND[j] - vectors_ND[k])
        out_MD[rows] = moved_BD / np.linalg.norm(moved_BD, axis=1, keepdims=True)
    return out_MD


def build_or_load(vectors_ND: NDArray[np.float32]) -> DenseIndex:
    """The index that the table of retrieval.dense chooses for so many rows."""
    file = CACHE / f"{len(vectors_ND)}-{KINDS[-1][1]}.faiss"
    if not file.is_file():
        start = time.process_time()
        index = DenseIndex.build(vectors_ND)
        print(f"  built in {time.process_time() - start:.0f} s of one core")
        index.save(file)
    return DenseIndex.load(file)


def measure(index: DenseIndex, queries_QD: NDArray[np.float32]) -> tuple[list[list[int]], NDArray[np.float64]]:
    """Rows found for each query, and (wall, CPU) milliseconds of each search."""
    found, times = [], []
    for query_D in queries_QD:
        wall, cpu = time.perf_counter(), time.thread_time()
        found.append(index.search(query_D, k=K))
        times.append((time.perf_counter() - wall, time.thread_time() - cpu))
    return found, np.array(times) * 1e3


def report(name: str, found: list[list[int]], truth: list[list[int]], times: NDArray[np.float64]) -> None:
    """Print recall@10 and times of one index."""
    recall = np.array([len(set(rows) & set(true)) / K for rows, true in zip(found, truth, strict=True)])
    draws = np.random.default_rng(0).choice(recall, (2_000, len(recall))).mean(axis=1)
    low, high = np.percentile(draws, [2.5, 97.5])
    (wall50, cpu50), (wall99, cpu99) = np.percentile(times, [50, 99], axis=0)
    print(
        f"  {name:14s} recall@10 {recall.mean():.4f} [{low:.4f}, {high:.4f}]"
        f"  wall ms p50 {wall50:.2f} p99 {wall99:.2f}  CPU ms p50 {cpu50:.2f} p99 {cpu99:.2f}"
    )


def main() -> int:
    """Print both sizes."""
    real = load_sentences()
    print(machine())
    for count in (len(real.texts), NUM_VECTORS):
        vectors_ND = enlarge(real.vectors_ND, count)
        flat = DenseIndex.build(vectors_ND, factory="Flat")
        print(f"{count:,} vectors ({len(real.texts):,} real), {len(real.queries):,} real queries")
        chosen = build_or_load(vectors_ND)
        found, times = measure(chosen, real.queries_QD)
        truth, flat_times = measure(flat, real.queries_QD)
        report(KINDS[-1][1], found, truth, times)
        report("Flat", truth, truth, flat_times)
    return 0


if __name__ == "__main__":
    with on_one_core():
        sys.exit(main())
