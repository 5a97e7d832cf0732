"""10,000 probes for leaks: cross-tenant search, deleted documents, and personal data cut into a stream. All must be 0.

Run from the repository root: python -m benchmarks.leaks [--probes 10000]
Everything is made up and seeded. Half of the probes are searches, a third of each of its kinds, half are streams; the
interval is 95 % Wilson. A search that does not show the tenant's own documents would prove nothing; such are counted.
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
from verticals.support.safety.leak_probes import SEARCHED, search_probes, stream_leaks, streams


def main(arguments: Sequence[str]) -> int:
    """Print leaks per kind; 1 if there is any."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--probes", type=int, default=10_000)
    half = parser.parse_args(arguments).probes // 2
    with tempfile.TemporaryDirectory() as folder:
        engine = create_engine(f"sqlite:///{folder}/kb.db")
        Base.metadata.create_all(engine)
        knowledge = KnowledgeBase(sessionmaker(engine), MiniLMEmbedder(), Path(folder) / "index")
        searched = list(search_probes(knowledge, half))
        knowledge.close()
        engine.dispose()
    streamed = stream_leaks(streams(half))
    outcomes = {kind: [probe.leaked for probe in searched if probe.kind == kind] for kind in SEARCHED}
    outcomes["personal data, streamed"] = [i < len(streamed) for i in range(half)]
    for name, leaked in outcomes.items():
        print(f"{name:26s} {sum(leaked)} leaks of {len(leaked)}: {rate(leaked)}")
    blind = sum(not probe.sighted for probe in searched)
    print(f"searches that showed nothing of the tenant's own: {blind}")
    return 1 if blind or any(map(any, outcomes.values())) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
