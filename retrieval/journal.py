"""SQL writes of documents: each change whole or not at all, with its line in the log. Ignores embedding and indexes."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import bindparam, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from retrieval.catalog import as_utc, batches
from retrieval.documents import Document, Passage
from retrieval.passages import content_hash
from retrieval.signatures import write_signatures
from retrieval.tables import ChangeRow, PassageRow, RevisionRow, VersionRow


class Journal:
    """Changes of the documents of all tenants."""

    def __init__(self, sessions: sessionmaker[Session]) -> None:
        self._sessions = sessions

    def write(
        self,
        tenant: str,
        contents: Mapping[str, tuple[Document, Sequence[Passage]]],
        *,
        acls: Mapping[str, tuple[str, ...]],
        vectors: Mapping[str, bytes],
        embedder: str,
        now: datetime,
    ) -> None:
        """Add a revision of each document in `contents` and give those in `acls` that acl, in all their revisions.

        A revision ends the earlier ones where it begins; those that begin no earlier are dropped.

        Args:
            vectors: By passage id.
            now: Where a document begins that does not say so.
        """
        self._ensure_version(tenant)
        starts = {doc_id: (document.valid_from or now).astimezone(UTC) for doc_id, (document, _) in contents.items()}
        acls = dict(acls) | {doc_id: document.acl for doc_id, (document, _) in contents.items()}
        with self._sessions.begin() as session:
            version = _turn(session, tenant)
            touched, dropped, ended = [], [], []
            for revision_id, doc_id, valid_from, valid_to in _revisions(session, tenant, list(acls)):
                start = starts.get(doc_id)
                touched.append(revision_id)
                if start is not None and valid_from >= start:
                    dropped.append(revision_id)
                elif start is not None and (valid_to is None or valid_to > start):
                    ended.append({"key": revision_id, "start": start})
            _remove(session, dropped)
            by_id = update(RevisionRow).where(RevisionRow.id == bindparam("key"))
            _execute_many(session, by_id.values(valid_to=bindparam("start")), ended)
            by_document = update(RevisionRow).where(
                RevisionRow.tenant == tenant, RevisionRow.doc_id == bindparam("key")
            )
            new_acls = [{"key": doc_id, "groups": sorted(acl)} for doc_id, acl in acls.items()]
            _execute_many(session, by_document.values(acl=bindparam("groups")), new_acls)
            rows = [_revision_row(tenant, document, starts[doc_id], now) for doc_id, (document, _) in contents.items()]
            session.add_all(rows)
            session.flush()  # gives the ids
            new_passages = [
                passage_row
                for row, (_, passages) in zip(rows, contents.values(), strict=True)
                for passage_row in _passage_rows(row, passages, vectors, embedder)
            ]
            _execute_many(session, insert(PassageRow), new_passages)
            write_signatures(session, tenant, {doc_id: document for doc_id, (document, _) in contents.items()})
            _log_change(session, tenant, version, [*touched, *(row.id for row in rows)], now)

    def delete(self, tenant: str, doc_id: str, *, now: datetime) -> bool:
        """Remove a document with its past; False if there is none."""
        self._ensure_version(tenant)
        with self._sessions.begin() as session:
            version = _turn(session, tenant)
            removed = [revision_id for revision_id, *_ in _revisions(session, tenant, [doc_id])]
            _remove(session, removed)
            write_signatures(session, tenant, {doc_id: None})
            _log_change(session, tenant, version, removed, now)
        return bool(removed)

    def forget(self, tenant: str, *, ended_before: datetime, logged_before: datetime, change: int) -> None:
        """Drop replaced revisions that ended before one time, and lines of the log before `change` and another time.

        The newest revision of a document stays until it is replaced or deleted, however long ago it ended.
        """
        newest = select(func.max(RevisionRow.id)).where(RevisionRow.tenant == tenant).group_by(RevisionRow.doc_id)
        old = select(RevisionRow.id).where(
            RevisionRow.tenant == tenant, RevisionRow.valid_to < ended_before, RevisionRow.id.not_in(newest)
        )
        with self._sessions.begin() as session:
            wait = update(VersionRow).where(VersionRow.tenant == tenant).values(version=VersionRow.version)
            session.execute(wait)  # for writers to finish; the version stays
            _remove(session, list(session.scalars(old)))  # SQL does not show them, so indexes need not know
            session.execute(
                delete(ChangeRow).where(
                    ChangeRow.tenant == tenant, ChangeRow.id < change, ChangeRow.changed_at < logged_before
                )
            )

    def store_vectors(self, vectors: Mapping[int, bytes], embedder: str) -> None:
        """Replace the vectors of passages by row id; what they say, and so the version, stays."""
        statement = update(PassageRow).where(PassageRow.id == bindparam("key"))
        with self._sessions.begin() as session:
            rows = [{"key": key, "new": vector} for key, vector in vectors.items()]
            _execute_many(session, statement.values(embedder=embedder, vector=bindparam("new")), rows)

    def _ensure_version(self, tenant: str) -> None:
        with self._sessions() as session:
            if session.get(VersionRow, tenant) is not None:
                return
        try:
            with self._sessions.begin() as session:
                session.add(VersionRow(tenant=tenant, version=uuid.uuid4().hex))
        except IntegrityError:
            pass  # another process was first


def _turn(session: Session, tenant: str) -> str:
    """A new version, written first: other writers to this tenant wait here, so ids grow in the order of changes."""
    version = uuid.uuid4().hex
    session.execute(update(VersionRow).where(VersionRow.tenant == tenant).values(version=version))
    return version


def _revisions(
    session: Session, tenant: str, doc_ids: Sequence[str]
) -> Iterable[tuple[int, str, datetime, datetime | None]]:
    statement = select(RevisionRow.id, RevisionRow.doc_id, RevisionRow.valid_from, RevisionRow.valid_to)
    for batch in batches(doc_ids):
        chosen = statement.where(RevisionRow.tenant == tenant, RevisionRow.doc_id.in_(batch))
        for revision_id, doc_id, start, end in session.execute(chosen):
            yield revision_id, doc_id, as_utc(start), as_utc(end) if end else None


def _remove(session: Session, revision_ids: Sequence[int]) -> None:
    for batch in batches(revision_ids):
        session.execute(delete(PassageRow).where(PassageRow.revision_id.in_(batch)))
        session.execute(delete(RevisionRow).where(RevisionRow.id.in_(batch)))


def _execute_many(session: Session, statement: Any, rows: list[dict[str, Any]]) -> None:
    if rows:
        session.connection().execute(statement, rows)


def _log_change(session: Session, tenant: str, version: str, revision_ids: list[int], now: datetime) -> None:
    session.add(ChangeRow(tenant=tenant, version=version, revision_ids=revision_ids, changed_at=now))


def _revision_row(tenant: str, document: Document, start: datetime, now: datetime) -> RevisionRow:
    return RevisionRow(
        tenant=tenant,
        doc_id=document.doc_id,
        title=document.title,
        text=document.text,
        meta=document.metadata,
        acl=sorted(document.acl),
        content_hash=content_hash(document),
        valid_from=start,
        valid_to=document.valid_to and document.valid_to.astimezone(UTC),
        updated_at=now,
    )


def _passage_rows(
    row: RevisionRow, passages: Iterable[Passage], vectors: Mapping[str, bytes], embedder: str
) -> Iterable[dict[str, Any]]:
    for position, passage in enumerate(passages):
        yield {
            "revision_id": row.id,
            "tenant": row.tenant,
            "passage_id": passage.passage_id,
            "position": position,
            "heading": passage.heading,
            "text": passage.text,
            "embedder": embedder,
            "vector": vectors[passage.passage_id],
        }
