"""10,000 probes for leaks: cross-tenant search, deleted documents, and personal data cut into a stream. All must be 0.

Run from the repository root: python -m benchmarks.leaks [--probes 10000]
Everything is made up and seeded. Half of the probes are searches, half streams; the interval is 95 % Wilson.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import create_engine
from sqlalchemy.orm import sessionmaker

from benchmarks.safety_setting import rate
from retrieval.embed import MiniLMEmbedder
from retrieval.store import KnowledgeBase
from retrieval.tables import Base
from verticals.support.safety.leak_probes import search_leaks, stream_leaks, streams


def main(arguments: Sequence[str]) -> int:
    """Print leaks per kind; 1 if there is any."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--probes", type=int, default=10_000)
    half = parser.parse_args(arguments).probes // 2
    with tempfile.TemporaryDirectory() as folder:
        engine = create_engine(f"sqlite:///{folder}/kb.db")
        Base.metadata.create_all(engine)
        knowledge = KnowledgeBase(sessionmaker(engine), MiniLMEmbedder(), Path(folder) / "index")
        searched = len(search_leaks(knowledge, half))
        engine.dispose()
    streamed = len(stream_leaks(streams(half)))
    for name, leaks in (("cross-tenant and deleted, searched", searched), ("personal data, streamed", streamed)):
        print(f"{name:36s} {leaks} leaks of {half}: {rate([i < leaks for i in range(half)])}")
    return 1 if searched or streamed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
