"""A document checked and cut into passages with stable ids. Ignores storage and indexes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import UTC, datetime

from retrieval.chunking import split_markdown
from retrieval.documents import Document, Passage, Problem

MAX_ID_CHARS = 200
MAX_TEXT_CHARS = 2_000_000


def check_documents(documents: Iterable[Document], *, now: datetime) -> tuple[list[Document], list[Problem]]:
    """Part documents that can be stored from those that cannot, with the reason; of two with one id the first wins."""
    valid: dict[str, Document] = {}
    problems: list[Problem] = []
    for document in documents:
        rule = _broken_rule(document) or _broken_validity(document, now)
        if rule is None and document.doc_id in valid:
            rule = "doc_id: given twice in one ingest"
        if rule is None:
            valid[document.doc_id] = document
        else:
            problems.append(Problem(document.doc_id[:MAX_ID_CHARS], rule))
    return list(valid.values()), problems


def _broken_rule(document: Document) -> str | None:
    if not 0 < len(document.doc_id) <= MAX_ID_CHARS:
        return f"doc_id: must have 1 to {MAX_ID_CHARS} characters"
    if not document.title.strip():
        return "title: must not be empty"
    if not document.text.strip():
        return "text: must not be empty"
    if len(document.text) > MAX_TEXT_CHARS:
        return f"text: longer than {MAX_TEXT_CHARS:,} characters. Split the document"
    if not all(isinstance(group, str) and group for group in document.acl):
        return "acl: every group must be a name that is not empty"
    try:
        stored = json.dumps([document.doc_id, document.title, document.text, document.metadata], ensure_ascii=False)
        stored.encode()
    except UnicodeEncodeError:
        return "text: holds characters that UTF-8 cannot encode"
    except (TypeError, ValueError):
        return "metadata: must be JSON"
    if "\0" in document.text + document.title + document.doc_id or "\\u0000" in stored:
        return "text: holds a NUL character"
    return None


def _broken_validity(document: Document, now: datetime) -> str | None:
    start, end = document.valid_from or now, document.valid_to
    if start.tzinfo is None or (end and end.tzinfo is None):
        return "valid_from, valid_to: must have a time zone"
    if end and end <= start:
        return "valid_to: must be after valid_from (now, if not given)"
    return None


def content_hash(document: Document) -> str:
    """sha256 over everything that is given of a document but its acl, so that any change of it counts."""
    validity = [moment and moment.astimezone(UTC).isoformat() for moment in (document.valid_from, document.valid_to)]
    content = [document.title, document.text, document.metadata, *validity]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def cut(document: Document) -> list[Passage]:
    """The passages of a document in order; repeated ones once. Empty if it has headings only.

    A passage's id comes from document, title, breadcrumb and text: it stays when other parts of the document change.
    """
    passages: dict[str, Passage] = {}
    for chunk in split_markdown(document.text, title=document.title):
        identity = json.dumps([document.doc_id, document.title, chunk.heading, chunk.text])
        passage_id = hashlib.sha256(identity.encode()).hexdigest()[:16]
        passages[passage_id] = Passage(
            passage_id, document.doc_id, document.title, chunk.heading, chunk.text, document.metadata
        )
    return list(passages.values())


def indexed_text(title: str, heading: str, text: str) -> str:
    """What both indexes read of a passage: its place in the document, then its text."""
    return "\n".join(part for part in (title, heading, text) if part)
