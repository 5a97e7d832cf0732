"""One contract for whatever holds the vectors: FAISS in this process, PostgreSQL with pgvector, Qdrant.

The index against numpy first; then a knowledge base over it, compacted so that its main is searched: tenants, groups,
time, and what is deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session, sessionmaker

from retrieval import pgvector
from retrieval.dense import FaissIndexes
from retrieval.documents import Document
from retrieval.pgvector import PgVectorIndexes
from retrieval.qdrant import QdrantIndexes
from retrieval.snapshots import VECTORS
from retrieval.store import KnowledgeBase
from retrieval.vectors import VectorIndexes, VectorsAway
from tests.databases import pgvector_url

RNG = np.random.default_rng(0)
START = datetime(2026, 1, 1, tzinfo=UTC)


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


VECTORS_ND = unit(RNG.normal(size=(300, 16)))
QUERIES = unit(RNG.normal(size=(5, 16)))


@pytest.fixture(scope="module", params=["faiss", "pgvector", "qdrant"])
def indexes(request: pytest.FixtureRequest) -> Iterator[VectorIndexes]:
    if request.param == "faiss":
        yield FaissIndexes()
    elif request.param == "qdrant":
        pytest.importorskip("qdrant_client", reason="needs the extra package qdrant-client")
        yield QdrantIndexes(":memory:")
    else:
        engine = create_engine(pgvector_url())
        yield PgVectorIndexes(engine)
        engine.dispose()


@pytest.fixture
def open_kb(
    indexes: VectorIndexes, sessions: sessionmaker[Session], index_dir: Path, embedder_class: type[Any]
) -> Callable[[], KnowledgeBase]:
    clock = iter(START + timedelta(hours=hour) for hour in range(1_000))
    return lambda: KnowledgeBase(sessions, embedder_class(), index_dir, vectors=indexes, clock=lambda: next(clock))


# --- the index --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_allowed", [None, 300, 290, 30, 3, 0])
def test_the_nearest_that_are_allowed_are_those_of_a_full_sort(indexes: VectorIndexes, num_allowed: int | None) -> None:
    index = indexes.build(VECTORS_ND)
    rows = np.sort(RNG.choice(300, 300 if num_allowed is None else num_allowed, replace=False))
    allowed = np.isin(np.arange(300), rows)

    for query in QUERIES:
        found, cosines = index.nearest(query, k=10, allowed=None if num_allowed is None else allowed)
        expected = rows[np.argsort(-(VECTORS_ND[rows] @ query))][:10]
        assert found.tolist() == expected.tolist()
        assert cosines == pytest.approx(VECTORS_ND[expected] @ query, abs=1e-5)
        assert found.dtype == np.int64
    assert len(index) == 300


def test_a_saved_index_is_found_again_and_once_dropped_is_not(indexes: VectorIndexes, tmp_path: Path) -> None:
    path = tmp_path / VECTORS
    built = indexes.build(VECTORS_ND)
    built.save(path)

    found = indexes.load(path).nearest(QUERIES[0], k=5)[0].tolist()

    assert found == built.nearest(QUERIES[0], k=5)[0].tolist()
    indexes.drop(path)
    if not isinstance(indexes, FaissIndexes):  # whose file is the index
        with pytest.raises(OSError, match=VECTORS):
            indexes.load(path)
        with pytest.raises(VectorsAway):
            built.nearest(QUERIES[0], k=5)
        assert built.is_gone


def test_an_index_of_no_rows_finds_nothing(indexes: VectorIndexes) -> None:
    assert indexes.build(np.zeros((0, 16), np.float32)).nearest(QUERIES[0], k=5)[0].tolist() == []


@pytest.mark.parametrize("content", [b"no index", b"[]", b'{"name": "v; DROP TABLE x", "rows": 1}'])
def test_a_file_that_names_no_index_is_an_os_error(indexes: VectorIndexes, tmp_path: Path, content: bytes) -> None:
    (tmp_path / VECTORS).write_bytes(content)

    with pytest.raises(OSError, match=VECTORS):
        indexes.load(tmp_path / VECTORS)
    indexes.drop(tmp_path / VECTORS)


def test_a_graph_in_postgresql_finds_most_of_the_nearest_and_never_fewer_than_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pgvector, "EXACT_ROWS", 5)  # a table entry: the graph is built and searched here, too
    engine = create_engine(pgvector_url())
    index = PgVectorIndexes(engine).build(VECTORS_ND)

    for num_allowed in (300, 20):
        rows = RNG.choice(300, num_allowed, replace=False)
        for query in QUERIES:
            found = index.nearest(query, k=10, allowed=np.isin(np.arange(300), rows))[0]
            expected = rows[np.argsort(-(VECTORS_ND[rows] @ query))][:10]
            assert len(set(found) & set(expected)) >= 9
            assert len(found) == 10
    engine.dispose()


# --- the knowledge base -----------------------------------------------------------------------------------------------


def test_a_compacted_base_shows_each_reader_what_is_theirs_and_nothing_that_is_deleted(
    open_kb: Callable[[], KnowledgeBase],
) -> None:
    kb = open_kb()
    kb.ingest([Document("a", "Lamps", "lamp refund"), Document("b", "Staff", "lamp staff", acl=("staff",))], tenant="t")
    kb.ingest([Document("c", "Other", "lamp refund of others")], tenant="t2")
    before = kb._clock()
    kb.ingest([Document("a", "Lamps", "lamp exchange"), Document("d", "Gone", "lamp gone")], tenant="t")
    for tenant in ("t", "t2"):
        kb.compact(tenant)
    kb.delete("d", "t")  # main has it still

    def texts(**options: Any) -> set[str]:
        return {hit.text for hit in kb.search("lamp", **{"tenant": "t", **options})}

    assert texts() == {"lamp exchange"}
    assert texts(acl=["staff"]) == {"lamp exchange", "lamp staff"}
    assert texts(as_of=before) == {"lamp refund"}
    assert texts(tenant="t2") == {"lamp refund of others"}
    kb.compact("t")
    assert texts(acl=["staff"]) == {"lamp exchange", "lamp staff"}


def test_a_later_start_finds_the_vectors_where_they_are(
    indexes: VectorIndexes, open_kb: Callable[[], KnowledgeBase]
) -> None:
    kb = open_kb()
    kb.ingest([Document(word, word, f"{word} {word}") for word in ("lamp", "chair", "table", "shelf")], tenant="t")
    kb.compact("t")

    again = open_kb()
    view = again._indexes.view("t")

    assert view is not None
    assert (len(view.main), len(view.staging)) == (4, 0)
    assert again.search("table", tenant="t", k=1)[0].doc_id == "table"


def test_vectors_that_another_process_replaced_are_looked_for_again(
    indexes: VectorIndexes, open_kb: Callable[[], KnowledgeBase]
) -> None:
    first, second = open_kb(), open_kb()  # as two processes over one database and folder
    first.ingest([Document("a", "A", "lamp")], tenant="t")
    first.compact("t")
    assert [hit.doc_id for hit in second.search("lamp", tenant="t")] == ["a"]
    first.ingest([Document("b", "B", "lamp too")], tenant="t")
    first.compact("t")

    for _ in range(2):  # the first may go by words alone
        assert [hit.doc_id for hit in second.search("lamp too", tenant="t")][:1] == ["b"]
    view = second._indexes.view("t")
    assert view is not None
    assert not view.main.dense.is_gone


def test_a_server_that_is_gone_leaves_the_words(
    sessions: sessionmaker[Session],
    index_dir: Path,
    embedder_class: type[Any],
) -> None:
    engine = create_engine(pgvector_url())
    kb = KnowledgeBase(sessions, embedder_class(), index_dir, vectors=PgVectorIndexes(engine))
    kb.ingest([Document("a", "A", "lamp refund"), Document("b", "B", "chair delivery")], tenant="t")
    kb.compact("t")
    with engine.begin() as connection:
        connection.execute(text("ALTER SCHEMA trivium_vectors RENAME TO elsewhere"))

    found = [hit.doc_id for hit in kb.search("chair", tenant="t")]

    with engine.begin() as connection:
        connection.execute(text("ALTER SCHEMA elsewhere RENAME TO trivium_vectors"))
    engine.dispose()
    assert found == ["b"]


def test_a_database_without_the_extension_is_refused_with_what_to_do() -> None:
    engine = create_engine("sqlite://")  # which has none
    with pytest.raises(ValueError, match="CREATE EXTENSION vector"):
        PgVectorIndexes(engine)
