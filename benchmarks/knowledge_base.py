"""Search and change in a knowledge base of 1,000 and of 100,000 passages, on one thread, on SQLite.

    TRIVIUM_DATA=... python -m benchmarks.knowledge_base      # about ten minutes on one core

Passages: three real sentences each (`benchmarks.sentences`), one document each. Its vector is that of its first
sentence, and vectors are looked up rather than computed, so that the figures are those of the store: the embedder's own
time (a few milliseconds a text) comes on top at either size. Queries: 1,000 further real sentences.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session, sessionmaker

from benchmarks.sentences import Sentences, load_sentences
from benchmarks.setting import machine
from retrieval.dense import on_one_core
from retrieval.documents import Document
from retrieval.store import KnowledgeBase
from retrieval.tables import Base
from service.storage import make_sessions, open_database

SIZES = (1_000, 100_000)
NUM_CHANGES = 50


class Lookup:
    """Gives known vectors to known texts; a passage is known by its first sentence."""

    name, dim = "looked up", 384

    def __init__(self, sentences: Sentences) -> None:
        self._vectors_MD = np.concatenate([sentences.vectors_ND, sentences.queries_QD])
        self._rows = {text: row for row, text in enumerate([*sentences.texts, *sentences.queries])}
        self.num_embedded = 0

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The vector of each text's first sentence: below its title, if it has one."""
        self.num_embedded += len(texts)
        firsts = [next(line for line in text.split("\n") if line in self._rows) for text in texts]
        vectors_ND: NDArray[np.float32] = self._vectors_MD[[self._rows[line] for line in firsts]]
        return vectors_ND

    def embed_query(self, text: str) -> NDArray[np.float32]:
        """As a passage."""
        vector: NDArray[np.float32] = self.embed([text])[0]
        return vector


def document(sentences: Sentences, i: int, note: str = "") -> Document:
    """Sentence i and the two after it, a line each, as chunking keeps them."""
    lines = [sentences.texts[(i + j) % len(sentences.texts)] for j in range(3)]
    return Document(f"d{i:06}", f"Article {i}", "\n\n".join([*lines, note]).strip())


def times_ms(work: Callable[[int], object], count: int) -> NDArray[np.float64]:
    """(wall, CPU) milliseconds of each of `count` calls."""
    times = []
    for i in range(count):
        wall, cpu = time.perf_counter(), time.process_time()
        work(i)
        times.append((time.perf_counter() - wall, time.process_time() - cpu))
    return np.array(times) * 1e3


def show(what: str, times: NDArray[np.float64]) -> None:
    """Print percentiles."""
    (wall50, cpu50), (wall99, cpu99) = np.percentile(times, [50, 99], axis=0)
    print(f"  {what:36s} wall ms p50 {wall50:8.2f} p99 {wall99:8.2f}   CPU ms p50 {cpu50:8.2f} p99 {cpu99:8.2f}")


def measure(sentences: Sentences, size: int, sessions: sessionmaker[Session], folder: Path) -> None:
    """Print one size."""
    lookup = Lookup(sentences)
    kb = KnowledgeBase(sessions, lookup, folder)
    print(f"{size:,} passages")

    def search(i: int) -> None:
        kb.search(sentences.queries[i], tenant="t")

    def restricted(i: int) -> None:
        kb.search(sentences.queries[i], tenant="t", acl=("staff",))

    def change(i: int) -> None:
        kb.ingest([document(sentences, i, f"Changed {i}.")], tenant="t")

    documents = [document(sentences, i) for i in range(size)]
    show("first ingest of all", times_ms(lambda _: kb.ingest(documents, tenant="t"), 1))
    kb.close()
    show("compaction of all", times_ms(lambda _: kb.compact("t"), 1))
    show("search, compacted", times_ms(search, len(sentences.queries)))
    before = lookup.num_embedded
    show("ingest of one changed document", times_ms(change, NUM_CHANGES))
    print(f"  texts embedded for {NUM_CHANGES} changes: {lookup.num_embedded - before}")
    show("delete of one document", times_ms(lambda i: kb.delete(f"d{size - 1 - i:06}", "t"), NUM_CHANGES))
    closed = [document(sentences, i) for i in range(100, 200)]
    kb.ingest([Document(d.doc_id, d.title, d.text, acl=("staff",)) for d in closed], tenant="t")
    show("search, 50 staged, 50 gone, 100 shut", times_ms(search, len(sentences.queries)))
    show("the same as staff", times_ms(restricted, len(sentences.queries)))
    again = KnowledgeBase(sessions, lookup, folder)
    show("first search after a restart", times_ms(lambda i: again.search(sentences.queries[i], tenant="t"), 1))


def main() -> int:
    """Print both sizes."""
    sentences = load_sentences()
    print(machine())
    for size in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            engine = open_database(f"sqlite:///{folder}/knowledge.db")
            Base.metadata.create_all(engine)
            measure(sentences, size, make_sessions(engine), Path(folder) / "indexes")
            engine.dispose()
    return 0


if __name__ == "__main__":
    with on_one_core():
        sys.exit(main())
