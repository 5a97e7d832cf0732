"""Which neighbouring sentences of an article answer a question: ways to choose them, with a model and without.

    python -m benchmarks.evidence dev|test

Questions of verticals/support/knowledge/questions.jsonl whose best passage comes from a right article and holds a
sentence that answers them (`answers`, marked by hand before any way was tried; where the choice of three cannot go
wrong, `dev` alone is marked). A way is right if the sentences that it chose hold that sentence. Ways:
    first           the first sentences
    shared words    `choose_evidence`: rare words count most
    windows         each window embedded apart, below title and heading: what the agent did until 2026-11
    late chunking   states of the passage's own forward pass, pooled by window (Günther 2024, arXiv:2409.04701)
    late + title    the same with the states of title and heading
`dev` chose; of `test` are the first and the last way of the agent. Intervals are 95 % bootstrap over questions.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import create_engine
from sqlalchemy.orm import sessionmaker

from retrieval.documents import Hit
from retrieval.embed import MiniLMEmbedder, read_encoder
from retrieval.grounding import choose_evidence
from retrieval.ingest import read_folder
from retrieval.passages import indexed_text
from retrieval.sentences import Sentence, split_sentences
from retrieval.store import KnowledgeBase
from retrieval.tables import Base
from verticals.bootstrap import bootstrap_interval
from verticals.support.demo import KNOWLEDGE_DIR

LENGTHS = (1, 2, 3)  # sentences of a window; the agent chooses three
AGENT = ("windows", "shared words")  # before and after


class Ways:
    """Every way but the agent's own: scores of windows of one passage's sentences."""

    def __init__(self, embedder: MiniLMEmbedder) -> None:
        self._embedder, self._tokenizer = embedder, read_encoder().tokenizer

    def score(self, question: str, hit: Hit, windows: Sequence[Sequence[Sentence]]) -> Mapping[str, Sequence[float]]:
        """Score of each window by way."""
        query_D = self._embedder.embed_query(question)
        context = f"{hit.title}. {hit.heading}" if hit.heading else hit.title
        texts = [f"{context}: {' '.join(sentence.text for sentence in window)}" for window in windows]
        states_TD, places = self._states(hit)
        head = [t for t, (start, end) in enumerate(places) if start < end <= 0]
        inside = [[t for s in window for t, p in enumerate(places) if _is_in(p, s)] for window in windows]
        return {
            "first": [0.0] * len(windows),
            "windows": list(self._embedder.embed(texts) @ query_D),
            "late chunking": [_unit(states_TD[rows].mean(0)) @ query_D for rows in inside],
            "late + title": [_unit(states_TD[head + rows].mean(0)) @ query_D for rows in inside],
        }

    def _states(self, hit: Hit) -> tuple[NDArray[np.float32], list[tuple[int, int]]]:
        """States of the passage's word pieces and where each stands in its text; negative in title and heading."""
        text = indexed_text(hit.title, hit.heading, hit.text)
        (states_TD,) = self._embedder.embed_tokens([text])
        above = len(text) - len(hit.text)
        offsets = self._tokenizer.encode(text).offsets[: len(states_TD)]
        return states_TD, [(start - above, end - above) if end else (0, 0) for start, end in offsets]


def _is_in(place: tuple[int, int], sentence: Sentence) -> bool:
    return place[0] < place[1] and sentence.start <= place[0] and place[1] <= sentence.end


def _unit(vector_D: NDArray[np.float32]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = vector_D / np.linalg.norm(vector_D)
    return unit


def choose(ways: Ways, question: str, hits: Sequence[Hit], length: int) -> dict[str, str]:
    """The text that each way chooses of the best passage."""
    best = hits[0]
    sentences = split_sentences(best.text, heading=best.heading.split(" > ")[-1])
    windows = [sentences[start : start + length] for start in range(max(1, len(sentences) - length + 1))]
    texts = [" ".join(sentence.text for sentence in window) for window in windows]
    chosen = {name: texts[int(np.argmax(scores))] for name, scores in ways.score(question, best, windows).items()}
    evidence = [one.text for one in choose_evidence(question, hits, length=length) if one.source == 0]
    return chosen | {"shared words": " ".join(evidence)}


def main() -> None:
    """Print how often each way is right."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("split", choices=("dev", "test"))
    split = parser.parse_args().split
    lines = (KNOWLEDGE_DIR / "questions.jsonl").read_text("utf-8").splitlines()
    questions = [q for q in map(json.loads, lines) if q["split"] == split and q.get("answers")]
    embedder = MiniLMEmbedder()
    ways = Ways(embedder)
    with tempfile.TemporaryDirectory() as folder:
        engine = create_engine(f"sqlite:///{folder}/kb.db")
        Base.metadata.create_all(engine)
        knowledge = KnowledgeBase(sessionmaker(engine), embedder, Path(folder) / "index")
        knowledge.ingest(read_folder(KNOWLEDGE_DIR)[0], tenant="benchmark")
        found = [knowledge.search(q["question"], tenant="benchmark") for q in questions]
        engine.dispose()
    print(f"{split}: {len(questions)} questions")
    for length in LENGTHS:
        rows = [choose(ways, q["question"], hits, length) for q, hits in zip(questions, found, strict=True)]
        right = {
            name: [any(answer in row[name] for answer in q["answers"]) for q, row in zip(questions, rows, strict=True)]
            for name in rows[0]
        }
        for name in right if split == "dev" else AGENT:
            low, high = bootstrap_interval(right[name])
            print(f"  {length} sentences  {name:14} {np.mean(right[name]):.3f} [{low:.3f}, {high:.3f}]")
        gain = np.array(right[AGENT[1]], float) - np.array(right[AGENT[0]], float)
        low, high = bootstrap_interval(gain)
        print(f"  {length} sentences  {AGENT[1]} minus {AGENT[0]}: {gain.mean():+.3f} [{low:+.3f}, {high:+.3f}]")


if __name__ == "__main__":
    main()
