"""Learns retrieval/ranker.json on MedQuAD: fusion and features are chosen on dev; the test questions are not read.

    python -m benchmarks.medquad_ranker DATA      DATA: a folder that holds medquad.tar.xz (Ben Abacha 2019, CC BY 4.0)

The ranker is a logistic regression on the differences of features between a right answer and the others that were found
(RankNet without a hidden layer, Burges 2005, doi:10.1145/1102351.1102363). LambdaMART on the same features
(Burges 2010, MSR-TR-2010-82) stands beside it, to show what a larger model would add.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.lineage import record
from benchmarks.medquad import RERANKED, Bench, Found, candidates, fuse_ranks, fuse_scores, quality, to_hits
from retrieval.ranker import FEATURES, PACKAGED, features

NUM_TRAIN, NUM_DEV = 1_000, 500
LEAN = tuple(name for name in FEATURES if not name.startswith("late"))


@dataclass(frozen=True)
class Described:
    """The candidates of one question: rows, features (rows, FEATURES), and which are right (rows,)."""

    found: Found
    rows: list[int]
    features_NF: NDArray[np.float32]
    right_N: NDArray[np.bool_]


def describe(bench: Bench, found: Found) -> Described:
    """Compute the features of the best of the fusion."""
    rows = candidates(found)
    values = features(found.question.text, to_hits(found, bench.answers, rows), bench.late)
    return Described(found, rows, values, np.array([row in found.question.rows for row in rows]))


def learn(train: Sequence[Described], names: Sequence[str]) -> dict[str, float]:
    """Weights of the named features."""
    from sklearn.linear_model import LogisticRegression

    columns = [FEATURES.index(name) for name in names]
    pairs = [
        one.features_NF[right, columns] - one.features_NF[~one.right_N][:, columns]
        for one in train
        for right in np.flatnonzero(one.right_N)
    ]
    better = np.concatenate(pairs)
    model = LogisticRegression(fit_intercept=False, max_iter=1_000)
    model.fit(np.concatenate([better, -better]), np.repeat([1, 0], len(better)))
    return {name: round(float(weight), 3) for name, weight in zip(names, model.coef_[0], strict=True)}


def boost(train: Sequence[Described], dev: Sequence[Described]) -> list[NDArray[np.float64]]:
    """LambdaMART's scores for the candidates of dev."""
    from lightgbm import LGBMRanker

    model = LGBMRanker(n_estimators=150, num_leaves=15, learning_rate=0.05, min_child_samples=30, n_jobs=1, verbose=-1)
    inputs, right = np.concatenate([one.features_NF for one in train]), np.concatenate([one.right_N for one in train])
    model.fit(inputs, right.astype(int), group=[len(one.rows) for one in train])
    return [np.asarray(model.predict(one.features_NF)) for one in dev]


def show(name: str, rankings: Sequence[Sequence[int]], found: Sequence[Found]) -> None:
    """Print the figures of a way to rank dev."""
    recall, ndcg = np.mean([quality(rows, one.question) for rows, one in zip(rankings, found, strict=True)], axis=0)
    print(f"  {name:32s} recall@10 {recall:.4f}  nDCG@10 {ndcg:.4f}", flush=True)


def show_scores(name: str, scores: Sequence[NDArray[np.floating]], dev: Sequence[Described]) -> None:
    """Print the figures of the candidates of dev in the order of their scores."""
    orders = [np.argsort(-values, kind="stable") for values in scores]
    rankings = [[one.rows[i] for i in order] for order, one in zip(orders, dev, strict=True)]
    show(name, rankings, [one.found for one in dev])


def main(data: Path) -> None:
    """Print what was tried on dev, and write the weights."""
    bench = Bench(data)
    found = bench.search("dev", NUM_DEV)
    print(f"dev: {len(found)} questions")
    show("BM25", [one.worded for one in found], found)
    show("dense", [one.near for one in found], found)
    for weight in (0.2, 0.5, 1.0, 2.0):
        show(f"RRF, dense 1, BM25 {weight}", [fuse_ranks(one, (1.0, weight)) for one in found], found)
    for share in (0.3, 0.5, 0.6, 0.7, 0.8, 0.9):
        show(f"convex, dense {share}", [fuse_scores(one, share) for one in found], found)
    dev = [describe(bench, one) for one in found]
    train = [describe(bench, one) for one in bench.search("train", NUM_TRAIN)]
    print(f"the best {RERANKED} of the fusion, reranked by what was learned on {len(train)} questions of train")
    for name in ("bm25", "late"):
        show_scores(f"feature {name} alone", [one.features_NF[:, FEATURES.index(name)] for one in dev], dev)
    learned = {"with_late": learn(train, FEATURES), "without_late": learn(train, LEAN)}
    for label, named in learned.items():
        weights = np.array([named.get(name, 0.0) for name in FEATURES])
        show_scores(f"linear, {label}", [one.features_NF @ weights for one in dev], dev)
    show_scores("LambdaMART, all features", boost(train, dev), dev)
    card = {
        "trained_on": f"MedQuAD (Ben Abacha and Demner-Fushman 2019), CC BY 4.0: {len(train)} questions of train",
        "recipe": "python -m benchmarks.medquad_ranker DATA",
        **learned,
    }
    PACKAGED.write_text(json.dumps(card, indent=1) + "\n", "utf-8")
    record("retrieval/ranker.json")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
