"""SQL reads and writes of documents and passages, tenant by tenant. Ignores embedding, indexes and ranking."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, bindparam, delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from retrieval.documents import Document, DocumentInfo, Passage
from retrieval.passages import content_hash
from retrieval.signatures import read_signatures, write_signatures
from retrieval.tables import DocumentRow, PassageRow, VersionRow

_BATCH = 500  # values in one IN (...)


@dataclass(frozen=True)
class StoredPassage:
    """What an index needs of a passage. `vector` is None if another embedder made the stored one."""

    passage_id: str
    title: str
    heading: str
    text: str
    acl: tuple[str, ...]
    vector: bytes | None


class Catalog:
    """The documents of all tenants in SQL."""

    def __init__(self, sessions: sessionmaker[Session]) -> None:
        self._sessions = sessions

    def version(self, tenant: str) -> str | None:
        """Changes with every change of the tenant's documents; None before the first."""
        with self._sessions() as session:
            return session.scalar(select(VersionRow.version).where(VersionRow.tenant == tenant))

    def content_hashes(self, tenant: str, doc_ids: Sequence[str]) -> dict[str, str]:
        """Hash of each document that is stored, by id."""
        with self._sessions() as session:
            return {
                doc_id: digest
                for batch in _batches(doc_ids)
                for doc_id, digest in session.execute(
                    select(DocumentRow.doc_id, DocumentRow.content_hash).where(
                        DocumentRow.tenant == tenant, DocumentRow.doc_id.in_(batch)
                    )
                )
            }

    def signatures(self, tenant: str) -> dict[str, bytes]:
        """Signature of each document that has one, by id; see `retrieval.duplicates`."""
        with self._sessions() as session:
            return read_signatures(session, tenant)

    def get_documents(self, tenant: str, doc_ids: Sequence[str]) -> dict[str, Document]:
        """Those of the documents that are stored, restricted ones too, by id."""
        statement = select(DocumentRow).where(DocumentRow.tenant == tenant)
        with self._sessions() as session:
            return {
                row.doc_id: Document(row.doc_id, row.title, row.text, row.meta, tuple(row.acl))
                for batch in _batches(doc_ids)
                for row in session.scalars(statement.where(DocumentRow.doc_id.in_(batch)))
            }

    def documents(self, tenant: str) -> list[DocumentInfo]:
        """Every document in order of id, restricted ones too."""
        num_passages = select(func.count()).select_from(PassageRow).where(_same_document()).scalar_subquery()
        statement = select(DocumentRow, num_passages).where(DocumentRow.tenant == tenant).order_by(DocumentRow.doc_id)
        with self._sessions() as session:
            return [
                DocumentInfo(row.doc_id, row.title, row.meta, tuple(row.acl), count, _as_utc(row.updated_at))
                for row, count in session.execute(statement)
            ]

    def visible(self, tenant: str, passage_ids: Sequence[str], groups: Sequence[str]) -> dict[str, Passage]:
        """Those of the passages that exist now and that the groups may see, by id."""
        statement = (
            select(PassageRow.passage_id, PassageRow.heading, PassageRow.text, DocumentRow)
            .join(DocumentRow, _same_document())
            .where(PassageRow.tenant == tenant, PassageRow.passage_id.in_(passage_ids))
        )
        with self._sessions() as session:
            return {
                passage_id: Passage(passage_id, document.doc_id, document.title, heading, text, document.meta)
                for passage_id, heading, text, document in session.execute(statement)
                if not document.acl or set(document.acl) & set(groups)
            }

    def vectors(self, tenant: str, passage_ids: Sequence[str], embedder: str) -> dict[str, bytes]:
        """Stored vector of each passage that has one of this embedder, by id."""
        with self._sessions() as session:
            return {
                passage_id: vector
                for batch in _batches(passage_ids)
                for passage_id, vector in session.execute(
                    select(PassageRow.passage_id, PassageRow.vector).where(
                        PassageRow.tenant == tenant, PassageRow.embedder == embedder, PassageRow.passage_id.in_(batch)
                    )
                )
            }

    def passages(self, tenant: str, embedder: str) -> tuple[str | None, list[StoredPassage]]:
        """The tenant's version and all its passages at that version, in order of document and position."""
        statement = (
            select(PassageRow, DocumentRow.title, DocumentRow.acl)
            .join(DocumentRow, _same_document())
            .where(PassageRow.tenant == tenant)
            .order_by(PassageRow.doc_id, PassageRow.position)
        )
        while True:  # statements need not share one view of the data, so read again if a change came in between
            version = self.version(tenant)
            with self._sessions() as session:
                passages = [
                    StoredPassage(
                        row.passage_id,
                        title,
                        row.heading,
                        row.text,
                        tuple(acl),
                        row.vector if row.embedder == embedder else None,
                    )
                    for row, title, acl in session.execute(statement)
                ]
            if version == self.version(tenant):
                return version, passages

    def replace(
        self,
        tenant: str,
        documents: Mapping[str, tuple[Document, Sequence[Passage]] | None],
        *,
        vectors: Mapping[str, bytes],
        embedder: str,
    ) -> None:
        """Put documents in the place of those with the same ids (None: put nothing); all or nothing, new version."""
        self._ensure_version(tenant)
        with self._sessions.begin() as session:
            # Writing the version first makes other processes' writers to this tenant wait here, so none is half seen.
            session.execute(update(VersionRow).where(VersionRow.tenant == tenant).values(version=uuid.uuid4().hex))
            for batch in _batches(list(documents)):
                for table in (PassageRow, DocumentRow):
                    session.execute(delete(table).where(table.tenant == tenant, table.doc_id.in_(batch)))
            write_signatures(session, tenant, {i: content and content[0] for i, content in documents.items()})
            contents = [content for content in documents.values() if content is not None]
            session.add_all(_document_row(tenant, document) for document, _ in contents)
            session.flush()  # documents before the passages that refer to them
            for _, passages in contents:
                session.add_all(_passage_rows(tenant, passages, vectors, embedder))

    def store_vectors(self, tenant: str, vectors: Mapping[str, bytes], embedder: str) -> None:
        """Replace the vectors of passages that are stored; what they say, and so the version, stays."""
        statement = (
            update(PassageRow)
            .where(PassageRow.tenant == tenant, PassageRow.passage_id == bindparam("id"))
            .values(embedder=embedder, vector=bindparam("new"))
        )
        with self._sessions.begin() as session:
            session.connection().execute(statement, [{"id": key, "new": value} for key, value in vectors.items()])

    def _ensure_version(self, tenant: str) -> None:
        if self.version(tenant) is None:
            try:
                with self._sessions.begin() as session:
                    session.add(VersionRow(tenant=tenant, version=uuid.uuid4().hex))
            except IntegrityError:
                pass  # another process was first


def _same_document() -> ColumnElement[bool]:
    return (PassageRow.tenant == DocumentRow.tenant) & (PassageRow.doc_id == DocumentRow.doc_id)


def _document_row(tenant: str, document: Document) -> DocumentRow:
    return DocumentRow(
        tenant=tenant,
        doc_id=document.doc_id,
        title=document.title,
        text=document.text,
        meta=document.metadata,
        acl=sorted(document.acl),
        content_hash=content_hash(document),
        updated_at=datetime.now(UTC),
    )


def _passage_rows(
    tenant: str, passages: Iterable[Passage], vectors: Mapping[str, bytes], embedder: str
) -> Iterator[PassageRow]:
    for position, passage in enumerate(passages):
        yield PassageRow(
            tenant=tenant,
            passage_id=passage.passage_id,
            doc_id=passage.doc_id,
            position=position,
            heading=passage.heading,
            text=passage.text,
            embedder=embedder,
            vector=vectors[passage.passage_id],
        )


def _as_utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)  # SQLite drops the zone


def _batches(items: Sequence[str]) -> Iterator[Sequence[str]]:
    return (items[start : start + _BATCH] for start in range(0, len(items), _BATCH))
