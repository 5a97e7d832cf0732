"""How well the support articles are found: dense, BM25, fusions, rerankers; when to say "I don't know".

Run from the repository root: python -m benchmarks.retrieval
Data: verticals/support/knowledge/questions.jsonl (synthetic, written for this project). Fusion weights and threshold
are chosen on `dev`; `test` is only reported. Intervals are 95 % bootstrap percentiles over questions.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval import fusion, metrics
from retrieval.dense import DenseIndex
from retrieval.documents import Hit, Passage
from retrieval.embed import MiniLMEmbedder
from retrieval.ingest import read_folder
from retrieval.lexical import LexicalIndex
from retrieval.passages import cut, indexed_text
from retrieval.ranker import LinearRanker
from retrieval.rerank import LateInteraction, Reranker, rerank
from retrieval.view import RANK_WEIGHTS

KNOWLEDGE = Path(__file__).parents[1] / "verticals" / "support" / "knowledge"
DEPTH = 50  # candidates of each index, as in KnowledgeBase.search
RESAMPLES = 2_000
RERANKED = 20  # of the hybrid ranking
SHARES = (0.5, 0.7, 0.9)  # of dense in the convex combinations
HYBRID = "RRF, weighted"  # what KnowledgeBase.search does


@dataclass(frozen=True)
class Ranked:
    """What each system returned for one question, rows best first; the cosine of every row; what was reranked."""

    question: dict[str, Any]
    rows: dict[str, list[int]]
    cosines: NDArray[np.float32]
    hits: list[Hit]


def rank_all(
    passages: Sequence[Passage],
    questions: Sequence[dict[str, Any]],
    *,
    embedder: MiniLMEmbedder,
    rerankers: Mapping[str, Reranker],
) -> list[Ranked]:
    """Rank every question with every system."""
    texts = [indexed_text(p.title, p.heading, p.text) for p in passages]
    dense, lexical = DenseIndex.build(embedder.embed(texts)), LexicalIndex.build(texts)
    vectors = embedder.embed([question["question"] for question in questions])
    ranked = []
    for question, query_D in zip(questions, vectors, strict=True):
        near = dense.search(query_D, k=DEPTH)
        worded = lexical.search(question["question"], k=DEPTH)
        cosines = dense.similarities(query_D, range(len(dense)))
        scores = lexical.scores(question["question"])
        rows = {
            "BM25": worded,
            "dense": near,
            "RRF, equal": [row for row, _ in fusion.reciprocal_rank([near, worded])],
            HYBRID: [row for row, _ in fusion.reciprocal_rank([near, worded], weights=RANK_WEIGHTS)],
        }
        for share in SHARES:
            scored = [{row: float(given[row]) for row in {*near, *worded}} for given in (cosines, scores)]
            fused = fusion.convex_combination(scored, weights=[share, 1 - share], floors=[None, 0.0])
            rows[f"convex, {share}"] = [row for row, _ in fused]
        hits = to_hits(rows[HYBRID][:RERANKED], passages, cosines)
        for name, reranker in rerankers.items():
            again = [hit.metadata["row"] for hit in rerank(reranker, question["question"], hits)]
            rows[name] = again + rows[HYBRID][RERANKED:]
        ranked.append(Ranked(question, rows, cosines, hits))
    return ranked


def make_rerankers(embedder: MiniLMEmbedder) -> dict[str, Reranker]:
    """Those that are compared."""
    late = LateInteraction(embedder)
    return {"late": late, "ranker": LinearRanker.load(late=late), "ranker, no late": LinearRanker.load()}


def to_hits(rows: Sequence[int], passages: Sequence[Passage], cosines: NDArray[np.float32]) -> list[Hit]:
    """Rows as a search returns them."""
    found = [(row, passages[row]) for row in rows]
    return [
        Hit(p.passage_id, p.doc_id, p.title, p.heading, p.text, 0.0, float(cosines[row]), {"row": row})
        for row, p in found
    ]


def interval(values: NDArray[np.float64], statistic: Callable[[NDArray[np.float64]], float]) -> tuple[float, float]:
    """95 % bootstrap percentiles of a statistic over the rows of `values`."""
    rng = np.random.default_rng(0)
    draws = [statistic(values[rng.integers(0, len(values), len(values))]) for _ in range(RESAMPLES)]
    low, high = np.percentile(draws, [2.5, 97.5])
    return float(low), float(high)


def report_ranking(ranked: Sequence[Ranked], passages: Sequence[Passage], *, split: str, kinds: Sequence[str]) -> None:
    """Print recall@5 (article among those of the 5 best passages), nDCG@10 and MRR over articles, per system."""
    chosen = [
        r
        for r in ranked
        if r.question["doc_id"] is not None and r.question["split"] == split and r.question["kind"] in kinds
    ]
    print(f"\n{split}, {' + '.join(kinds)}: {len(chosen)} answerable questions, {len(passages)} passages")
    table: dict[str, NDArray[np.float64]] = {}
    for system in chosen[0].rows:
        values = []
        for r in chosen:
            relevant = {r.question["doc_id"], *r.question["also"]}
            articles = list(dict.fromkeys(passages[row].doc_id for row in r.rows[system]))
            seen = {passages[row].doc_id for row in r.rows[system][:5]}
            ndcg = metrics.ndcg_at_k(articles, dict.fromkeys(relevant, 1.0), 10)
            values.append((float(bool(seen & relevant)), ndcg, metrics.reciprocal_rank(articles, relevant)))
        table[system] = np.array(values)
        cells = []
        for column, name in enumerate(("recall@5", "nDCG@10", "MRR")):
            low, high = interval(table[system][:, column], np.mean)
            cells.append(f"{name} {table[system][:, column].mean():.3f} [{low:.3f}, {high:.3f}]")
        print(f"  {system:15s}", "  ".join(cells))
    best = max(("BM25", "dense"), key=lambda system: table[system][:, 1].mean())
    gain = table[HYBRID] - table[best]
    for column, name in enumerate(("recall@5", "nDCG@10")):
        low, high = interval(gain[:, column], np.mean)
        print(f"  {HYBRID} minus {best}: {name} {gain[:, column].mean():+.3f} [{low:+.3f}, {high:+.3f}]")


def report_latency(ranked: Sequence[Ranked], rerankers: Mapping[str, Reranker]) -> None:
    """Print what a reranker takes of a request when it knows all passages."""
    for name, reranker in rerankers.items():
        times_ms = []
        for r in ranked:
            start = time.perf_counter()
            reranker.score(r.question["question"], r.hits)
            times_ms.append(1_000 * (time.perf_counter() - start))
        p50, p99 = np.percentile(times_ms, [50, 99])
        print(f"{name}: {RERANKED} passages in {p50:.1f} ms, p99 {p99:.1f} ms ({len(times_ms)} questions)")


def auroc(labelled: NDArray[np.float64]) -> float:
    """Chance that an answerable question has the higher signal; rows are (signal, 1 if answerable)."""
    yes, no = labelled[labelled[:, 1] == 1, 0], labelled[labelled[:, 1] == 0, 0]
    if not len(yes) or not len(no):
        return float("nan")
    return float(((yes[:, None] > no) + 0.5 * (yes[:, None] == no)).mean())


def report_threshold(ranked: Sequence[Ranked]) -> None:
    """Choose on dev the cosine below which a question is refused; print what it does on test."""
    splits = {}
    for split in ("dev", "test"):
        splits[split] = np.array(
            [
                (max(r.cosines[r.rows[HYBRID][:5]]), float(r.question["doc_id"] is not None))
                for r in ranked
                if r.question["split"] == split
            ]
        )

    def rates(labelled: NDArray[np.float64], threshold: float) -> tuple[float, float]:
        answered = labelled[:, 0] >= threshold
        return float(answered[labelled[:, 1] == 1].mean()), float((~answered)[labelled[:, 1] == 0].mean())

    candidates = np.round(np.arange(0.2, 0.7, 0.01), 2)
    sums = np.array([sum(rates(splits["dev"], t)) for t in candidates])
    threshold = float(np.median(candidates[sums == sums.max()]))  # the middle of the best plateau
    print("\nThreshold on the best cosine among the 5 hits (largest sum of both rates on dev)")
    for split, labelled in splits.items():
        yes, no = labelled[labelled[:, 1] == 1], labelled[labelled[:, 1] == 0]
        answered, refused = rates(labelled, threshold)
        a, b = interval(yes, lambda rows: float((rows[:, 0] >= threshold).mean()))
        c, d = interval(no, lambda rows: float((rows[:, 0] < threshold).mean()))
        e, f = interval(labelled, auroc)
        print(f"  {split}, threshold {threshold:.2f}:")
        print(f"    answerable answered {answered:.3f} [{a:.3f}, {b:.3f}] (n={len(yes)})")
        print(f"    unanswerable refused {refused:.3f} [{c:.3f}, {d:.3f}] (n={len(no)})")
        print(f"    AUROC {auroc(labelled):.3f} [{e:.3f}, {f:.3f}]")
    print("  other thresholds on dev (answered, refused):")
    for t in (0.3, 0.35, 0.4, 0.45, 0.5, 0.55):
        print(f"    {t:.2f}: {rates(splits['dev'], t)[0]:.3f} {rates(splits['dev'], t)[1]:.3f}")


def main() -> int:
    """Print the whole report."""
    documents, problems = read_folder(KNOWLEDGE)
    for problem in problems:
        print(f"left out {problem.source}: {problem.reason}")
    passages = [passage for document in documents for passage in cut(document)]
    questions = [json.loads(line) for line in (KNOWLEDGE / "questions.jsonl").read_text("utf-8").splitlines()]
    start = time.perf_counter()
    embedder = MiniLMEmbedder()
    rerankers = make_rerankers(embedder)
    ranked = rank_all(passages, questions, embedder=embedder, rerankers=rerankers)
    print(f"{len(documents)} articles, {len(questions)} questions: {time.perf_counter() - start:.1f} s with loading")
    for split in ("dev", "test"):
        for kinds in (["sentence"], ["keyword"], ["sentence", "keyword"]):
            report_ranking(ranked, passages, split=split, kinds=kinds)
    report_latency(ranked, rerankers)
    report_threshold(ranked)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
