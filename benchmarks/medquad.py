"""MedQuAD: does a question find its answer? BM25, dense, fusions and rerankers over 15,791 answers of health sites.

    python -m benchmarks.medquad DATA      DATA: a folder that holds medquad.tar.xz (Ben Abacha 2019, CC BY 4.0)

An item is an answer as it stands: no title, no question. Equal answers are one item. Questions that open an answer are
taken off it (one site's answers repeat theirs), and an answer that is given about several conditions ("autosomal
recessive ...", 348 times) stays in the collection but is not asked for. Equal questions are one, with all their answers
right. Conditions are split by hash into train, dev and test, so no condition that is asked about in one is in another.
`python -m benchmarks.medquad_ranker DATA` chose the fusion on dev and learned retrieval/ranker.json on train; here only
2,000 questions of test are reported. Intervals are 95 % bootstrap percentiles over questions, paired for differences.
Dense reads the first 256 word pieces of an answer, as everywhere; vectors are kept in the folder for temporary files.
"""

from __future__ import annotations

import hashlib
import re
import sys
import tarfile
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from retrieval import fusion, metrics
from retrieval.dense import DenseIndex
from retrieval.documents import Hit
from retrieval.embed import Embedder, MiniLMEmbedder
from retrieval.lexical import LexicalIndex
from retrieval.ranker import LinearRanker
from retrieval.rerank import LateInteraction, Reranker, rerank

DEPTH = 50  # answers of each index
RERANKED = 30  # of their fusion
NUM_QUESTIONS = 2_000
RESAMPLES = 2_000
DENSE_SHARE = 0.8  # of the convex combination; chosen on dev
CACHE = Path(tempfile.gettempdir()) / "trivium-medquad"
_ASKED_FIRST = re.compile(r"^(?:[^.?!]{0,250}\?\s+)+(?=\S)")


@dataclass(frozen=True)
class Question:
    """A question, the rows of the answers given to it, and the conditions it is about."""

    text: str
    rows: frozenset[int]
    split: str


def read_medquad(archive: Path) -> tuple[list[str], list[Question]]:
    """Distinct answers, and distinct questions with theirs; in the order of the archive."""
    pairs: list[tuple[str, str, str]] = []  # question, condition, answer
    with tarfile.open(archive) as tar:  # in the order of the archive: going back would unpack it again
        for member in tar:
            if not member.name.endswith(".xml"):
                continue
            document = ElementTree.fromstring(tar.extractfile(member).read())  # type: ignore[union-attr]
            condition = _folded(document.findtext("Focus") or "")
            for pair in document.iter("QAPair"):
                answer = _ASKED_FIRST.sub("", " ".join((pair.findtext("Answer") or "").split()))
                if answer:
                    pairs.append((_folded(pair.findtext("Question") or ""), condition, answer))
    row_of = {answer: row for row, answer in enumerate(dict.fromkeys(answer for _, _, answer in pairs))}
    about: defaultdict[str, set[str]] = defaultdict(set)  # question or answer to conditions
    given: defaultdict[str, set[str]] = defaultdict(set)
    for question, condition, answer in pairs:
        about[answer].add(condition)
        about[question].add(condition)
        given[question].add(answer)
    questions = [
        Question(text, frozenset(row_of[answer] for answer in answers), _split(min(about[text])))
        for text, answers in given.items()
        if all(len(about[item]) == 1 for item in (text, *answers))
    ]
    return list(row_of), questions


def _folded(text: str) -> str:
    return " ".join(text.lower().replace(" ?", "?").split())


def _split(condition: str) -> str:
    share = int(hashlib.sha256(f"medquad:{condition}".encode()).hexdigest()[:8], 16) / 16**8
    return "test" if share < 0.3 else "dev" if share < 0.4 else "train"


@dataclass(frozen=True)
class Vectors:
    """Unit vectors of answers (A, D), and of the word pieces of each (T, D), fp16."""

    whole_AD: NDArray[np.float32]
    tokens: list[NDArray[np.float16]]


def embed_answers(embedder: MiniLMEmbedder, answers: Sequence[str], folder: Path) -> Vectors:
    """Embed in blocks of 512 that are kept in `folder`, so that a run goes on where the last one stopped."""
    folder.mkdir(parents=True, exist_ok=True)
    whole, tokens = [], []
    for start in range(0, len(answers), 512):
        block = answers[start : start + 512]
        stem = folder / hashlib.sha256("\n".join([embedder.name, *block]).encode()).hexdigest()[:16]
        if not stem.with_suffix(".lengths.npy").exists():
            print(f"embedding {start} of {len(answers)}", flush=True)
            states = embedder.embed_tokens(block)
            np.save(stem.with_suffix(".whole.npy"), np.stack([_unit(x_TD.mean(0)) for x_TD in states]))
            np.save(stem.with_suffix(".tokens.npy"), np.concatenate([_unit(x[1:-1]) for x in states]).astype("f2"))
            np.save(stem.with_suffix(".lengths.npy"), np.array([len(x_TD) - 2 for x_TD in states]))
        ends = np.cumsum(np.load(stem.with_suffix(".lengths.npy")))[:-1]
        whole.append(np.load(stem.with_suffix(".whole.npy")))
        tokens += np.split(np.load(stem.with_suffix(".tokens.npy"), mmap_mode="r"), ends)
    return Vectors(np.concatenate(whole), tokens)


def _unit(x_ND: NDArray[np.float32]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = x_ND / np.linalg.norm(x_ND, axis=-1, keepdims=True)
    return unit


@dataclass(frozen=True)
class Found:
    """What both indexes say to a question: rows best first, and both scores of every row among them."""

    question: Question
    near: list[int]
    worded: list[int]
    cosines: dict[int, float]
    bm25: dict[int, float]


def search(questions: Sequence[Question], dense: DenseIndex, lexical: LexicalIndex, embedder: Embedder) -> list[Found]:
    """The `DEPTH` best answers of each index to each question."""
    found = []
    for question, query_D in zip(questions, embedder.embed([q.text for q in questions]), strict=True):
        near = dense.search(query_D, k=DEPTH)
        scores = lexical.scores(question.text)
        worded = [int(row) for row in np.argsort(-scores, kind="stable")[:DEPTH] if scores[row] > 0]
        rows = list(dict.fromkeys(near + worded))
        cosines = dict(zip(rows, map(float, dense.similarities(query_D, rows)), strict=True))
        found.append(Found(question, near, worded, cosines, {row: float(scores[row]) for row in rows}))
    return found


def fuse_ranks(found: Found, weights: Sequence[float]) -> list[int]:
    """Reciprocal rank fusion of dense and BM25."""
    return [row for row, _ in fusion.reciprocal_rank([found.near, found.worded], weights=weights)]


def fuse_scores(found: Found, dense_share: float) -> list[int]:
    """Convex combination of cosine and BM25."""
    weights = [dense_share, 1 - dense_share]
    fused = fusion.convex_combination([found.cosines, found.bm25], weights=weights, floors=[None, 0.0])
    return [row for row, _ in fused]


def candidates(found: Found) -> list[int]:
    """What the rerankers get: the best rows of the convex combination."""
    return fuse_scores(found, DENSE_SHARE)[:RERANKED]


def to_hits(found: Found, answers: Sequence[str], rows: Sequence[int]) -> list[Hit]:
    """Rows as the hits that a reranker gets."""
    return [Hit(str(row), str(row), "", "", answers[row], 0.0, found.cosines[row]) for row in rows]


def quality(ranking: Sequence[int], question: Question) -> tuple[float, float]:
    """(recall@10, nDCG@10)."""
    ids, right = [str(row) for row in ranking], {str(row) for row in question.rows}
    return metrics.recall_at_k(ids, right, 10), metrics.ndcg_at_k(ids, dict.fromkeys(right, 1.0), 10)


class Bench:
    """The collection, indexed, with its vectors at hand."""

    def __init__(self, data: Path) -> None:
        self.answers, questions = read_medquad(data / "medquad.tar.xz")
        self._questions = sorted(questions, key=lambda q: hashlib.sha256(q.text.encode()).digest())  # in no order
        self._embedder = MiniLMEmbedder()
        vectors = embed_answers(self._embedder, self.answers, CACHE)
        self._dense, self._lexical = DenseIndex.build(vectors.whole_AD), LexicalIndex.build(self.answers)
        self.late = LateInteraction(self._embedder, {str(row): x_TD for row, x_TD in enumerate(vectors.tokens)})

    def search(self, split: str, count: int) -> list[Found]:
        """The first `count` questions of a split, searched."""
        chosen = [question for question in self._questions if question.split == split][:count]
        return search(chosen, self._dense, self._lexical, self._embedder)

    def rerank(self, reranker: Reranker, found: Found) -> list[int]:
        """The best of the fusion, in the reranker's order."""
        hits = to_hits(found, self.answers, candidates(found))
        return [int(hit.passage_id) for hit in rerank(reranker, found.question.text, hits)]


def report(systems: Mapping[str, Sequence[Sequence[int]]], questions: Sequence[Question]) -> None:
    """Print each system's figures, and what the last one gains over the best single ranking and over each fusion."""
    table = {
        name: np.array([quality(*pair) for pair in zip(rankings, questions, strict=True)])
        for name, rankings in systems.items()
    }
    for name, values in table.items():
        print(f"  {name:32s}", _cells(values))
    *others, last = table
    best = max(("BM25", "dense"), key=lambda name: table[name][:, 1].mean())
    for name in dict.fromkeys([best, *others]):
        print(f"  {last} minus {name:20s}", _cells(table[last] - table[name]))


def _cells(values_Q2: NDArray[np.float64]) -> str:
    """Mean and interval of (recall@10, nDCG@10)."""
    rng = np.random.default_rng(0)
    draws = [values_Q2[rng.integers(0, len(values_Q2), len(values_Q2))].mean(0) for _ in range(RESAMPLES)]
    low, high = np.percentile(draws, [2.5, 97.5], axis=0)
    return "  ".join(
        f"{name} {mean:+.4f} [{a:+.4f}, {b:+.4f}]"
        for name, mean, a, b in zip(("recall@10", "nDCG@10"), values_Q2.mean(0), low, high, strict=True)
    )


def main(data: Path) -> None:
    """Print the report."""
    bench = Bench(data)
    ranker = LinearRanker.load(late=bench.late)
    found = bench.search("test", NUM_QUESTIONS)
    print(f"{len(bench.answers)} answers, {len(found)} questions of test")
    systems = {
        "BM25": [one.worded for one in found],
        "dense": [one.near for one in found],
        "RRF, equal": [fuse_ranks(one, (1, 1)) for one in found],
        f"convex, dense {DENSE_SHARE}": [fuse_scores(one, DENSE_SHARE) for one in found],
        "convex + ranker without late": [bench.rerank(LinearRanker.load(), one) for one in found],
        "convex + learned ranker": [bench.rerank(ranker, one) for one in found],
    }
    report(systems, [one.question for one in found])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
