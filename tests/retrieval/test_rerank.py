"""Late interaction by hand, and what reordering keeps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from retrieval.documents import Hit
from retrieval.rerank import LateInteraction, Recent, max_sim, rerank, unit_tokens

AXES = {"lamp": 0, "desk": 1, "return": 2}


class AxisTokens:
    """Words on axes of their own, three times as long as they need be; remembers what it embedded."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def embed_tokens(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        self.texts += texts
        special = np.full((1, 3), 9, np.float32)
        return [
            np.concatenate(
                [special, *(3 * np.eye(3, dtype=np.float32)[[AXES[word]]] for word in text.split()), special]
            )
            for text in texts
        ]


class Fixed:
    """Scores as given."""

    def __init__(self, *scores: float) -> None:
        self._scores = scores

    def score(self, query: str, hits: Sequence[Hit]) -> NDArray[np.float32]:
        return np.array(self._scores, np.float32)


def _hit(text: str, passage_id: str = "") -> Hit:
    return Hit(passage_id or text, "d", "", "", text, 0.5, 0.7)


def test_hits_come_back_by_the_new_scores_and_ties_keep_their_order() -> None:
    hits = [_hit("a"), _hit("b"), _hit("c")]

    again = rerank(Fixed(0.0, 2.0, 0.0), "q", hits)

    assert [(hit.text, hit.score, hit.similarity) for hit in again] == [
        ("b", 2.0, 0.7),
        ("a", 0.0, 0.7),
        ("c", 0.0, 0.7),
    ]


def test_nothing_to_rerank_is_nothing() -> None:
    assert rerank(LateInteraction(AxisTokens()), "lamp", []) == []


def test_every_word_of_the_query_counts_its_best_match() -> None:
    late = LateInteraction(AxisTokens())

    scores = late.score("return lamp", [_hit("lamp desk"), _hit("desk return lamp"), _hit("desk")])

    assert scores.tolist() == [0.5, 1.0, 0.0]


def test_max_sim_is_the_largest_cosine_of_each_row() -> None:
    query, passage = (unit_tokens(np.random.default_rng(seed).normal(size=(6, 8)).astype("f4")) for seed in (0, 1))

    expected = [[max(float(q @ p) for p in part) for q in query] for part in (passage[:2], passage[2:])]

    np.testing.assert_allclose(max_sim(query, [passage[:2], passage[2:]]), expected, atol=1e-6)


def test_a_text_without_words_matches_nothing() -> None:
    assert LateInteraction(AxisTokens()).score("", [_hit("lamp")]).tolist() == [0.0]
    assert LateInteraction(AxisTokens()).score("lamp", [_hit("", "empty")]).tolist() == [0.0]


def test_a_passage_is_embedded_once_as_long_as_it_is_kept() -> None:
    embedder = AxisTokens()
    late = LateInteraction(embedder, Recent(1))

    for _ in range(2):
        late.score("lamp", [_hit("desk lamp")])
    late.score("lamp", [_hit("return")])
    late.score("lamp", [_hit("desk lamp")])

    assert [text for text in embedder.texts if text != "lamp"] == ["desk lamp", "return", "desk lamp"]
