"""BM25 against its formula and against bm25s' own retrieval, and what is saved."""

from __future__ import annotations

from collections import Counter
from math import log
from pathlib import Path

import bm25s
import numpy as np
import pytest

from retrieval.lexical import LexicalIndex, Query, tokenize

TEXTS = [
    "Express delivery costs $14.95 and takes two business days.",
    "Standard delivery is free from $49.",
    "Refunds reach your card within five business days; a card refund is free.",
    "Filter F-20 fits the Pine Air 200.",
]


def test_scores_follow_lucenes_formula() -> None:
    words = tokenize(TEXTS)
    mean_length = sum(map(len, words)) / len(words)

    def score(query: str, row: int) -> float:
        total = 0.0
        for word in tokenize([query])[0]:
            df = sum(word in other for other in words)
            tf = Counter(words[row])[word]
            idf = log(1 + (len(words) - df + 0.5) / (df + 0.5))
            total += idf * tf / (tf + 1.5 * (1 - 0.75 + 0.75 * len(words[row]) / mean_length))
        return total

    for query in ("delivery days", "free card refunds", "pine filter filter"):
        expected = [score(query, row) for row in range(len(TEXTS))]
        assert LexicalIndex.build(TEXTS).scores(query) == pytest.approx(expected, rel=1e-5)


def test_search_ranks_as_bm25s_retrieves() -> None:
    oracle = bm25s.BM25(method="lucene")
    oracle.index(tokenize(TEXTS), show_progress=False)
    rows, scores = oracle.retrieve([tokenize(["free delivery card"])[0]], k=4, show_progress=False)
    expected = [int(row) for row, score in zip(rows[0], scores[0], strict=True) if score > 0]

    assert LexicalIndex.build(TEXTS).search("free delivery card", k=4) == expected


def test_words_are_stemmed_lower_case_and_without_stop_words() -> None:
    assert tokenize(["The REFUNDS were delivered"]) == [["refund", "deliv"]]


def test_a_row_without_a_common_word_is_no_hit() -> None:
    index = LexicalIndex.build(TEXTS)

    assert index.search("delivery", k=10) == [1, 0]
    assert index.search("zebra", k=10) == []
    assert index.search("the", k=10) == []


def test_only_allowed_rows_are_found() -> None:
    assert LexicalIndex.build(TEXTS).search("delivery", k=10, allowed=np.array([True, False, True, False])) == [0]


def test_rows_in_two_indexes_score_as_in_one() -> None:
    query = "free card delivery pine"
    whole = LexicalIndex.build(TEXTS).scores(query)
    parts = [LexicalIndex.build(TEXTS[:3]), LexicalIndex.build(TEXTS[3:]), LexicalIndex.build([])]

    scores = [part.scores(Query.over(parts, query)) for part in parts]

    assert np.concatenate(scores).tolist() == whole.tolist()


def test_the_best_rows_are_those_of_a_full_sort() -> None:
    rng = np.random.default_rng(0)
    index = LexicalIndex.build([" ".join(rng.choice(["card", "refund", "lamp", "pine"], 5)) for _ in range(200)])

    rows, scores = index.best("card lamp", k=20)

    full = index.scores("card lamp")
    assert rows.tolist() == np.argsort(-full, kind="stable")[:20].tolist()
    assert scores.tolist() == full[rows].tolist()


def test_a_saved_index_answers_the_same_and_holds_no_pickle(tmp_path: Path) -> None:
    index = LexicalIndex.build(TEXTS)
    index.save(tmp_path / "bm25")

    loaded = LexicalIndex.load(tmp_path / "bm25")

    assert loaded.scores("free delivery card").tolist() == index.scores("free delivery card").tolist()
    assert {path.suffix for path in (tmp_path / "bm25").iterdir()} == {".npy", ".json"}
    for path in (tmp_path / "bm25").glob("*.npy"):
        np.load(path, allow_pickle=False)


@pytest.mark.parametrize("texts", [[], ["the and of"], ["！？"]])
def test_an_index_without_words_finds_nothing_and_can_be_saved(texts: list[str], tmp_path: Path) -> None:
    index = LexicalIndex.build(texts)
    index.save(tmp_path / "bm25")

    assert index.search("anything", k=3) == LexicalIndex.load(tmp_path / "bm25").search("anything", k=3) == []
