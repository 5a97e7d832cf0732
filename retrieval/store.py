"""The knowledge base: documents of many tenants in SQL, searched through snapshots. Ignores file formats and models.

SQL is the truth. Every change gives its tenant a new version; the snapshot of that version is looked for in memory,
then on disk, else built from SQL. Whatever a snapshot proposes is checked against SQL before it is returned, so an old
snapshot may miss what is new for a moment, but never shows what is deleted or closed.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session, sessionmaker

from retrieval.catalog import Catalog
from retrieval.dense import DenseIndex
from retrieval.documents import Document, DocumentInfo, Duplicate, Hit, IngestReport, Passage, Problem
from retrieval.duplicates import find_duplicates
from retrieval.embed import Embedder
from retrieval.lexical import LexicalIndex
from retrieval.passages import check_documents, content_hash, cut, indexed_text
from retrieval.rerank import Reranker, rerank
from retrieval.snapshot import Snapshot, SnapshotError

MAX_K = 100
MAX_QUERY_CHARS = 4_000  # far beyond what the embedder reads
_CANDIDATES = 50  # from each index, at least
_EMBED_BATCH = 64
_RERANKED = 20  # hits, at least

Progress = Callable[[str, float], None]  # (what is being done, share done 0-1)
_log = logging.getLogger(__name__)


def _silent(what: str, share: float) -> None:
    """Report no progress."""


class KnowledgeBase:
    """Hybrid search over each tenant's documents. Safe from many threads; other processes' changes are noticed.

    Args:
        sessions: Sessions on a database that has the tables of `retrieval.tables`.
        embedder: Stored vectors of another embedder, from an earlier run, are computed anew.
        index_dir: Folder for snapshots; what is in it may be deleted at any time.
        reranker: Takes a second look at the best hits; the fused order stands if None.
    """

    def __init__(
        self,
        sessions: sessionmaker[Session],
        embedder: Embedder,
        index_dir: Path,
        *,
        reranker: Reranker | None = None,
    ) -> None:
        self._reranker = reranker
        self._catalog, self._embedder, self._index_dir = Catalog(sessions), embedder, index_dir
        self._snapshots: dict[str, Snapshot] = {}
        self._build_locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._write_locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def ingest(self, documents: Iterable[Document], *, tenant: str, on_progress: Progress = _silent) -> IngestReport:
        """Add documents, replace those whose content changed, and leave the others alone; one transaction.

        A new document that says nearly the same as another one is left out (see `retrieval.duplicates`). Documents that
        are not given stay. On return, searches find the new content.

        Returns:
            Counts of documents, and the ones left out with the reason.
        Raises:
            ValueError: the tenant's name is empty or too long.
        """
        _check_tenant(tenant)
        valid, skipped = check_documents(documents)
        with self._write_locks[tenant]:
            known = self._catalog.content_hashes(tenant, [document.doc_id for document in valid])
            edited = [document for document in valid if known.get(document.doc_id) != content_hash(document)]
            same = find_duplicates(
                [document for document in edited if document.doc_id not in known],
                beside=[document for document in edited if document.doc_id in known],
                stored=self._catalog.signatures(tenant),
                load=partial(self._catalog.get_documents, tenant),
            )
            fresh = [document for document in edited if document.doc_id not in same]
            changed = {document.doc_id: (document, passages) for document in fresh if (passages := cut(document))}
            skipped += [Problem(d.doc_id, "text: headings only") for d in fresh if d.doc_id not in changed]
            if changed:
                passages = [passage for _, cuts in changed.values() for passage in cuts]
                vectors = self._vectors(tenant, passages, on_progress)
                self._catalog.replace(tenant, changed, vectors=vectors, embedder=self._embedder.name)
        on_progress("Indexing", 0.0)
        self._snapshot(tenant, wait=True)
        on_progress("Indexing", 1.0)
        replaced = sum(doc_id in known for doc_id in changed)
        duplicates = tuple(Duplicate(doc_id, kept) for doc_id, kept in same.items())
        return IngestReport(len(changed) - replaced, replaced, len(valid) - len(edited), tuple(skipped), duplicates)

    def delete(self, doc_id: str, tenant: str) -> bool:
        """Remove a document. From the return on, no search shows it.

        Returns:
            False if the tenant has no such document.
        """
        with self._write_locks[tenant]:
            if not self._catalog.content_hashes(tenant, [doc_id]):
                return False
            self._catalog.replace(tenant, {doc_id: None}, vectors={}, embedder=self._embedder.name)
        self._snapshot(tenant, wait=True)
        return True

    def version(self, tenant: str) -> str | None:
        """Changes with every change of the tenant's documents; None before the first."""
        return self._catalog.version(tenant)

    def list_documents(self, tenant: str) -> list[DocumentInfo]:
        """Every document of the tenant in order of id, restricted ones too: a view for those who keep the documents."""
        return self._catalog.documents(tenant)

    def get_passage(self, passage_id: str, *, tenant: str, acl: Sequence[str] = ()) -> Passage | None:
        """A passage by id; None if there is none that the caller may see."""
        return self._catalog.visible(tenant, [passage_id], acl).get(passage_id)

    def search(self, query: str, *, tenant: str, acl: Sequence[str] = (), k: int = 5) -> list[Hit]:
        """The k best passages that the caller may see, best first; fewer if there are no more.

        Dense and BM25 rankings are joined by reciprocal rank fusion. There are hits for any query: compare
        `similarity` with a measured threshold to tell whether they answer it.

        Args:
            query: A customer's words; what exceeds 4,000 characters is not read.
            tenant: Whose documents.
            acl: The caller's groups. A document with groups needs one of them.
            k: 1 to 100.
        Raises:
            ValueError: the query is blank, k is out of range, or the tenant's name is empty or too long.
        """
        _check_tenant(tenant)
        query = query[:MAX_QUERY_CHARS].encode("utf-8", "replace").decode()
        if not query.strip():
            raise ValueError("query: must not be blank.")
        if not 1 <= k <= MAX_K:
            raise ValueError(f"k: must be 1 to {MAX_K} (got {k}).")
        snapshot = self._snapshot(tenant)
        if snapshot is None or not snapshot.passage_ids:
            return []
        query_D = self._embedder.embed_query(query)
        candidates = snapshot.search(query, query_D, groups=acl, depth=max(_CANDIDATES, 4 * k))
        visible = self._catalog.visible(tenant, [candidate.passage_id for candidate in candidates], acl)
        hits = [
            Hit(p.passage_id, p.doc_id, p.title, p.heading, p.text, found.score, found.similarity, p.metadata)
            for found in candidates
            if (p := visible.get(found.passage_id)) is not None
        ]
        if self._reranker is not None:
            hits = rerank(self._reranker, query, hits[: max(_RERANKED, k)])
        return hits[:k]

    @property
    def embedder(self) -> Embedder:
        """What turns its texts into vectors."""
        return self._embedder

    def similarities(self, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """Cosine of the query and each text, shape (texts,): what `Hit.similarity` is to a passage."""
        cosines: NDArray[np.float32] = self._embedder.embed(texts) @ self._embedder.embed_query(query)
        return cosines

    def _vectors(self, tenant: str, passages: Sequence[Passage], on_progress: Progress) -> dict[str, bytes]:
        """Vector of each passage; what is stored under the same id, and so of the same words, is not computed again."""
        texts = {p.passage_id: indexed_text(p.title, p.heading, p.text) for p in passages}
        vectors = self._catalog.vectors(tenant, list(texts), self._embedder.name)
        return vectors | self._embed({key: text for key, text in texts.items() if key not in vectors}, on_progress)

    def _embed(self, texts: Mapping[str, str], on_progress: Progress) -> dict[str, bytes]:
        vectors: dict[str, bytes] = {}
        ids = list(texts)
        for start in range(0, len(ids), _EMBED_BATCH):
            on_progress("Embedding passages", start / len(ids))
            batch = ids[start : start + _EMBED_BATCH]
            vectors_ND = self._embedder.embed([texts[passage_id] for passage_id in batch]).astype("<f4")
            vectors.update((passage_id, row.tobytes()) for passage_id, row in zip(batch, vectors_ND, strict=True))
        on_progress("Embedding passages", 1.0)
        return vectors

    def _snapshot(self, tenant: str, *, wait: bool = False) -> Snapshot | None:
        """The snapshot of the tenant's version; None for a tenant that never had a document.

        While another thread prepares the new one, an old one that is at hand is returned, unless `wait`.
        """
        held, version = self._snapshots.get(tenant), self._catalog.version(tenant)
        if version is None:
            return None
        if held is not None and held.version == version:
            return held
        lock = self._build_locks[tenant]
        if not lock.acquire(blocking=wait or held is None):
            return held
        try:
            held, version = self._snapshots.get(tenant), self._catalog.version(tenant)
            if version is not None and (held is None or held.version != version):
                self._snapshots[tenant] = held = self._load_or_build(tenant, version)
            return held
        finally:
            lock.release()

    def _load_or_build(self, tenant: str, version: str) -> Snapshot:
        folder = self._index_dir / hashlib.sha256(tenant.encode()).hexdigest()[:16]  # a tenant may bear any name
        try:
            return Snapshot.load(folder / version, version=version, embedder=self._embedder.name)
        except SnapshotError as error:
            if (folder / version).exists():
                _log.warning("Building a snapshot again: %s", error)
        snapshot = self._build(tenant)
        try:
            snapshot.save(folder / snapshot.version)
        except OSError as error:  # the documents are committed and memory serves: the next start builds again
            _log.warning("A snapshot was not saved: %s", error)
        return snapshot

    def _build(self, tenant: str) -> Snapshot:
        version, stored = self._catalog.passages(tenant, self._embedder.name)
        texts = {p.passage_id: indexed_text(p.title, p.heading, p.text) for p in stored}
        fresh = self._embed({p.passage_id: texts[p.passage_id] for p in stored if p.vector is None}, _silent)
        if fresh:
            self._catalog.store_vectors(tenant, fresh, self._embedder.name)
        vectors = b"".join(p.vector or fresh[p.passage_id] for p in stored)
        return Snapshot(
            version=version or "",
            embedder=self._embedder.name,
            passage_ids=tuple(texts),
            acls=tuple(p.acl for p in stored),
            dense=DenseIndex.build(np.frombuffer(vectors, "<f4").reshape(len(stored), self._embedder.dim)),
            lexical=LexicalIndex.build(list(texts.values())),
        )


def _check_tenant(tenant: str) -> None:
    if not 0 < len(tenant) <= 200:
        raise ValueError(f"tenant: must have 1 to 200 characters (got {len(tenant)}).")
