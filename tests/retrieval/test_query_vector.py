"""Whoever has a query's vector spares the search its model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from retrieval.documents import Document
from retrieval.store import KnowledgeBase


def test_a_search_with_the_querys_vector_finds_the_same_and_embeds_nothing(
    open_kb: Callable[..., KnowledgeBase], embedder_class: type[Any]
) -> None:
    embedder = embedder_class()
    kb = open_kb(embedder)
    kb.ingest([Document("fee", "Fees", "A parcel costs $5."), Document("time", "Time", "It takes 3 days.")], tenant="t")
    hits, query_D = kb.search("fees", tenant="t"), kb.embed_query("fees")
    before = embedder.num_embedded

    assert kb.search("fees", tenant="t", query_D=query_D) == hits
    assert embedder.num_embedded == before
