"""The operations that need no model: search and documents, over a fake of the knowledge base."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from retrieval.documents import Document, DocumentInfo, IngestReport, Problem
from tests.verticals.support.fakes import ListRetriever, context, hit
from verticals.contract import InvalidInput, NotFound, TooLarge, UnsupportedMedia, UploadedFile
from verticals.support.knowledge_handlers import KnowledgeHandlers
from verticals.support.safety.guard import Guard
from verticals.support.schemas import (
    DeleteDocumentRequest,
    DocumentInput,
    IngestRequest,
    ListDocumentsRequest,
    SearchRequest,
    UploadRequest,
)


class Shelf(ListRetriever):
    """Documents by (tenant, id); a document titled "bad" is left out."""

    def __init__(self) -> None:
        super().__init__([hit("Returns take 30 days.", similarity=0.7)])
        self.documents: dict[tuple[str, str], Document] = {}

    def ingest(self, documents: list[Document], *, tenant: str, on_progress: object) -> IngestReport:
        good = [document for document in documents if document.title != "bad"]
        self.documents.update({(tenant, document.doc_id): document for document in good})
        bad = tuple(Problem(d.doc_id, "title: is bad") for d in documents if d.title == "bad")
        return IngestReport(added=len(good), replaced=0, unchanged=0, skipped=bad)

    def list_documents(self, tenant: str) -> list[DocumentInfo]:
        now = datetime.now(UTC)
        mine = sorted(doc_id for owner, doc_id in self.documents if owner == tenant)
        return [DocumentInfo(i, self.documents[tenant, i].title, {"a": 1}, (), 2, now) for i in mine]

    def delete(self, doc_id: str, tenant: str) -> bool:
        return self.documents.pop((tenant, doc_id), None) is not None


def _ingest(*doc_ids: str, title: str = "A title") -> IngestRequest:
    return IngestRequest(documents=[DocumentInput(doc_id=i, title=title, text="Text.") for i in doc_ids])


def test_search_returns_numbered_hits_with_scores() -> None:
    found = KnowledgeHandlers(Shelf(), Guard(None)).search(SearchRequest(query="returns"), context())

    assert [(h.number, h.doc_id, h.similarity, h.score) for h in found.hits] == [(1, "d1", 0.7, 1.0)]


def test_a_blank_search_is_refused() -> None:
    with pytest.raises(InvalidInput, match="must not be blank"):
        KnowledgeHandlers(Shelf(), Guard(None)).search(SearchRequest(query="  "), context())


def _upload(filename: str, content: bytes) -> UploadRequest:
    return UploadRequest(file=UploadedFile(filename=filename, content=content))


def test_an_uploaded_file_becomes_a_document() -> None:
    shelf = Shelf()
    request = _upload("C:\\shop\\returns.html", "<h1>退货</h1><p>您可以在三十天内退货。</p>".encode())

    done = KnowledgeHandlers(shelf, Guard(None)).upload(request, context())

    assert (done.doc_id, done.title, done.language, done.added) == ("returns.html", "退货", "zh", 1)
    assert [document.text for document in shelf.documents.values()] == ["# 退货\n\n您可以在三十天内退货。"]


@pytest.mark.parametrize(
    ("filename", "content", "error", "message"),
    [
        ("a.exe", b"MZ", UnsupportedMedia, r"file: files of type \.exe are not read\. Send one of \.md"),
        ("a.csv", b"x" * 2_000_001, TooLarge, r"file: larger than 2,000,000 bytes\. Split it\."),
        ("a.json", b"{", InvalidInput, r"file: line 1: not JSON\. Export it again\."),
        ("a.md", b"", InvalidInput, r"file: empty file\."),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_rule_and_remedy(
    filename: str, content: bytes, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        KnowledgeHandlers(Shelf(), Guard(None)).upload(_upload(filename, content), context())


def test_what_was_left_out_of_an_ingest_is_said() -> None:
    handlers = KnowledgeHandlers(Shelf(), Guard(None))

    report = handlers.ingest(_ingest("a", title="bad"), context())

    assert (report.added, [(s.doc_id, s.reason) for s in report.skipped]) == (0, [("a", "title: is bad")])


def test_documents_are_listed_in_pages_and_per_tenant() -> None:
    handlers = KnowledgeHandlers(Shelf(), Guard(None))
    handlers.ingest(_ingest("a", "b", "c"), context())
    handlers.ingest(_ingest("z"), context(tenant="other"))

    page = handlers.list_documents(ListDocumentsRequest(limit=2, offset=1), context())

    assert ([d.doc_id for d in page.documents], page.total) == (["b", "c"], 3)
    assert page.documents[0].passages == 2


def test_another_tenants_document_cannot_be_deleted() -> None:
    handlers = KnowledgeHandlers(Shelf(), Guard(None))
    handlers.ingest(_ingest("a"), context())

    with pytest.raises(NotFound, match="no such document"):
        handlers.delete_document(DeleteDocumentRequest(doc_id="a"), context(tenant="other"))
    assert handlers.delete_document(DeleteDocumentRequest(doc_id="a"), context()).deleted
    with pytest.raises(NotFound, match="no such document"):
        handlers.delete_document(DeleteDocumentRequest(doc_id="a"), context())
