"""Each embedder and language has its own rule for when a question counts as answerable."""

from __future__ import annotations

import pytest

from retrieval.embed import MiniLMEmbedder
from tests.retrieval.conftest import WordEmbedder
from tests.verticals.support.fakes import hit
from verticals.support.answerable import answerable_with, word_coverage


@pytest.mark.parametrize(
    ("embedder", "question", "similarity", "known"),
    [
        ("words", "How long is the warranty?", 0.42, True),
        ("words", "How long is the warranty?", 0.40, False),
        ("multilingual-e5-small-q4@1", "How long is the warranty?", 0.84, False),
        ("multilingual-e5-small-q4@1", "How long is the warranty?", 0.85, True),
        ("multilingual-e5-small-q4@1", "家具保修多久？", 0.85, False),
        ("multilingual-e5-small-q4@1", "家具保修多久？", 0.88, True),
    ],
)
def test_a_cosine_is_judged_by_its_embedder_and_language(
    embedder: str, question: str, similarity: float, known: bool
) -> None:
    is_answerable = answerable_with(WordEmbedder(embedder))

    assert is_answerable(question, [hit("家具保修5年。", similarity=similarity)]) == known


def test_where_the_embedder_does_not_read_the_language_shared_words_decide() -> None:
    is_answerable = answerable_with(MiniLMEmbedder())

    assert is_answerable("家具保修多久", [hit("家具保修5年。", similarity=0.0)])
    assert not is_answerable("明天天气怎么样", [hit("家具保修5年。", similarity=1.0)])
    assert not is_answerable("家具保修多久", [])


def test_coverage_is_of_one_passage_not_of_all_together() -> None:
    hits = [hit("家具很重。", title=""), hit("保修五年。", title="", number=2)]

    assert word_coverage("家具保修", hits) < 1 == word_coverage("家具保修", [hit("家具保修", title="")])
    assert word_coverage("的", hits) == 0
