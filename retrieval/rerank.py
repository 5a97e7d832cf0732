"""A second look at the best hits: the Reranker seam and late interaction. Ignores how hits were found."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import MutableMapping, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from retrieval.documents import Hit
from retrieval.passages import indexed_text

Vectors = NDArray[np.float32] | NDArray[np.float16]


class Reranker(Protocol):
    """Scores hits for a query; scores are comparable within one query only. Safe from many threads."""

    def score(self, query: str, hits: Sequence[Hit]) -> NDArray[np.float32]:
        """Score of each hit, (hits,), higher is better. The hits are in the order that the search gave them."""


class TokenEmbedder(Protocol):
    """Gives a vector for every word piece; see `retrieval.embed.MiniLMEmbedder.embed_tokens`."""

    def embed_tokens(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        """(tokens, dim) for each text, the first and the last being [CLS] and [SEP]."""


def rerank(reranker: Reranker, query: str, hits: Sequence[Hit]) -> list[Hit]:
    """The same hits with the reranker's scores, best first; equal scores keep their order."""
    scores = reranker.score(query, hits)
    order = np.argsort(-scores, kind="stable")
    return [replace(hits[i], score=float(scores[i])) for i in order]


class LateInteraction:
    """Each word piece of the query finds its best match in the passage (ColBERT, Khattab 2020, arXiv:2004.12832).

    The embedder was trained for whole sentences, not for this; how much it helps was measured (benchmarks/medquad.py).
    A passage's vectors are computed when it is first a candidate, which costs some 20 ms, and then kept.

    Args:
        embedder: Of word pieces, the same for queries and passages.
        vectors: Unit vectors (tokens, dim) by passage id; those of the last 1,000 passages are kept, 150 MB, if None.
    """

    def __init__(self, embedder: TokenEmbedder, vectors: MutableMapping[str, Vectors] | None = None) -> None:
        self._embedder = embedder
        self._vectors = Recent(1_000) if vectors is None else vectors

    def score(self, query: str, hits: Sequence[Hit]) -> NDArray[np.float32]:
        """Mean over the query's word pieces of the best cosine, -1 to 1; see `Reranker.score`."""
        scores: NDArray[np.float32] = self.matches(query, hits).mean(axis=1)
        return scores

    def matches(self, query: str, hits: Sequence[Hit]) -> NDArray[np.float32]:
        """The best cosine in each hit for each word piece of the query, (hits, query tokens)."""
        known = {hit.passage_id: kept for hit in hits if (kept := self._vectors.get(hit.passage_id)) is not None}
        unknown = {hit.passage_id: hit for hit in hits if hit.passage_id not in known}
        texts = [indexed_text(hit.title, hit.heading, hit.text) for hit in unknown.values()]
        query_QD, *rest = (unit_tokens(states_TD) for states_TD in self._embedder.embed_tokens([query, *texts]))
        for passage_id, vectors_TD in zip(unknown, rest, strict=True):
            known[passage_id] = self._vectors[passage_id] = vectors_TD.astype(np.float16)
        return max_sim(query_QD, [known[hit.passage_id] for hit in hits])


def unit_tokens(states_TD: NDArray[np.float32]) -> NDArray[np.float32]:
    """States of word pieces without [CLS] and [SEP], scaled to length 1; one zero row for a text without any."""
    pieces_TD = states_TD[1:-1] if len(states_TD) > 2 else np.zeros((1, states_TD.shape[1]), np.float32)
    unit: NDArray[np.float32] = pieces_TD / np.maximum(np.linalg.norm(pieces_TD, axis=1, keepdims=True), 1e-9)
    return unit


def max_sim(query_QD: NDArray[np.float32], passages: Sequence[Vectors]) -> NDArray[np.float32]:
    """Best cosine in each passage, (tokens, dim), for each row of the query, (passages, query tokens); unit rows."""
    if not passages:
        return np.zeros((0, len(query_QD)), np.float32)
    starts = np.cumsum([0, *(len(vectors_TD) for vectors_TD in passages[:-1])])
    cosines_TQ = np.concatenate(passages).astype(np.float32) @ query_QD.T
    best: NDArray[np.float32] = np.maximum.reduceat(cosines_TQ, starts, axis=0)
    return best


class Recent(OrderedDict[str, Vectors]):
    """Keeps the entries that were set last, up to `size`."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size

    def __setitem__(self, key: str, value: Vectors) -> None:
        super().__setitem__(key, value)
        while len(self) > self._size:
            self.popitem(last=False)
