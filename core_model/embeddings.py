"""LangChain's `Embeddings` over anything that embeds. Ignores which model does it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from langchain_core.embeddings import Embeddings


class Embeds(Protocol):
    """The part of an embedding model that LangChain needs."""

    def embed(self, texts: Sequence[str]) -> Iterable[Iterable[float]]:
        """One vector a text."""


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
