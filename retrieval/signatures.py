"""The SQL side of near-duplicates: one signature a document, written with it. Ignores what a signature means."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import LargeBinary, String, delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from retrieval.documents import Document
from retrieval.duplicates import signature
from retrieval.tables import Base

_BATCH = 500  # values in one IN (...)


class SignatureRow(Base):
    """What `retrieval.duplicates.signature` gave for a stored document; none for a document of a few words."""

    __tablename__ = "retrieval_signatures"

    tenant: Mapped[str] = mapped_column(String(200), primary_key=True)
    doc_id: Mapped[str] = mapped_column(String(200), primary_key=True)
    content: Mapped[bytes] = mapped_column(LargeBinary)


def read_signatures(session: Session, tenant: str) -> dict[str, bytes]:
    """Signature of each document of the tenant that has one, by id."""
    statement = select(SignatureRow.doc_id, SignatureRow.content).where(SignatureRow.tenant == tenant)
    return dict(session.execute(statement).all())


def write_signatures(session: Session, tenant: str, documents: Mapping[str, Document | None]) -> None:
    """Keep the signatures of documents that are stored in this transaction; None: the document is removed."""
    ids = list(documents)
    for start in range(0, len(ids), _BATCH):
        batch = ids[start : start + _BATCH]
        session.execute(delete(SignatureRow).where(SignatureRow.tenant == tenant, SignatureRow.doc_id.in_(batch)))
    found = {doc_id: signature(document) for doc_id, document in documents.items() if document is not None}
    session.add_all(SignatureRow(tenant=tenant, doc_id=i, content=content) for i, content in found.items() if content)
