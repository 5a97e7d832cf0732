"""The words of retrieval: a document, its passages, a hit. Ignores where they are stored."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Document:
    """A source text of one tenant. `acl` empty means every caller of the tenant may see it."""

    doc_id: str
    title: str
    text: str  # Markdown
    metadata: dict[str, Any] = field(default_factory=dict)  # category, language, url
    acl: tuple[str, ...] = ()


@dataclass(frozen=True)
class Hit:
    """A passage that answers a query.

    `score` is the fused rank score (comparable within one query only); `similarity` the cosine in [-1, 1] of the dense part.
    """

    passage_id: str
    doc_id: str
    title: str
    heading: str
    text: str
    score: float
    similarity: float
    metadata: dict[str, Any] = field(default_factory=dict)
