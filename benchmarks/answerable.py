"""Which rule tells questions that the articles answer from others, by embedder and language, and how well.

Run from the repository root: python -m benchmarks.answerable (needs the extra: pip install -e '.[multilingual]')
Data: verticals/support/knowledge (English) and knowledge_zh (Chinese; its questions without an article
are those of the English set, translated), synthetic. For each rule: the threshold that `dev` chooses, and on `test`, at
the threshold in force, how many answerable questions are answered, with a right article first among the evidence, and
how many others are declined. Intervals are 95 % Wilson.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sqlalchemy import create_engine
from sqlalchemy.orm import sessionmaker

from benchmarks.safety_setting import rate
from retrieval.documents import Hit
from retrieval.embed import Embedder, MiniLMEmbedder, reads
from retrieval.embed_multilingual import open_multilingual
from retrieval.ingest import read_folder
from retrieval.store import KnowledgeBase
from retrieval.tables import Base
from verticals.support.agent import NUM_PASSAGES
from verticals.support.answerable import ANSWERABLE_COVERAGE, best_similarity, threshold_of, word_coverage
from verticals.support.evals import choose_threshold

SUPPORT = Path(__file__).parents[1] / "verticals" / "support"
TENANT = "answerable"
Score = Callable[[str, Sequence[Hit]], float]


@dataclass(frozen=True)
class Asked:
    """A question with what was found for it; `doc_ids` are the articles that answer it."""

    text: str
    doc_ids: frozenset[str]
    split: str
    hits: Sequence[Hit]


def ask_all(folder: Path, embedder: Embedder) -> list[Asked]:
    """Every question of a folder, searched in its articles as the agent does."""
    rows = [json.loads(line) for line in (folder / "questions.jsonl").read_text("utf-8").splitlines()]
    with tempfile.TemporaryDirectory() as scratch:
        engine = create_engine(f"sqlite:///{scratch}/kb.db")
        Base.metadata.create_all(engine)
        knowledge = KnowledgeBase(sessionmaker(engine), embedder, Path(scratch) / "index")
        knowledge.ingest(read_folder(folder)[0], tenant=TENANT)
        asked = []
        for row in rows:
            right = frozenset({row["doc_id"], *row.get("also", [])} if row["doc_id"] else ())
            hits = knowledge.search(row["question"], tenant=TENANT, k=NUM_PASSAGES)
            asked.append(Asked(row["question"], right, row["split"], hits))
        knowledge.close()
        engine.dispose()
    return asked


def report(title: str, asked: Sequence[Asked], score: Score, *, in_force: float, step: float) -> None:
    """Print what dev chooses, and the test half at the threshold in force."""
    scores = np.array([score(one.text, one.hits) for one in asked])
    known = np.array([bool(one.doc_ids) for one in asked])
    dev = np.array([one.split == "dev" for one in asked])
    found = np.array([any(hit.doc_id in one.doc_ids for hit in one.hits) for one in asked])
    first = np.array([bool(one.hits) and one.hits[0].doc_id in one.doc_ids for one in asked])
    print(f"\n{title}: dev chooses {choose_threshold(scores[dev], known[dev], step=step):.3f}, in force {in_force:.3f}")
    for split, of_split in (("dev", dev), ("test", ~dev)):
        answered = scores >= in_force
        print(f"  {split:4s} recall@{NUM_PASSAGES} {rate(found[of_split & known].tolist())}")
        print(f"       answered            {rate(answered[of_split & known].tolist())}")
        print(f"       answered and right  {rate((answered & first)[of_split & known].tolist())}")
        print(f"       others declined     {rate((~answered)[of_split & ~known].tolist())}")


def main() -> None:
    """Print the whole report."""
    for name, embedder in (("MiniLM", MiniLMEmbedder()), ("multilingual e5", open_multilingual())):
        for language, folder in (("English", SUPPORT / "knowledge"), ("Chinese", SUPPORT / "knowledge_zh")):
            asked = ask_all(folder, embedder)
            text = asked[0].text
            if reads(embedder, text):
                title, score, in_force = "cosine", lambda _, hits: best_similarity(hits), threshold_of(embedder, text)
            else:
                title, score, in_force = "word coverage", word_coverage, ANSWERABLE_COVERAGE
            report(f"{language} questions, {name}, {title}", asked, score, in_force=in_force, step=0.001)


if __name__ == "__main__":
    main()
