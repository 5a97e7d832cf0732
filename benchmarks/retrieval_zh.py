"""How well Chinese questions find Chinese and English articles: words, signs, dense, hybrid.

Run from the repository root: python -m benchmarks.retrieval_zh (needs the extra: pip install -e '.[multilingual]')
Data: verticals/support/knowledge_zh (42 articles, 84 questions, synthetic, written for this project) and, for Chinese
questions on English articles, verticals/support/knowledge. Nothing was chosen on these questions; the weights of the
hybrid are those chosen on English. Intervals are 95 % bootstrap percentiles over questions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.retrieval import DEPTH, interval
from retrieval import fusion, metrics
from retrieval.dense import DenseIndex
from retrieval.documents import Passage
from retrieval.embed import Embedder, MiniLMEmbedder
from retrieval.embed_multilingual import open_multilingual
from retrieval.ingest import read_folder
from retrieval.passages import cut, indexed_text
from retrieval.snapshot import RANK_WEIGHTS
from retrieval.words import english_words, quiet_bm25s, tokenize

SUPPORT = Path(__file__).parents[1] / "verticals" / "support"
_HAN = re.compile(r"[\u3400-\u9fff]")
Rank = Callable[[str], list[int]]  # question -> rows of passages, best first


def signs(texts: Sequence[str]) -> list[list[str]]:
    """The baseline without a dictionary: every Chinese sign is a word."""
    return [_HAN.findall(text) + words for text, words in zip(texts, english_words(texts), strict=True)]


def bm25(texts: Sequence[str], split: Callable[[Sequence[str]], list[list[str]]]) -> Rank:
    """Rank by BM25 over the words that `split` gives."""
    index = quiet_bm25s().BM25(method="lucene", k1=1.5, b=0.75)
    index.index(split(texts), show_progress=False)

    def rank(question: str) -> list[int]:
        words = split([question])[0]
        scores = index.get_scores(words) if words else np.zeros(len(texts))
        best = np.argsort(-scores, kind="stable")[:DEPTH]
        return [int(row) for row in best if scores[row] > 0]

    return rank


def dense(texts: Sequence[str], embedder: Embedder) -> Rank:
    """Rank by cosine."""
    index = DenseIndex.build(embedder.embed(texts))
    return lambda question: index.search(embedder.embed_query(question), k=DEPTH)


def hybrid(near: Rank, worded: Rank, weights: Sequence[float]) -> Rank:
    """Both rankings by reciprocal rank fusion."""
    return lambda question: [
        row for row, _ in fusion.reciprocal_rank([near(question), worded(question)], weights=weights)
    ]


def report(title: str, passages: Sequence[Passage], questions: Sequence[dict[str, Any]], *, prefix: str) -> None:
    """Print recall@5 (article among those of the 5 best passages) and nDCG@10 over articles of each system."""
    texts = [indexed_text(p.title, p.heading, p.text) for p in passages]
    worded, near = bm25(texts, tokenize), dense(texts, open_multilingual())
    systems: dict[str, Rank] = {
        "BM25, signs": bm25(texts, signs),
        "BM25, words": worded,
        "dense, English MiniLM": dense(texts, MiniLMEmbedder()),
        "dense, multilingual e5": near,
        "hybrid, as for English": hybrid(near, worded, RANK_WEIGHTS),
        "hybrid, equal weights": hybrid(near, worded, (1.0, 1.0)),
    }
    for kinds in (["sentence"], ["keyword"], ["sentence", "keyword"]):
        chosen = [question for question in questions if question["kind"] in kinds]
        print(f"\n{title}, {' + '.join(kinds)}: {len(chosen)} questions, {len(passages)} passages")
        found: dict[str, np.ndarray[Any, np.dtype[np.float64]]] = {}
        for system, rank in systems.items():
            values = []
            for question in chosen:
                relevant = question["doc_id"].removeprefix(prefix)
                rows = rank(question["question"])
                articles = list(dict.fromkeys(passages[row].doc_id for row in rows))
                hit = float(relevant in {passages[row].doc_id for row in rows[:5]})
                values.append((hit, metrics.ndcg_at_k(articles, {relevant: 1.0}, 10)))
            found[system] = np.array(values)
            cells = []
            for column, name in enumerate(("recall@5", "nDCG@10")):
                low, high = interval(found[system][:, column], np.mean)
                cells.append(f"{name} {found[system][:, column].mean():.3f} [{low:.3f}, {high:.3f}]")
            print(f"  {system:24s}", "  ".join(cells))
        for better, than in (("BM25, words", "BM25, signs"), ("hybrid, as for English", "dense, multilingual e5")):
            gain = (found[better] - found[than])[:, 1]
            low, high = interval(gain, np.mean)
            print(f"  {better} minus {than}: nDCG@10 {gain.mean():+.3f} [{low:+.3f}, {high:+.3f}]")


def main() -> None:
    """Print the whole report."""
    folder = SUPPORT / "knowledge_zh"
    questions = [json.loads(line) for line in (folder / "questions.jsonl").read_text("utf-8").splitlines()]
    for title, path, prefix in (
        ("Chinese articles", folder, ""),
        ("English articles", SUPPORT / "knowledge", "zh-"),
    ):
        passages = [passage for document in read_folder(path)[0] for passage in cut(document)]
        report(title, passages, questions, prefix=prefix)


if __name__ == "__main__":
    main()
