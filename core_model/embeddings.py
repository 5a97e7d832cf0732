"""Text to vectors by the engine's own model, and LangChain's `Embeddings` over anything that embeds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from langchain_core.embeddings import Embeddings

from core_model.heads import Encodes, Pools
from core_model.pooled import FloatArray, Pooling, check_pooling


class Embeds(Protocol):
    """The part of an embedding model that LangChain needs."""

    def embed(self, texts: Sequence[str]) -> Iterable[Iterable[float]]:
        """One vector a text."""


class TextEmbedder:
    """Implements `Embeds` over an engine: its last hidden states, pooled.

    Vectors of a model that was trained to continue text, not to tell texts apart: good features for a head, poor ones
    for search; retrieval has a model of its own.

    Args:
        engine: An `Engine`.
        tokenizer: Its tokenizer.
        normalize: Vectors of length 1, so that a dot product is a cosine.

    Raises:
        ValueError: an unknown pooling.
    """

    def __init__(self, engine: Pools, tokenizer: Encodes, *, pooling: Pooling = "mean", normalize: bool = True) -> None:
        check_pooling(pooling)
        self._engine, self._tokenizer, self._pooling, self._normalize = engine, tokenizer, pooling, normalize

    def embed(self, texts: Sequence[str]) -> FloatArray:
        """One row a text, (texts, D) fp32.

        Raises:
            ValueError: no text, an empty one, or one longer than the context.
        """
        prompts = [self._tokenizer.encode(text) for text in texts]
        return self._engine.embed(prompts, pooling=self._pooling, normalize=self._normalize)


class EngineEmbeddings(Embeddings):
    """Vectors as LangChain's stores want them; queries and documents are embedded alike.

    Args:
        model: Embeds texts; called with what LangChain gives, unchanged.
    """

    def __init__(self, model: Embeds) -> None:
        self._model = model

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """One vector a text; none for none."""
        return [[float(value) for value in vector] for vector in self._model.embed(texts)] if texts else []

    def embed_query(self, text: str) -> list[float]:
        """The vector of one text."""
        return self.embed_documents([text])[0]
