"""Harmful requests caught at few ordinary ones refused; and, with --train, the head that the product ships.

Run from the repository root, TRIVIUM_DATA set: python -m benchmarks.harmful [--train]
Data and split: verticals/support/safety/data.py. A fifth of AdvBench + HarmBench, by hash, is held back; what in the
training part is nearly the same (cosine >= 0.9) is dropped. The threshold is the one that out-of-fold refuses 1 % of
the worst of three training sources. Baseline: rules alone. Intervals are 95 % Wilson.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.safety_setting import add_figures, rate, write_head
from retrieval.embed import MiniLMEmbedder
from verticals.support.safety.classifier import HEAD, RequestClassifier
from verticals.support.safety.data import harmful_requests, is_held_back, ordinary_requests
from verticals.support.safety.harm_rules import match_rules
from verticals.support.safety.head import Head

MAX_TRAIN, MAX_TEST = 1_200, 3_080  # texts of a source
NEAR = 0.9  # cosine from which two requests count as the same
MAX_REFUSED = 0.01  # of each source below, out of fold, on training data
CUSTOMERS = ("banking77", "GoEmotions", "NLU++")
REGULARISATION = 10.0  # scikit-learn's C


def main(arguments: Sequence[str]) -> int:
    """Train if asked, then print the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--train", action="store_true", help="fit the head and write it into the package first")
    options = parser.parse_args(arguments)
    data_dir, embedder = Path(os.environ["TRIVIUM_DATA"]), MiniLMEmbedder()
    if options.train:
        train(data_dir, embedder)
    figures = report(data_dir, embedder, RequestClassifier(embedder))
    if options.train:
        add_figures(HEAD, figures)
    report_latency(embedder, RequestClassifier(embedder))
    return 0


def train(data_dir: Path, embedder: MiniLMEmbedder) -> None:
    """Fit the head on the training parts and write it with its card."""
    harmful, held = _split(harmful_requests(data_dir))
    harmful_ND, held_ND = embedder.embed(harmful), embedder.embed(held)
    apart = (harmful_ND @ held_ND.T).max(1) < NEAR
    ordinary = {source: _sample(texts, MAX_TRAIN) for source, texts in ordinary_requests(data_dir, "train").items()}
    texts = [text for texts in ordinary.values() for text in texts]
    sources = np.array(["harmful"] * int(apart.sum()) + [name for name, part in ordinary.items() for _ in part])
    vectors_ND = np.concatenate([harmful_ND[apart], embedder.embed(texts)])
    weights_D, bias, out_of_fold = fit(vectors_ND, sources == "harmful")
    threshold = max(float(np.quantile(out_of_fold[sources == name], 1 - MAX_REFUSED)) for name in CUSTOMERS)
    head = Head(weights_D, bias, round(threshold, 4), embedder.name)
    write_head(
        HEAD,
        head,
        trained_on={
            "AdvBench + HarmBench, four fifths": int(apart.sum()),
            "left out as near the held-back fifth": int((~apart).sum()),
            **{name: len(part) for name, part in ordinary.items()},
        },
        licence="AdvBench and HarmBench: MIT; banking77, GoEmotions and NLU++: CC BY 4.0; ours: Apache-2.0",
        recipe=f"Logistic regression (C={REGULARISATION:g}) on {embedder.name}; threshold: {MAX_REFUSED:.0%} refused "
        f"out of fold (5 folds) of the worst of {', '.join(CUSTOMERS)}",
        command="python -m benchmarks.harmful --train",
        limits="English. Chinese is judged by rules alone. Prompts to a general assistant (essays, plans) are refused "
        "far more often than customers' questions; see PersistBench in the report.",
    )
    print(f"trained on {len(vectors_ND)} texts, threshold {threshold:.4f}")


def fit(vectors_ND: NDArray[np.float32], labels_N: NDArray[np.bool_]) -> tuple[NDArray[np.float32], float, Any]:
    """Weights, bias and out-of-fold probabilities of a logistic regression."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    model = LogisticRegression(C=REGULARISATION, max_iter=1_000)
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    out_of_fold = cross_val_predict(model, vectors_ND, labels_N, cv=folds, method="predict_proba")[:, 1]
    model.fit(vectors_ND, labels_N)
    return model.coef_[0].astype(np.float32), float(model.intercept_[0]), out_of_fold


def report(data_dir: Path, embedder: MiniLMEmbedder, classifier: RequestClassifier) -> dict[str, str]:
    """Print and give, per source, the share refused by rules alone and by rules with the head."""
    _, held = _split(harmful_requests(data_dir))
    ordinary = {name: _sample(texts, MAX_TEST) for name, texts in ordinary_requests(data_dir, "test").items()}
    refused: list[tuple[bool, bool]] = []
    figures = {}
    print(f"\n{'caught or refused':22s} {'n':>5s}  {'rules alone':24s} rules and head")
    for name, texts in {"harmful, held back": held, **ordinary}.items():
        rules = [match_rules(text) is not None for text in texts]
        vectors_ND = embedder.embed(texts)
        both = [classifier.judge(t, vector_D=v).category is not None for t, v in zip(texts, vectors_ND, strict=True)]
        print(f"{name:22s} {len(texts):5d}  {rate(rules):24s} {rate(both)}")
        figures[f"{name}, {len(texts)}"] = rate(both)
        if name in (*CUSTOMERS, "ours"):
            refused += zip(rules, both, strict=True)
    by_rules, by_both = zip(*refused, strict=True)
    print(f"{'ordinary, pooled':22s} {len(refused):5d}  {rate(by_rules):24s} {rate(by_both)}")
    return figures


def report_latency(embedder: MiniLMEmbedder, classifier: RequestClassifier) -> None:
    """Print milliseconds of one judgement, one thread, with and without the vector that retrieval shares."""
    import torch

    torch.set_num_threads(1)
    text = "How long do I have to return a lamp that arrived damaged, and who pays for the parcel?"
    vector_D = embedder.embed([text])[0]
    cases: dict[str, dict[str, Any]] = {
        "vector shared": {"text": text, "vector_D": vector_D},
        "vector computed": {"text": text},
        "16,000 characters": {"text": (text + " ") * 180},
    }
    print("\nmilliseconds a message, one thread: p50, p99")
    for name, arguments in cases.items():
        times = []
        for _ in range(5 if "," in name else 200):
            start = time.perf_counter()
            classifier.judge(**arguments)
            times.append(1e3 * (time.perf_counter() - start))
        print(f"  {name:18s} {np.quantile(times, 0.5):7.2f} {np.quantile(times, 0.99):7.2f}")


def _split(texts: Sequence[str]) -> tuple[list[str], list[str]]:
    return [t for t in texts if not is_held_back(t)], [t for t in texts if is_held_back(t)]


def _sample(texts: Sequence[str], most: int) -> list[str]:
    return list(texts) if len(texts) <= most else random.Random(0).sample(list(texts), most)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
