"""Any embedding model as LangChain's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from core_model.embeddings import EngineEmbeddings, TextEmbedder
from tests.core_model.tiny import make_engine, make_tokenizer


class Lengths:
    """Embeds a text as its length and its number of words."""

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        return np.array([[len(text), len(text.split())] for text in texts], np.float32)


def test_vectors_are_plain_lists_in_the_order_of_the_texts() -> None:
    embeddings = EngineEmbeddings(Lengths())

    assert embeddings.embed_documents(["a b", "abc"]) == [[3.0, 2.0], [3.0, 1.0]]
    assert embeddings.embed_query("a b") == [3.0, 2.0]
    assert type(embeddings.embed_query("a")[0]) is float


def test_no_texts_need_no_model() -> None:
    assert EngineEmbeddings(Lengths()).embed_documents([]) == []


def test_an_engine_embeds_texts_by_its_own_tokens() -> None:
    tokenizer = make_tokenizer()
    with make_engine() as engine:
        embeddings = EngineEmbeddings(TextEmbedder(engine, tokenizer))

        found = embeddings.embed_documents(["one text", "another"])

        expected = engine.embed([tokenizer.encode("one text"), tokenizer.encode("another")], normalize=True)
        np.testing.assert_allclose(found, expected, atol=1e-5)
        with pytest.raises(ValueError, match="must not be empty"):
            embeddings.embed_query("")
    with pytest.raises(ValueError, match="pooling: must be one of"):
        TextEmbedder(engine, tokenizer, pooling="max")  # type: ignore[arg-type]
