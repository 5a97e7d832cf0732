"""What a search, a change and a restart read of the database does not grow with it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import StaticPool, create_engine
from sqlalchemy.orm import sessionmaker

from retrieval.catalog import Catalog
from retrieval.documents import Document
from retrieval.store import KnowledgeBase
from retrieval.tables import Base

LONG = "and so on " * 10  # long enough to be compared with others


class Measured:
    """A compacted knowledge base on SQLite that counts what the database does."""

    def __init__(self, folder: Path, embedder: Any, size: int) -> None:
        self.engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
        Base.metadata.create_all(self.engine)
        self.folder, self.embedder = folder, embedder
        self.kb = self.open()
        self.kb.ingest(
            [Document(f"d{i:04}", f"Title {i}", f"words of number {i} {LONG}") for i in range(size)], tenant="t"
        )
        self.kb.compact("t")

    def open(self) -> KnowledgeBase:
        return KnowledgeBase(sessionmaker(self.engine), self.embedder, self.folder)

    def steps(self, work: Callable[[], object]) -> int:
        """Instructions of SQLite's machine for `work`."""
        count = 0

        def step() -> int:
            nonlocal count
            count += 1
            return 0

        connection = self.engine.raw_connection().driver_connection
        assert connection is not None
        connection.set_progress_handler(step, 1)
        work()
        connection.set_progress_handler(None, 1)
        return count


@pytest.fixture
def bases(tmp_path: Path, embedder_class: type[Any]) -> list[Measured]:
    return [Measured(tmp_path / str(size), embedder_class(), size) for size in (30, 600)]


def test_a_search_reads_what_it_returns(bases: list[Measured]) -> None:
    small, large = (base.steps(partial(base.kb.search, "words of number 7", tenant="t")) for base in bases)

    assert large == pytest.approx(small, rel=0.2)


def test_an_edit_reads_the_document(bases: list[Measured]) -> None:
    edited = Document("d0007", "Title", f"edited {LONG}")

    small, large = (base.steps(partial(base.kb.ingest, [edited], tenant="t")) for base in bases)

    assert large == pytest.approx(small, rel=0.2)


def test_a_deletion_reads_the_revisions_of_the_document(bases: list[Measured]) -> None:
    for base in bases:
        for number in range(20):
            base.kb.ingest([Document("d0007", "Title", f"edit {number}")], tenant="t")

    small, large = (base.steps(partial(base.kb.delete, "d0007", "t")) for base in bases)

    assert large == pytest.approx(small, rel=0.2)


def test_a_restart_reads_what_changed_since_the_snapshot(bases: list[Measured]) -> None:
    for base in bases:
        base.kb.ingest([Document("d0007", "Title", "other words"), Document("new", "New", "words")], tenant="t")

    opened = [(base, base.open()) for base in bases]

    small, large = (base.steps(partial(kb.search, "words", tenant="t")) for base, kb in opened)

    assert large == pytest.approx(small, rel=0.2)


def test_after_warming_up_the_first_search_costs_as_any(bases: list[Measured]) -> None:
    base = bases[0]
    kb = base.open()

    kb.warm_up()
    next(thread for thread in threading.enumerate() if thread.name == "warm-up").join()

    first, second = (base.steps(partial(kb.search, "words", tenant="t")) for _ in range(2))
    assert first == second


def test_warming_up_goes_on_past_a_tenant_that_fails_and_names_no_one(
    open_kb: Callable[..., KnowledgeBase], embedder_class: type[Any], caplog: pytest.LogCaptureFixture
) -> None:
    class FailsOnce(embedder_class):  # type: ignore[misc]
        def embed_query(self, text: str) -> Any:
            if self.num_embedded == 0:
                self.num_embedded += 1
                raise RuntimeError("secret tenant a")
            opened.set()
            return super().embed_query(text)

    opened = threading.Event()
    for tenant in ("a", "b"):
        open_kb().ingest([Document("d", "Title", "words")], tenant=tenant)
    kb = open_kb(FailsOnce())

    kb.warm_up()

    assert opened.wait(10)
    kb.close()
    assert "A tenant's indexes were not opened: RuntimeError" in caplog.text
    assert "secret" not in caplog.text


def test_rows_of_another_tenant_are_not_read_by_their_numbers(bases: list[Measured]) -> None:
    catalog, now = Catalog(sessionmaker(bases[0].engine)), datetime.now(UTC)
    name = bases[0].embedder.name

    assert len(catalog.visible("t", [1, 2], groups=(), at=now, embedder=name)) == 2
    assert catalog.visible("other", [1, 2], groups=(), at=now, embedder=name) == {}
    assert [len(catalog.passages_of(tenant, [1, 2], name)) for tenant in ("t", "other")] == [2, 0]
    assert [len(catalog.revisions(tenant, [1, 2])) for tenant in ("t", "other")] == [2, 0]
