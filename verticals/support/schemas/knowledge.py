"""What goes in and out of the knowledge base: searches and documents. Ignores how passages are found."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from verticals.contract import UploadedFile
from verticals.support.schemas.base import MAX_DOCUMENT_CHARS, Identifier, Strict
from verticals.support.schemas.messages import Source


class SearchRequest(Strict):
    """A question to the knowledge base alone, without the agent."""

    query: Annotated[str, Field(min_length=1, max_length=2_000)]
    k: Annotated[int, Field(ge=1, le=50)] = 5


class SearchResponse(BaseModel):
    """Passages, best first."""

    hits: list[Source]


class DocumentInput(Strict):
    """A Markdown document. The same `doc_id` again replaces it."""

    doc_id: Identifier
    title: Annotated[str, Field(min_length=1, max_length=300)]
    text: Annotated[str, Field(min_length=1, max_length=MAX_DOCUMENT_CHARS)]
    metadata: dict[str, Any] = Field(default_factory=dict)


class IngestRequest(Strict):
    """Documents to add or replace."""

    documents: Annotated[list[DocumentInput], Field(min_length=1, max_length=500)]


class UploadRequest(Strict):
    """A file: Markdown, text, HTML, PDF, DOCX, or CSV, JSON and JSON Lines with questions and answers.

    Its name is its `doc_id`, unless its front matter states one, so that the same file again replaces the document.
    """

    file: UploadedFile


class SkippedDocument(BaseModel):
    """A document that was left out, and why."""

    doc_id: str
    reason: str


class DuplicateDocument(BaseModel):
    """A document that was left out because it says nearly the same as `kept`."""

    doc_id: str
    kept: str


class IngestResponse(BaseModel):
    """What the knowledge base did, in documents. On return, searches find the new content."""

    added: int
    replaced: int
    unchanged: int
    skipped: list[SkippedDocument] = Field(default_factory=list)
    duplicates: list[DuplicateDocument] = Field(default_factory=list)


class UploadResponse(IngestResponse):
    """What became of the one document that the file holds, and what was read of it."""

    doc_id: str
    title: str
    language: str


class ListDocumentsRequest(Strict):
    """A page of the knowledge base, by document id."""

    limit: Annotated[int, Field(ge=1, le=500)] = 200
    offset: Annotated[int, Field(ge=0)] = 0


class DocumentInfo(BaseModel):
    """A stored document without its text."""

    doc_id: str
    title: str
    passages: int
    metadata: dict[str, Any] = Field(default_factory=dict)


class DocumentPage(BaseModel):
    """A page of documents; `total` counts all of the tenant's."""

    documents: list[DocumentInfo]
    total: Annotated[int, Field(ge=0)]


class DeleteDocumentRequest(Strict):
    """Which document."""

    doc_id: Identifier


class DeleteDocumentResponse(BaseModel):
    """The document is gone and is never returned again."""

    doc_id: str
    deleted: Literal[True] = True
