"""Recall and latency of the chosen nearest-neighbour index against a flat one, at 100,000 and at 1,000,000 vectors.

    TRIVIUM_DATA=... python -m benchmarks.ann      # first run: about an hour on one core; built indexes are kept

Vectors: MiniLM embeddings of 100,000 distinct real sentences (`benchmarks.sentences`); the other 900,000 are made of
them and are SYNTHETIC: a real vector moved by 0.3-0.7 of the difference of two other real ones, at length 1 again,
which keeps the directions in which real sentences differ. Queries: 1,000 further real sentences.
One thread. Intervals are 95 % bootstrap percentiles over queries.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

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
