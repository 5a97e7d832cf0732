"""What feelings and courtesies before a question do to its search, and what leaving them out of the query mends.

Run from the repository root: python -m benchmarks.prefaces
Questions: all of verticals/support/knowledge/questions.jsonl that an article answers (synthetic; no threshold and no
word of `matter.py` was chosen on them). Prefaces: those below, written before the rule was first run and not changed
since; each question gets each of them. A search is right if an article that answers comes first. Intervals are 95 %
bootstrap over questions. A minute and a quarter of one core.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
from sqlalchemy import create_engine
from sqlalchemy.orm import sessionmaker

from retrieval.embed import MiniLMEmbedder
from retrieval.ingest import read_folder
from retrieval.store import KnowledgeBase
from retrieval.tables import Base
from verticals.bootstrap import bootstrap_interval
from verticals.support.demo import KNOWLEDGE_DIR
from verticals.support.matter import without_preface

PREFACES = (
    "This is a disgrace, I am furious.",
    "I am so disappointed in you people!",
    "Hi there, hope you are having a good day.",
    "Honestly, I have never been treated this badly in my life.",
    "I'm really worried and I can't sleep.",
    "What an absolute joke of a company!!",
    "this is the worst service ever.",
    "I love your shop, you are all so kind!",
)


def main() -> None:
    """Print the share of right searches without a preface, with one, and with one that is left out."""
    rows = [json.loads(line) for line in (KNOWLEDGE_DIR / "questions.jsonl").read_text("utf-8").splitlines()]
    asked = [(row["question"], {row["doc_id"], *row["also"]}) for row in rows if row["doc_id"]]
    with tempfile.TemporaryDirectory() as folder:
        engine = create_engine(f"sqlite:///{folder}/kb.db")
        Base.metadata.create_all(engine)
        knowledge = KnowledgeBase(sessionmaker(engine), MiniLMEmbedder(), Path(folder) / "index")
        knowledge.ingest(read_folder(KNOWLEDGE_DIR)[0], tenant="benchmark")

        def right(query: str, doc_ids: set[str]) -> bool:
            return knowledge.search(query, tenant="benchmark")[0].doc_id in doc_ids

        plain = [right(question, doc_ids) for question, doc_ids in asked]
        bare = [right(without_preface(question), doc_ids) for question, doc_ids in asked]
        whole = [np.mean([right(f"{p} {q}", ids) for p in PREFACES]) for q, ids in asked]
        left = [np.mean([right(without_preface(f"{p} {q}"), ids) for p in PREFACES]) for q, ids in asked]
        engine.dispose()
    gain = np.array(left) - np.array(whole)
    for name, values in (
        ("no preface, message as it is", plain),
        ("no preface, through the rule", bare),
        ("preface, message as it is", whole),
        ("preface, through the rule", left),
        ("the rule's gain", gain),
    ):
        low, high = bootstrap_interval(values)
        print(f"{name:30} {np.mean(values):.3f} ({low:.3f} to {high:.3f})  n={len(values)}")
    for preface in PREFACES:
        print(f"  {'left out' if without_preface(f'{preface} Why?') == 'Why?' else 'kept':9} {preface}")


if __name__ == "__main__":
    main()
