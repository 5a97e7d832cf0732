"""The words of retrieval: a document, its passages, a hit, a problem. Ignores where they are stored."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Document:
    """A source text of one tenant. `acl` empty means every caller of the tenant may see it.

    It holds from `valid_from` (None: from when it is stored) until `valid_to` (None: until it is replaced). What an
    earlier version said keeps answering for the time before; from `valid_from` on, this one alone counts.
    """

    doc_id: str
    title: str
    text: str  # Markdown
    metadata: dict[str, Any] = field(default_factory=dict)  # category, language, url
    acl: tuple[str, ...] = ()
    valid_from: datetime | None = None  # with a time zone
    valid_to: datetime | None = None  # with a time zone; the first moment at which it no longer holds


@dataclass(frozen=True)
class Passage:
    """A stretch of a document that is indexed and cited as one.

    `passage_id` is derived from what the passage says, so it survives edits elsewhere in its document.
    `heading` is the breadcrumb of headings above the text ("Express delivery > Islands"), empty above the first.
    """

    passage_id: str
    doc_id: str
    title: str
    heading: str
    text: str
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Hit:
    """A passage that answers a query.

    `score` is the fused rank score (comparable within one query only); `similarity` the cosine in [-1, 1] of the dense
    part.
    """

    passage_id: str
    doc_id: str
    title: str
    heading: str
    text: str
    score: float
    similarity: float
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class DocumentInfo:
    """A document as listed: its newest version, without the text. Times are in UTC."""

    doc_id: str
    title: str
    metadata: dict[str, Any]
    acl: tuple[str, ...]
    num_passages: int
    updated_at: datetime
    valid_from: datetime | None = None
    valid_to: datetime | None = None


@dataclass(frozen=True)
class Problem:
    """Why a file or a document was left out; `source` is a file name or a doc_id."""

    source: str
    reason: str

    def __str__(self) -> str:
        return f"{self.source}: {self.reason}"


@dataclass(frozen=True)
class Duplicate:
    """A document that was left out because it says nearly the same as another one, which is kept; both by id."""

    doc_id: str
    kept: str


@dataclass(frozen=True)
class IngestReport:
    """What one ingest did, in documents. `skipped` and `duplicates` say why; the others were committed together."""

    added: int
    replaced: int
    unchanged: int
    skipped: tuple[Problem, ...] = ()
    duplicates: tuple[Duplicate, ...] = ()
