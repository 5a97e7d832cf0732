"""The operations on the knowledge base: search it, add to it, look at it, take away. Ignores how passages are found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from retrieval.documents import Document
from retrieval.ingest import read_file
from retrieval.language import detect_language
from retrieval.readers.reading import FileTooLarge, UnknownFormat, UnreadableFile
from verticals.contract import Context, InvalidInput, NotFound, TooLarge, TriviumError, UnsupportedMedia
from verticals.support import schemas as s
from verticals.support.ingesting import ingest
from verticals.support.safety.guard import Guard
from verticals.support.turn import to_sources

UPLOAD_ERRORS: Mapping[type[UnreadableFile], type[TriviumError]] = {
    UnknownFormat: UnsupportedMedia,
    FileTooLarge: TooLarge,
    UnreadableFile: InvalidInput,
}


class KnowledgeHandlers:
    """One method per operation: `(request, context)` to response."""

    def __init__(self, knowledge: Any, guard: Guard) -> None:
        self._knowledge, self._guard = knowledge, guard

    def search(self, request: s.SearchRequest, context: Context) -> s.SearchResponse:
        """Passages for a query, best first."""
        if not request.query.strip():
            raise InvalidInput("must not be blank", field="query", remedy="Send some words.")
        hits = self._knowledge.search(request.query, tenant=context.tenant, k=request.k)
        return s.SearchResponse(hits=to_sources(hits))

    def ingest(self, request: s.IngestRequest, context: Context) -> s.IngestResponse:
        """Add or replace documents."""
        documents = [
            Document(d.doc_id, d.title, d.text, {"language": detect_language(d.text)} | d.metadata)
            for d in request.documents
        ]
        return s.IngestResponse(**self._take_in(documents, context))

    def upload(self, request: s.UploadRequest, context: Context) -> s.UploadResponse:
        """Add or replace the document that a file holds."""
        name = request.file.filename.replace("\\", "/").rpartition("/")[2]
        try:
            document = read_file(name, request.file.content)
        except UnreadableFile as error:
            raise UPLOAD_ERRORS[type(error)](error.rule, field="file", remedy=error.remedy or None) from None
        return s.UploadResponse(
            doc_id=document.doc_id,
            title=document.title,
            language=document.metadata["language"],
            **self._take_in([document], context),
        )

    def list_documents(self, request: s.ListDocumentsRequest, context: Context) -> s.DocumentPage:
        """A page of the knowledge base."""
        infos = self._knowledge.list_documents(context.tenant)
        return s.DocumentPage(
            documents=[
                s.DocumentInfo(doc_id=i.doc_id, title=i.title, passages=i.num_passages, metadata=i.metadata)
                for i in infos[request.offset : request.offset + request.limit]
            ],
            total=len(infos),
        )

    def delete_document(self, request: s.DeleteDocumentRequest, context: Context) -> s.DeleteDocumentResponse:
        """Remove a document."""
        if not self._knowledge.delete(request.doc_id, context.tenant):
            raise NotFound("no such document", field="doc_id", value=request.doc_id, remedy="List documents first.")
        return s.DeleteDocumentResponse(doc_id=request.doc_id)

    def _take_in(self, documents: Sequence[Document], context: Context) -> dict[str, Any]:
        report = ingest(self._knowledge, self._guard, documents, tenant=context.tenant)
        return {
            "added": report.added,
            "replaced": report.replaced,
            "unchanged": report.unchanged,
            "skipped": [s.SkippedDocument(doc_id=p.source, reason=p.reason) for p in report.skipped],
            "duplicates": [s.DuplicateDocument(doc_id=d.doc_id, kept=d.kept) for d in report.duplicates],
        }
