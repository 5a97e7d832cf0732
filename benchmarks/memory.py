"""Which memories a question brings back: wanted ones against ones from another part of life.

    TRIVIUM_DATA=DIR python -m benchmarks.memory

PersistBench (MIT; made-up users): in `beneficial` the query needs some of the memories, in `cross_domain` none. A
memory is recalled when its cosine with the query reaches a threshold. The threshold was chosen on the even samples;
the odd ones give the figures, with a 95 % bootstrap interval over samples. The baseline recalls everything.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrieval.embed import MiniLMEmbedder
from verticals.support.memory.store import RELATED

THRESHOLDS = (0.0, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5)
DRAWS = 2_000


def main() -> None:
    """Print one row a threshold."""
    data = os.environ.get("TRIVIUM_DATA")
    if not data:
        raise SystemExit("TRIVIUM_DATA: needed, the folder of the development data.")
    folder = Path(data) / "support" / "persistbench"
    embedder = MiniLMEmbedder()
    wanted, unwanted = (
        _best_cosines(folder / name, embedder) for name in ("beneficial_samples.jsonl", "cross_domain.jsonl")
    )
    print(f"queries for which anything is recalled (odd samples); in force: {RELATED}")
    print(f"{'cosine':>8}{'needed':>24}{'of another domain':>24}{'chosen on: difference':>24}")
    for threshold in (-1.0, *THRESHOLDS):
        chosen = (wanted[::2] >= threshold).mean() - (unwanted[::2] >= threshold).mean()
        name = "all" if threshold < 0 else f"{threshold:.2f}"
        print(f"{name:>8}{_share(wanted[1::2] >= threshold)}{_share(unwanted[1::2] >= threshold)}{chosen:>24.3f}")


def _best_cosines(path: Path, embedder: MiniLMEmbedder) -> NDArray[np.float32]:
    """The likeliest memory's cosine with each query, shape (samples,)."""
    best = []
    for line in path.read_text("utf-8").splitlines():
        sample = json.loads(line)
        vectors = embedder.embed([sample["query"], *sample["memories"]])
        best.append((vectors[1:] @ vectors[0]).max())
    return np.array(best, np.float32)


def _share(hits: NDArray[np.bool_]) -> str:
    draws = np.random.default_rng(0).integers(0, len(hits), (DRAWS, len(hits)))
    low, high = np.quantile(hits[draws].mean(1), (0.025, 0.975))
    return f"{f'{hits.mean():.3f} ({low:.3f} to {high:.3f})':>24}"


if __name__ == "__main__":
    main()
