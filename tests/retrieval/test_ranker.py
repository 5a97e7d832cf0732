"""The learned ranker: what it sees of a hit, and which weights it takes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from retrieval.documents import Hit
from retrieval.embed import MiniLMEmbedder
from retrieval.ranker import FEATURES, PACKAGED, LinearRanker, features
from retrieval.rerank import LateInteraction, rerank

HITS = [
    Hit("p1", "d", "Desks", "", "Nothing of the kind is sold here.", 0.1, 0.9),
    Hit("p2", "d", "Lamps", "Returns", "A broken lamp goes back. Return the lamp in its box.", 0.1, 0.5),
    Hit("p3", "d", "Boxes", "", "The lamp is new. You return a box.", 0.1, 0.7),
]


class OneHot:
    """A token vector per letter of the text's words: equal initials match."""

    def embed_tokens(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        eye = np.eye(128, dtype=np.float32)
        return [eye[[0, *(ord(word[0]) % 128 for word in text.lower().split()), 1]] for text in texts]


def _column(name: str, query: str = "return the broken lamp", late: LateInteraction | None = None) -> list[float]:
    return [round(float(value), 3) for value in features(query, HITS, late)[:, FEATURES.index(name)]]


def test_scores_of_the_search_count_by_rank_and_distance_to_the_best() -> None:
    assert _column("rank") == [1.0, 0.5, 0.333]
    assert _column("cosine") == [0.0, -0.4, -0.2]
    assert _column("dense_rank") == [1.0, 0.333, 0.5]


def test_words_count_in_text_title_and_opening() -> None:
    assert _column("coverage") == [0.0, 1.0, 0.667]
    assert _column("title_coverage") == [0.0, 0.667, 0.0]
    assert _column("opening_coverage") == [0.0, 1.0, 0.667]
    assert _column("bm25")[1] == 1.0
    assert _column("bm25_rank") == [0.333, 1.0, 0.5]


def test_words_in_the_order_of_the_query_count_as_a_phrase() -> None:
    assert _column("phrase") == [0.0, 0.667, 0.333]


def test_late_interaction_counts_by_distance_to_the_best_and_is_zero_without_it() -> None:
    late = LateInteraction(OneHot())

    assert max(_column("late", late=late)) == 0.0
    assert min(_column("late", late=late)) < 0
    assert _column("late") == _column("late_worst") == [0.0] * 3


@given(query=st.text(max_size=30), texts=st.lists(st.text(max_size=40), min_size=1, max_size=5))
def test_every_feature_of_any_text_is_a_number_from_minus_two_to_one(query: str, texts: list[str]) -> None:
    hits = [Hit(str(i), "d", text[:5], "", text, 0.1, 0.3) for i, text in enumerate(texts)]

    values = features(query, hits, None)

    assert values.shape == (len(hits), len(FEATURES))
    assert np.isfinite(values).all()
    assert -2 <= values.min() <= values.max() <= 1


def test_a_hit_is_scored_by_the_weighted_sum_of_its_features() -> None:
    ranker = LinearRanker({"coverage": 2.0, "cosine": 1.0})

    assert ranker.score("return the broken lamp", HITS) == pytest.approx([0.0, 1.6, 1.133], abs=1e-3)
    assert [hit.passage_id for hit in rerank(ranker, "return the broken lamp", HITS)] == ["p2", "p3", "p1"]
    assert ranker.score("return", []).shape == (0,)


def test_the_shipped_weights_name_their_data_and_licence() -> None:
    card = json.loads(PACKAGED.read_text("utf-8"))

    assert "CC BY 4.0" in card["trained_on"]
    assert set(card["with_late"]) | set(card["without_late"]) <= set(FEATURES)
    assert LinearRanker.load().score("lamp", HITS).shape == (3,)


@pytest.mark.slow
def test_the_shipped_weights_lift_the_passage_that_answers(one_thread: None) -> None:
    ranker = LinearRanker.load(late=LateInteraction(MiniLMEmbedder()))
    close = [replace(hit, similarity=0.5) for hit in HITS]

    assert rerank(ranker, "how do I return a broken lamp", close)[0].passage_id == "p2"


def test_an_unknown_feature_is_refused() -> None:
    with pytest.raises(ValueError, match=r"weights: 'beauty' is no feature\. Known are rank, cosine"):
        LinearRanker({"beauty": 1.0})


def test_weights_of_late_interaction_need_it() -> None:
    with pytest.raises(ValueError, match="late: is needed"):
        LinearRanker({"late": 1.0})


@pytest.mark.parametrize("content", [[], {}, {"without_late": [1]}])
def test_a_file_without_weights_is_refused(tmp_path: Path, content: object) -> None:
    (tmp_path / "ranker.json").write_text(json.dumps(content), "utf-8")

    with pytest.raises(ValueError, match=r"ranker\.json: holds no weights"):
        LinearRanker.load(tmp_path / "ranker.json")
