"""A learned ranker: a weighted sum of what the search knows of query and passage. Ignores how the weights were learned.

Two sets of weights are shipped. The one without late interaction takes some 2 ms for 20 passages; the other needs the
embedder, 20 ms more for the query and as much again for each passage that it has not seen.
Weights are a JSON file; `python -m benchmarks.medquad` learns and measures them. Every feature is relative to the other
hits of the query or lies in 0-1, so that weights learned on one collection mean the same on another.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrieval.documents import Hit
from retrieval.rerank import LateInteraction
from retrieval.words import tokenize

PACKAGED = Path(__file__).with_name("ranker.json")
_READ_CHARS = 2_000  # of a passage; as much as the embedder reads
_OPENING = 25  # stems of a passage that count as its opening
FEATURES = (
    "rank",  # 1 / rank in the order that the search gave
    "cosine",  # to the best hit's, 0 or less
    "dense_rank",  # 1 / rank by cosine among the hits
    "bm25",  # share of the best hit's; words that many of the hits share count little
    "bm25_rank",
    "late",  # mean match of the query's word pieces, to the best hit's, 0 or less
    "late_worst",  # match of the word piece that is matched worst, to the best hit's
    "coverage",  # share of the query's stems in title, heading or text
    "title_coverage",  # in title or heading
    "opening_coverage",  # in the first stems of the text
    "phrase",  # longest run of the query's stems that stands in the text, as a share of the query
    "density",  # share of the text's stems that are the query's
    "length",  # log10 of the text's stems, 0-1: 1 is 1,000
)


class LinearRanker:
    """Scores hits by weighted features; see `retrieval.rerank.Reranker`.

    Args:
        weights: Of features by name; those left out weigh nothing.
        late: Needed by the features "late" and "late_worst".
    Raises:
        ValueError: a name is no feature, or `late` is missing where it is weighed.
    """

    def __init__(self, weights: Mapping[str, float], late: LateInteraction | None = None) -> None:
        if unknown := sorted(set(weights) - set(FEATURES)):
            raise ValueError(f"weights: {unknown[0]!r} is no feature. Known are {', '.join(FEATURES)}.")
        if late is None and any(weights.get(name) for name in ("late", "late_worst")):
            raise ValueError("late: is needed, because the weights use it. Pass a LateInteraction.")
        self._weights = np.array([weights.get(name, 0.0) for name in FEATURES], np.float32)
        self._late = late

    @classmethod
    def load(cls, path: Path = PACKAGED, *, late: LateInteraction | None = None) -> LinearRanker:
        """Read weights from JSON: an object whose members "with_late" and "without_late" map names to numbers.

        Raises:
            ValueError: the file is no such JSON; or as the class.
            OSError: the file cannot be read.
        """
        content, member = json.loads(path.read_text("utf-8")), "without_late" if late is None else "with_late"
        if not isinstance(content, dict) or not isinstance(content.get(member), dict):
            raise ValueError(f"{path.name}: holds no weights {member!r}.")
        return cls(content[member], late)

    def score(self, query: str, hits: Sequence[Hit]) -> NDArray[np.float32]:
        """Weighted sum of the features of each hit, any real number."""
        if not hits:
            return np.zeros(0, np.float32)
        scores: NDArray[np.float32] = features(query, hits, self._late) @ self._weights
        return scores


def features(query: str, hits: Sequence[Hit], late: LateInteraction | None) -> NDArray[np.float32]:
    """What the ranker weighs, (hits, len(FEATURES)); columns of late interaction are 0 if `late` is None."""
    matches = np.zeros((len(hits), 1), np.float32) if late is None else late.matches(query, hits)
    means, worst = matches.mean(axis=1), matches.min(axis=1)
    said = [*(hit.text[:_READ_CHARS] for hit in hits), *(f"{hit.title} {hit.heading}" for hit in hits)]
    asked, *stems = tokenize([query, *said])
    texts, titles = stems[: len(hits)], stems[len(hits) :]
    words = set(asked)
    cosine = np.array([hit.similarity for hit in hits])
    bm25 = _bm25(words, [title + text for title, text in zip(titles, texts, strict=True)])
    columns = (
        1 / np.arange(1, len(hits) + 1),
        cosine - cosine.max(),
        _inverse_rank(cosine),
        bm25 / max(float(bm25.max()), 1e-9),
        _inverse_rank(bm25),
        means - means.max(),
        worst - worst.max(),
        [_share(words, {*text, *title}) for text, title in zip(texts, titles, strict=True)],
        [_share(words, set(title)) for title in titles],
        [_share(words, set(text[:_OPENING])) for text in texts],
        [_longest_run(asked, text) / max(len(asked), 1) for text in texts],
        [sum(stem in words for stem in text) / max(len(text), 1) for text in texts],
        [min(np.log10(1 + len(text)) / 3, 1.0) for text in texts],
    )
    return np.stack([np.asarray(column, np.float32) for column in columns], axis=1)


def _bm25(words: set[str], texts: Sequence[Sequence[str]]) -> NDArray[np.float64]:
    """BM25 (k1 = 1.5, b = 0.75) with the hits themselves as the collection: what sets them apart counts."""
    counts = np.array([[text.count(word) for word in sorted(words)] for text in texts], float).reshape(len(texts), -1)
    lengths = np.array([len(text) for text in texts], float)
    held = (counts > 0).sum(axis=0)
    idf = np.log(1 + (len(texts) - held + 0.5) / (held + 0.5))
    saturation = 1.5 * (0.25 + 0.75 * lengths / max(lengths.mean(), 1.0))
    scores: NDArray[np.float64] = (idf * counts / (counts + saturation[:, None])).sum(axis=1)
    return scores


def _inverse_rank(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    ranks = np.empty(len(scores))
    ranks[np.argsort(-scores, kind="stable")] = np.arange(1, len(scores) + 1)
    return 1 / ranks


def _share(words: set[str], there: set[str]) -> float:
    return len(words & there) / max(len(words), 1)


def _longest_run(asked: Sequence[str], text: Sequence[str]) -> int:
    """Length of the longest stretch of `asked` that stands in `text` word by word."""
    places: dict[str, list[int]] = {}
    for at, word in enumerate(asked):
        places.setdefault(word, []).append(at)
    best = 0
    runs: dict[int, int] = {}  # place in `asked` to the length of the run that ends there
    for word in text:
        runs = {at: runs.get(at - 1, 0) + 1 for at in places.get(word, ())}
        best = max(best, *runs.values()) if runs else best
    return best
