"""The knowledge base: documents of many tenants in SQL, searched through indexes. Ignores file formats and models.

SQL is the truth. A change is one transaction; indexes follow it (`retrieval.indexes`), and whatever they propose is
checked against SQL before it is returned. So an index that is behind may miss what is new for a moment, but never shows
what is deleted or closed.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session, sessionmaker

from retrieval.catalog import Catalog
from retrieval.dense import FaissIndexes, on_one_core
from retrieval.documents import Document, DocumentInfo, Duplicate, Hit, IngestReport, Passage, Problem
from retrieval.duplicates import find_duplicates
from retrieval.embed import Embedder, reads
from retrieval.indexes import Indexes, Progress, embed, silent
from retrieval.journal import Journal
from retrieval.passages import check_documents, content_hash, cut, indexed_text
from retrieval.rerank import Reranker, rerank
from retrieval.vectors import VectorIndexes
from retrieval.view import RANK_WEIGHTS, UNREAD_WEIGHTS

MAX_K = 100
MAX_QUERY_CHARS = 4_000  # far beyond what the embedder reads
_CANDIDATES = 50  # from each index, at least
_RERANKED = 20  # hits, at least
_log = logging.getLogger(__name__)


def _utc_now() -> datetime:
    return datetime.now(UTC)


class KnowledgeBase:
    """Hybrid search over each tenant's documents. Safe from many threads; other processes' changes are noticed.

    Args:
        sessions: Sessions on a database that has the tables of `retrieval.tables`.
        embedder: Stored vectors of another embedder, from an earlier run, are computed anew.
        index_dir: Folder for snapshots; what is in it may be deleted at any time.
        vectors: Where the large indexes have their vectors; in this process if None. Closed with this.
        reranker: Takes a second look at the best hits; the fused order stands if None.
        clock: The time now, in UTC.
    """

    def __init__(
        self,
        sessions: sessionmaker[Session],
        embedder: Embedder,
        index_dir: Path,
        *,
        vectors: VectorIndexes | None = None,
        reranker: Reranker | None = None,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._reranker = reranker
        self._catalog, self._journal = Catalog(sessions), Journal(sessions)
        self._embedder, self._clock = embedder, clock
        vectors = vectors or FaissIndexes()
        self._indexes = Indexes(self._catalog, self._journal, embedder, index_dir, vectors=vectors, clock=clock)
        self._warm_up: threading.Thread | None = None
        self._closing = threading.Event()
        self._write_locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def ingest(self, documents: Iterable[Document], *, tenant: str, on_progress: Progress = silent) -> IngestReport:
        """Add documents, replace those whose content changed, and leave the others alone; one transaction.

        A new document that says nearly the same as another one is left out (see `retrieval.duplicates`). Documents that
        are not given stay. On return, searches find the new content. What a replaced version said
        answers `as_of` questions for a year; a new acl holds for all that the document ever said.

        Returns:
            Counts of documents, and the ones left out with the reason.
        Raises:
            ValueError: the tenant's name is empty or too long.
        """
        _check_tenant(tenant)
        with self._write_locks[tenant]:
            now = self._clock()
            valid, skipped = check_documents(documents, now=now)
            known = self._catalog.fingerprints(tenant, [document.doc_id for document in valid])
            acls, edited = {}, []
            for document in valid:
                old_hash, old_acl = known.get(document.doc_id, (None, None))
                if old_hash != content_hash(document):
                    edited.append(document)
                elif old_acl != tuple(sorted(document.acl)):
                    acls[document.doc_id] = document.acl
            new = [document for document in edited if document.doc_id not in known]
            same = find_duplicates(
                new,
                beside=[document for document in edited if document.doc_id in known],
                stored=self._catalog.signatures(tenant) if new else {},
                load=partial(self._catalog.get_documents, tenant),
            )
            fresh = [document for document in edited if document.doc_id not in same]
            changed = {document.doc_id: (document, passages) for document in fresh if (passages := cut(document))}
            skipped += [Problem(d.doc_id, "text: headings only") for d in fresh if d.doc_id not in changed]
            if changed or acls:
                vectors = self._vectors(tenant, [p for _, cuts in changed.values() for p in cuts], on_progress)
                self._journal.write(tenant, changed, acls=acls, vectors=vectors, embedder=self._embedder.name, now=now)
        on_progress("Indexing", 0.0)
        self._indexes.view(tenant, wait=True)
        on_progress("Indexing", 1.0)
        replaced = sum(doc_id in known for doc_id in changed) + len(acls)
        added = len(changed) + len(acls) - replaced
        duplicates = tuple(Duplicate(doc_id, kept) for doc_id, kept in same.items())
        return IngestReport(added, replaced, len(valid) - len(edited) - len(acls), tuple(skipped), duplicates)

    def delete(self, doc_id: str, tenant: str) -> bool:
        """Remove a document and all that it ever said. From the return on, no search shows it, whatever its `as_of`.

        Returns:
            False if the tenant has no such document.
        """
        with self._write_locks[tenant]:
            if not self._catalog.fingerprints(tenant, [doc_id]):
                return False
            deleted = self._journal.delete(tenant, doc_id, now=self._clock())
        self._indexes.view(tenant, wait=True)
        return deleted

    def compact(self, tenant: str) -> None:
        """Index anew all that is stored, and save that; done in the background when enough has changed."""
        self._indexes.compact(tenant)

    def warm_up(self) -> None:
        """Search once for every tenant in the background, so that no customer waits while indexes and models are read.

        A search meanwhile waits for its own tenant's indexes alone.
        """
        self._warm_up = threading.Thread(target=self._search_all, daemon=True, name="warm-up")
        self._warm_up.start()

    def close(self) -> None:
        """Wait for what is done in the background; warming up ends with the tenant at hand."""
        self._closing.set()
        if self._warm_up is not None:
            self._warm_up.join()
        self._indexes.close()

    @property
    def embedder(self) -> Embedder:
        """What turns its texts into vectors."""
        return self._embedder

    def version(self, tenant: str) -> str | None:
        """Changes with every change of the tenant's documents; None before the first."""
        return self._catalog.version(tenant)

    def list_documents(self, tenant: str) -> list[DocumentInfo]:
        """Every document of the tenant in order of id, restricted ones too: a view for those who keep the documents."""
        return self._catalog.documents(tenant)

    def get_passage(
        self, passage_id: str, *, tenant: str, acl: Sequence[str] = (), as_of: datetime | None = None
    ) -> Passage | None:
        """A passage by id as of a time (None: now); None if there is none that the caller may see."""
        return self._catalog.passage(tenant, passage_id, groups=acl, at=self._moment(as_of))

    def embed_query(self, text: str) -> NDArray[np.float32]:
        """The vector of a query, (dim,), fp32, of length 1: for `search` and for whoever else needs it."""
        return self._embedder.embed_query(_readable(text))

    def search(
        self,
        query: str,
        *,
        tenant: str,
        acl: Sequence[str] = (),
        k: int = 5,
        as_of: datetime | None = None,
        query_D: NDArray[np.float32] | None = None,
    ) -> list[Hit]:
        """The k best passages that the caller may see, best first; fewer if there are no more.

        Dense and BM25 rankings are joined by reciprocal rank fusion. There are hits for any query: compare
        `similarity` with a measured threshold to tell whether they answer it.

        Args:
            query: A customer's words; what exceeds 4,000 characters is not read.
            tenant: Whose documents.
            acl: The caller's groups. A document with groups needs one of them.
            k: 1 to 100.
            as_of: Search what was valid then, or will be, with a time zone; None for now. Replaced versions are kept
                for a year. What was deleted since, and what the caller may not see today, is not found.
            query_D: What `embed_query` gave for this query; computed if None.
        Raises:
            ValueError: the query is blank, k is out of range, as_of lacks a time zone, or the tenant's name is empty or
                too long.
        """
        _check_tenant(tenant)
        query = _readable(query)
        if not query.strip():
            raise ValueError("query: must not be blank.")
        if not 1 <= k <= MAX_K:
            raise ValueError(f"k: must be 1 to {MAX_K} (got {k}).")
        at, view = self._moment(as_of), self._indexes.view(tenant)
        if view is None or not len(view):
            return []
        query_D = self._embedder.embed_query(query) if query_D is None else query_D
        weights = RANK_WEIGHTS if reads(self._embedder, query) else UNREAD_WEIGHTS
        ranked = view.search(query, query_D, groups=acl, at=at, depth=max(_CANDIDATES, 4 * k), weights=weights)
        wanted = k if self._reranker is None else max(_RERANKED, k)
        hits: list[Hit] = []
        for start in range(0, len(ranked), wanted):  # one round, unless the index is behind
            if len(hits) < wanted:
                hits += self._hits(tenant, ranked[start : start + wanted], query_D, acl=acl, at=at)
        return (hits if self._reranker is None else rerank(self._reranker, query, hits[:wanted]))[:k]

    def _hits(
        self,
        tenant: str,
        ranked: Sequence[tuple[int, float]],
        query_D: NDArray[np.float32],
        *,
        acl: Sequence[str],
        at: datetime,
    ) -> list[Hit]:
        """What SQL confirms of the passages that an index proposed, in their order."""
        row_ids = [row_id for row_id, _ in ranked]
        visible = self._catalog.visible(tenant, row_ids, groups=acl, at=at, embedder=self._embedder.name)
        return [
            Hit(p.passage_id, p.doc_id, p.title, p.heading, p.text, score, self._cosine(query_D, p, vector), p.metadata)
            for row_id, score in ranked
            if row_id in visible
            for p, vector in [visible[row_id]]
        ]

    def _cosine(self, query_D: NDArray[np.float32], passage: Passage, vector: bytes | None) -> float:
        """From the stored vector, which an index rounds; None if another embedder has just replaced it."""
        if vector is None:
            vector = self._embedder.embed([indexed_text(passage.title, passage.heading, passage.text)])[0].tobytes()
        return float(np.clip(np.frombuffer(vector, "<f4") @ query_D, -1, 1))

    def _search_all(self) -> None:
        with on_one_core():
            for tenant in self._catalog.tenants():
                if self._closing.is_set():
                    return
                try:
                    self.search("any", tenant=tenant)
                except Exception as error:  # noqa: BLE001 - nobody waits for it, and the first search tries again
                    _log.warning("A tenant's indexes were not opened: %s", type(error).__name__)

    def _moment(self, as_of: datetime | None) -> datetime:
        if as_of is not None and as_of.tzinfo is None:
            raise ValueError(f"as_of: must have a time zone (got {as_of.isoformat()}).")
        return self._clock() if as_of is None else as_of

    def _vectors(self, tenant: str, passages: Sequence[Passage], on_progress: Progress) -> dict[str, bytes]:
        """Vector of each passage; what is stored under the same id, and so of the same words, is not computed again."""
        texts = {p.passage_id: indexed_text(p.title, p.heading, p.text) for p in passages}
        vectors = self._catalog.vectors(tenant, list(texts), self._embedder.name)
        missing = {key: text for key, text in texts.items() if key not in vectors}
        return vectors | embed(self._embedder, missing, on_progress)


def _readable(query: str) -> str:
    return query[:MAX_QUERY_CHARS].encode("utf-8", "replace").decode()


def _check_tenant(tenant: str) -> None:
    if not 0 < len(tenant) <= 200:
        raise ValueError(f"tenant: must have 1 to 200 characters (got {len(tenant)}).")
