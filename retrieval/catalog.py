"""SQL reads of documents and passages, tenant by tenant. Ignores writing, embedding, indexes and ranking."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import BindParameter, ColumnElement, Select, bindparam, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session, sessionmaker

from retrieval.documents import Document, DocumentInfo, Passage
from retrieval.signatures import read_signatures
from retrieval.tables import ChangeRow, PassageRow, RevisionRow, VersionRow

Item = TypeVar("Item")
_BATCH = 500  # values in one IN (...)


@dataclass(frozen=True)
class RevisionState:
    """What may change of a revision: who may read it, and when it is valid (`valid_to` None: until further notice)."""

    revision_id: int
    acl: tuple[str, ...]
    valid_from: datetime
    valid_to: datetime | None


@dataclass(frozen=True)
class StoredPassage:
    """What an index needs of a passage. `vector` is None if another embedder made the stored one."""

    row_id: int
    revision_id: int
    title: str
    heading: str
    text: str
    vector: bytes | None


class Catalog:
    """The documents of all tenants in SQL."""

    def __init__(self, sessions: sessionmaker[Session]) -> None:
        self._sessions = sessions

    def version(self, tenant: str) -> str | None:
        """Changes with every change of the tenant's documents; None before the first."""
        return next((version for (version,) in self._columns(_VERSION, tenant=tenant)), None)

    def tenants(self) -> list[str]:
        """Every tenant that ever had a document."""
        return [tenant for (tenant,) in self._rows(select(VersionRow.tenant).order_by(VersionRow.tenant))]

    def fingerprints(self, tenant: str, doc_ids: Sequence[str]) -> dict[str, tuple[str, tuple[str, ...]]]:
        """Content hash and acl of the newest revision of each document that is stored, by id."""
        return {
            doc_id: (content_hash, tuple(acl))
            for batch in batches(doc_ids)
            for doc_id, content_hash, acl in self._rows(
                select(RevisionRow.doc_id, RevisionRow.content_hash, RevisionRow.acl)
                .where(RevisionRow.tenant == tenant, RevisionRow.doc_id.in_(batch))
                .order_by(RevisionRow.id)  # the newest last, and so kept
            )
        }

    def signatures(self, tenant: str) -> dict[str, bytes]:
        """Signature of each document that has one, by id; see `retrieval.duplicates`."""
        with self._sessions() as session:
            return read_signatures(session, tenant)

    def get_documents(self, tenant: str, doc_ids: Sequence[str]) -> dict[str, Document]:
        """Those of the documents that are stored as their newest revisions have them, restricted ones too, by id."""
        statement = select(RevisionRow).where(RevisionRow.tenant == tenant).order_by(RevisionRow.id)
        return {  # the newest last, and so kept
            row.doc_id: Document(row.doc_id, row.title, row.text, row.meta, tuple(row.acl))
            for batch in batches(doc_ids)
            for (row,) in self._rows(statement.where(RevisionRow.doc_id.in_(batch)))
        }

    def documents(self, tenant: str) -> list[DocumentInfo]:
        """Every document in order of id as its newest revision has it, restricted ones too."""
        newest = select(func.max(RevisionRow.id)).where(RevisionRow.tenant == tenant).group_by(RevisionRow.doc_id)
        num_passages = (
            select(func.count())
            .select_from(PassageRow)
            .where(PassageRow.revision_id == RevisionRow.id)
            .scalar_subquery()
        )
        statement = select(RevisionRow, num_passages).where(RevisionRow.id.in_(newest)).order_by(RevisionRow.doc_id)
        return [
            DocumentInfo(
                row.doc_id,
                row.title,
                row.meta,
                tuple(row.acl),
                count,
                as_utc(row.updated_at),
                as_utc(row.valid_from),
                as_utc(row.valid_to) if row.valid_to else None,
            )
            for row, count in self._rows(statement)
        ]

    def visible(
        self, tenant: str, row_ids: Sequence[int], *, groups: Sequence[str], at: datetime, embedder: str
    ) -> dict[int, tuple[Passage, bytes | None]]:
        """Those of the passages that exist now, were valid at `at` and that the groups may see, with their vectors."""
        return {
            row.id: (_passage(row), row.vector if row.embedder == embedder else None)
            for batch in batches(row_ids)
            for row in self._columns(_VISIBLE, tenant=tenant, row_ids=batch)
            if _open(row, groups, at)
        }

    def passage(self, tenant: str, passage_id: str, *, groups: Sequence[str], at: datetime) -> Passage | None:
        """The passage as it was valid at `at`, if the groups may see it."""
        statement = _READABLE.where(PassageRow.tenant == tenant, PassageRow.passage_id == passage_id)
        return next((_passage(row) for row in self._rows(statement) if _open(row, groups, at)), None)

    def vectors(self, tenant: str, passage_ids: Sequence[str], embedder: str) -> dict[str, bytes]:
        """Stored vector of each passage that has one of this embedder, by id."""
        return {
            passage_id: vector
            for batch in batches(passage_ids)
            for passage_id, vector in self._rows(
                select(PassageRow.passage_id, PassageRow.vector).where(
                    PassageRow.tenant == tenant, PassageRow.embedder == embedder, PassageRow.passage_id.in_(batch)
                )
            )
        }

    # --- what indexes are made of -----------------------------------------------------------------------------------

    def last_change(self, tenant: str) -> int:
        """Number of the tenant's last change; 0 before the first."""
        with self._sessions() as session:
            return session.scalar(select(func.max(ChangeRow.id)).where(ChangeRow.tenant == tenant)) or 0

    def change_of(self, tenant: str, version: str) -> int | None:
        """Number of the change that gave this version; None if the log does not hold it (any more)."""
        with self._sessions() as session:
            return session.scalar(select(ChangeRow.id).where(ChangeRow.tenant == tenant, ChangeRow.version == version))

    def touched_since(self, tenant: str, change: int) -> tuple[int, set[int]] | None:
        """Number of the last change and the revisions touched after `change`; None if the log does not reach back."""
        statement = select(ChangeRow.id, ChangeRow.revision_ids).where(
            ChangeRow.tenant == tenant, ChangeRow.id >= change
        )
        rows = self._rows(statement.order_by(ChangeRow.id))
        if not rows or rows[0][0] != change:
            return None
        return rows[-1][0], {revision_id for _, ids in rows[1:] for revision_id in ids}

    def revisions(self, tenant: str, revision_ids: Sequence[int] | None = None) -> list[RevisionState]:
        """State of all the tenant's revisions, or of those asked for that are stored; in order of id."""
        statement = select(RevisionRow.id, RevisionRow.acl, RevisionRow.valid_from, RevisionRow.valid_to).order_by(
            RevisionRow.id
        )
        parts = (
            [statement.where(RevisionRow.tenant == tenant)]
            if revision_ids is None
            else [
                statement.where(_is(RevisionRow.tenant, tenant), RevisionRow.id.in_(batch))
                for batch in batches(sorted(revision_ids))
            ]
        )
        return [
            RevisionState(key, tuple(acl), as_utc(start), as_utc(end) if end else None)
            for part in parts
            for key, acl, start, end in self._rows(part)
        ]

    def passages_of(self, tenant: str, revision_ids: Sequence[int], embedder: str) -> list[StoredPassage]:
        """The passages of these revisions."""
        statement = _STORED.where(_is(PassageRow.tenant, tenant))
        return [
            StoredPassage(row_id, revision_id, title, heading, text, vector if made_by == embedder else None)
            for batch in batches(sorted(revision_ids))
            for row_id, revision_id, title, heading, text, vector, made_by in self._rows(
                statement.where(PassageRow.revision_id.in_(batch))
            )
        ]

    def all_passages(self, tenant: str, embedder: str) -> Iterator[list[StoredPassage]]:
        """All the tenant's passages, revision by revision, in pages: changes beside the reading are seen or not."""
        statement = select(RevisionRow.id).where(RevisionRow.tenant == tenant).order_by(RevisionRow.id)
        for batch in batches([revision_id for (revision_id,) in self._rows(statement)]):
            yield self.passages_of(tenant, batch, embedder)

    def _rows(self, statement: Any) -> list[Any]:
        with self._sessions() as session:
            return list(session.execute(statement))

    def _columns(self, statement: Select[Any], **parameters: Any) -> Sequence[Any]:
        """As `_rows`, for what every search asks: made once and past the ORM, a statement takes a third of the time."""
        with self._sessions() as session:
            return session.connection().execute(statement, parameters).all()


def as_utc(moment: datetime) -> datetime:
    """The moment with its zone, which SQLite drops."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def batches(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """Cut into pieces that fit one statement."""
    return (items[start : start + _BATCH] for start in range(0, len(items), _BATCH))


def _is(column: InstrumentedAttribute[str], tenant: str | BindParameter[str]) -> ColumnElement[bool]:
    """The tenant as a condition that no index answers, beside ids that the database shall look up.

    SQLite takes "of this tenant" for rarer than ten ids, and would read all of a tenant's rows to find those ten.
    """
    return column.concat("") == tenant


_READABLE = select(
    *(PassageRow.id, PassageRow.passage_id, PassageRow.heading, PassageRow.text),
    *(RevisionRow.doc_id, RevisionRow.title, RevisionRow.meta.label("meta")),
    *(RevisionRow.acl, RevisionRow.valid_from, RevisionRow.valid_to),
).join(RevisionRow, PassageRow.revision_id == RevisionRow.id)

_VISIBLE = _READABLE.add_columns(PassageRow.embedder, PassageRow.vector).where(
    _is(PassageRow.tenant, bindparam("tenant")), PassageRow.id.in_(bindparam("row_ids", expanding=True))
)

_VERSION = select(VersionRow.version).where(VersionRow.tenant == bindparam("tenant"))

_STORED = (
    select(
        *(PassageRow.id, PassageRow.revision_id, RevisionRow.title, PassageRow.heading, PassageRow.text),
        *(PassageRow.vector, PassageRow.embedder),
    )
    .join(RevisionRow, PassageRow.revision_id == RevisionRow.id)
    .order_by(PassageRow.id)
)


def _open(row: Any, groups: Sequence[str], at: datetime) -> bool:
    valid = as_utc(row.valid_from) <= at and (row.valid_to is None or at < as_utc(row.valid_to))
    return valid and (not row.acl or bool(set(row.acl) & set(groups)))


def _passage(row: Any) -> Passage:
    return Passage(row.passage_id, row.doc_id, row.title, row.heading, row.text, row.meta)
