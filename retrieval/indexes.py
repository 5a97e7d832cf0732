"""Every tenant's view, kept current with SQL and compacted in the background. Ignores documents' checks and ranking.

A process that holds a view reads in the log which revisions later changes touched and looks up how they are now. One
that holds none starts from the newest snapshot that belongs to this database and does the same; without a snapshot, it
stages all that is stored. Compaction builds a new main from SQL beside all this. Any number of
processes may do it at any time, or die doing it: a snapshot's folder appears whole, or is refused by its checksums.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrieval import snapshots
from retrieval.catalog import Catalog, StoredPassage
from retrieval.dense import on_one_core
from retrieval.embed import Embedder
from retrieval.journal import Journal
from retrieval.passages import indexed_text
from retrieval.revisions import Revisions
from retrieval.segment import Segment
from retrieval.snapshots import DRAFT, VECTORS, SnapshotError
from retrieval.vectors import VectorIndexes
from retrieval.view import StagedPassage, View
from retrieval.words import tokenize

KEEP_REPLACED = timedelta(days=365)  # what was replaced longer ago is dropped by the next compaction
KEEP_LOG = timedelta(days=1)  # a process that did not look for longer starts over from a snapshot
_KEEP_DRAFT_S = 86_400
_EMBED_BATCH = 64

Progress = Callable[[str, float], None]  # (what is being done, share done 0-1)
_log = logging.getLogger(__name__)


def silent(what: str, share: float) -> None:
    """Report no progress."""


def embed(embedder: Embedder, texts: Mapping[str, str], on_progress: Progress = silent) -> dict[str, bytes]:
    """Vectors, as SQL stores them, under the keys of the texts."""
    vectors: dict[str, bytes] = {}
    keys = list(texts)
    for start in range(0, len(keys), _EMBED_BATCH):
        on_progress("Embedding passages", start / len(keys))
        batch = keys[start : start + _EMBED_BATCH]
        vectors_ND = embedder.embed([texts[key] for key in batch]).astype("<f4")
        vectors.update((key, row.tobytes()) for key, row in zip(batch, vectors_ND, strict=True))
    on_progress("Embedding passages", 1.0)
    return vectors


class Indexes:
    """The view of each tenant. Safe from many threads; other processes' changes are noticed.

    Args:
        folder: Snapshots; what is in it may be deleted at any time.
        vectors: Where mains have theirs.
        clock: The time now, in UTC.
    """

    def __init__(
        self,
        catalog: Catalog,
        journal: Journal,
        embedder: Embedder,
        folder: Path,
        *,
        vectors: VectorIndexes,
        clock: Callable[[], datetime],
    ) -> None:
        self._catalog, self._journal, self._embedder = catalog, journal, embedder
        self._folder, self._vector_indexes, self._clock = folder, vectors, clock
        self._views: dict[str, View] = {}
        self._view_locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._compaction_locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._compactions: dict[str, threading.Thread] = {}

    def view(self, tenant: str, *, wait: bool = False) -> View | None:
        """The view of the tenant's version; None for a tenant that never had a document.

        While another thread prepares the new one, an old one that is at hand is returned, unless `wait`.
        """
        held, version = self._held(tenant), self._catalog.version(tenant)
        if version is None:
            return None
        if held is not None and held.version == version:
            return held
        lock = self._view_locks[tenant]
        if not lock.acquire(blocking=wait or held is None):
            return held
        try:
            held, version = self._held(tenant), self._catalog.version(tenant)
            if version is not None and (held is None or held.version != version):
                self._views[tenant] = held = self._advance(tenant, held, version)
                if held.wants_compaction:
                    self._start_compaction(tenant)
            return held
        finally:
            lock.release()

    def compact(self, tenant: str) -> None:
        """Make a new main of all that is stored, save it, and remove older snapshots; searches go on meanwhile."""
        with self._compaction_locks[tenant]:
            version = self._catalog.version(tenant)
            change = None if version is None else self._catalog.change_of(tenant, version)
            if version is None or change is None:
                return
            now = self._clock()
            self._journal.forget(tenant, ended_before=now - KEEP_REPLACED, logged_before=now - KEEP_LOG, change=change)
            main, revisions = self._build(tenant), Revisions.of(self._catalog.revisions(tenant))
            folder = self._tenant_folder(tenant) / version
            is_saved = True
            try:
                snapshots.save(folder, main, revisions, version=version, embedder=self._embedder.name)
            except OSError as error:  # the documents are committed and memory serves: the next start builds again
                _log.warning("A snapshot was not saved: %s", error)
                is_saved = False
            with self._view_locks[tenant]:
                compacted = self._view(tenant, version, change, revisions, main)
                self._views[tenant] = self._advance(tenant, compacted, self._catalog.version(tenant) or version)
            if is_saved:
                self._remove_older(tenant, change)  # once nothing here searches them

    def close(self) -> None:
        """Wait for compactions in the background."""
        for thread in list(self._compactions.values()):
            thread.join()
        self._vector_indexes.close()

    def _held(self, tenant: str) -> View | None:
        """The view at hand, unless another process has replaced what its main had in a server."""
        held = self._views.get(tenant)
        return None if held is None or held.main.dense.is_gone else held

    # --- views ------------------------------------------------------------------------------------------------------

    def _advance(self, tenant: str, held: View | None, version: str) -> View:
        """The view of now, from the one that is held, from a snapshot, or from all that is stored."""
        if held is not None and (view := self._follow(tenant, held, version)) is not None:
            return view
        saved = self._load(tenant)
        if saved is not None and (view := self._follow(tenant, saved, version)) is not None:
            return view
        change = self._catalog.last_change(tenant)  # before the states: reading a change twice does no harm
        empty = Segment.build([], [], vectors_ND=np.zeros((0, self._embedder.dim), np.float32), words=[])
        return self._view(tenant, version, change, Revisions.of(self._catalog.revisions(tenant)), empty)

    def _follow(self, tenant: str, held: View, version: str) -> View | None:
        """The next view: what the log names is looked up; None if the log does not reach back."""
        touched = self._catalog.touched_since(tenant, held.change)
        if touched is None:
            return None
        change, ids = touched
        states = self._catalog.revisions(tenant, sorted(ids))
        gone = ids.difference(state.revision_id for state in states)
        new = [state.revision_id for state in states if state.revision_id > held.revisions.ids_R[-1]]
        staged = [passage for passage in held.staged if passage.revision_id not in gone] + self._stage(tenant, new)
        return held.changed(
            version, change, held.revisions.changed(gone, states), staged=staged, dim=self._embedder.dim
        )

    def _view(self, tenant: str, version: str, change: int, revisions: Revisions, main: Segment) -> View:
        """A view of these revisions; those that main lacks are staged."""
        staged = self._stage(tenant, revisions.others(main.revision_ids_N).tolist())
        return View.of(version, change, revisions, main=main, staged=staged, dim=self._embedder.dim)

    def _stage(self, tenant: str, revision_ids: Sequence[int]) -> list[StagedPassage]:
        passages = self._catalog.passages_of(tenant, revision_ids, self._embedder.name)
        words = tokenize([_text(passage) for passage in passages])
        return [
            StagedPassage(passage.row_id, passage.revision_id, row, vector)
            for passage, row, vector in zip(passages, words, self._vectors(passages), strict=True)
        ]

    def _vectors(self, passages: Sequence[StoredPassage]) -> list[bytes]:
        """Stored vectors; those of another embedder are computed anew and stored."""
        fresh = embed(self._embedder, {str(p.row_id): _text(p) for p in passages if p.vector is None})
        if fresh:
            self._journal.store_vectors({int(row_id): vector for row_id, vector in fresh.items()}, self._embedder.name)
        return [p.vector or fresh[str(p.row_id)] for p in passages]

    # --- main -------------------------------------------------------------------------------------------------------

    def _build(self, tenant: str) -> Segment:
        row_ids: list[int] = []
        revision_ids: list[int] = []
        words: list[list[str]] = []
        vectors: list[NDArray[np.float32]] = [np.zeros((0, self._embedder.dim), np.float32)]
        for page in self._catalog.all_passages(tenant, self._embedder.name):
            row_ids += [passage.row_id for passage in page]
            revision_ids += [passage.revision_id for passage in page]
            words += tokenize([_text(passage) for passage in page])
            vectors.append(np.frombuffer(b"".join(self._vectors(page)), "<f4").reshape(len(page), -1))
        vectors_ND = np.concatenate(vectors)
        return Segment.build(row_ids, revision_ids, vectors_ND=vectors_ND, words=words, indexes=self._vector_indexes)

    def _load(self, tenant: str) -> View | None:
        """The newest snapshot of this database as it was saved; None without one."""
        folder = self._tenant_folder(tenant)
        changes = {
            path: change
            for path in (folder.iterdir() if folder.is_dir() else ())
            if (change := self._catalog.change_of(tenant, path.name)) is not None
        }
        for path in sorted(changes, key=lambda path: -changes[path]):
            try:
                main, revisions = snapshots.load(path, embedder=self._embedder.name, indexes=self._vector_indexes)
            except SnapshotError as error:
                _log.warning("A snapshot is of no use: %s", error)
            else:
                return self._view(tenant, path.name, changes[path], revisions, main)
        return None

    def _remove_older(self, tenant: str, change: int) -> None:
        for path in self._tenant_folder(tenant).iterdir():
            if path.name.startswith(DRAFT):
                outdated = time.time() - path.stat().st_mtime > _KEEP_DRAFT_S  # else another process may be writing it
            else:
                outdated = (self._catalog.change_of(tenant, path.name) or 0) < change
            if outdated:
                self._vector_indexes.drop(path / VECTORS)
                shutil.rmtree(path, ignore_errors=True)

    def _tenant_folder(self, tenant: str) -> Path:
        return self._folder / hashlib.sha256(tenant.encode()).hexdigest()[:16]  # a tenant may bear any name

    def _start_compaction(self, tenant: str) -> None:
        running = self._compactions.get(tenant)
        if running is None or not running.is_alive():
            thread = threading.Thread(target=self._compact_quietly, args=(tenant,), daemon=True, name="compaction")
            self._compactions[tenant] = thread
            thread.start()

    def _compact_quietly(self, tenant: str) -> None:
        try:
            with on_one_core():
                self.compact(tenant)
        except Exception as error:  # noqa: BLE001 - nobody waits for it, and the next change tries again
            _log.warning("A compaction failed: %s", type(error).__name__)


def _text(passage: StoredPassage) -> str:
    return indexed_text(passage.title, passage.heading, passage.text)
