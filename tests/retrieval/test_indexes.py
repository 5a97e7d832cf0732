"""Views follow the log, compaction goes on beside searches, and the past is kept as long as promised."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from retrieval.catalog import Catalog
from retrieval.dense import FaissIndexes
from retrieval.documents import Document, Hit
from retrieval.indexes import KEEP_LOG, KEEP_REPLACED, Indexes
from retrieval.journal import Journal
from retrieval.store import KnowledgeBase
from retrieval.tables import ChangeRow, PassageRow, RevisionRow

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Clock:
    """Stands still until it is set."""

    now = START

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def open_at(
    sessions: sessionmaker[Session], index_dir: Path, embedder_class: type[Any], clock: Clock
) -> Callable[..., KnowledgeBase]:
    def open_it(embedder: Any = None) -> KnowledgeBase:
        return KnowledgeBase(sessions, embedder or embedder_class(), index_dir, clock=clock)

    return open_it


def texts(hits: list[Hit]) -> list[str]:
    return [hit.text for hit in hits]


def count(sessions: sessionmaker[Session], table: Any) -> int:
    with sessions() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


# --- time -----------------------------------------------------------------------------------------------------------


def test_a_search_as_of_a_time_reads_what_was_valid_then(open_at: Callable[..., KnowledgeBase], clock: Clock) -> None:
    kb = open_at()
    kb.ingest([Document("fee", "Fee", "It costs $5.")], tenant="t")
    clock.now += 2 * HOUR
    kb.ingest([Document("fee", "Fee", "It costs $6.")], tenant="t")
    kb.ingest(
        [Document("fee", "Fee", "It costs $7.", valid_from=START + 5 * HOUR, valid_to=START + 9 * HOUR)], tenant="t"
    )

    said = {hours: texts(kb.search("costs", tenant="t", as_of=START + hours * HOUR)) for hours in (-1, 0, 1, 2, 5, 9)}

    assert said == {-1: [], 0: ["It costs $5."], 1: ["It costs $5."], 2: ["It costs $6."], 5: ["It costs $7."], 9: []}
    assert texts(kb.search("costs", tenant="t")) == ["It costs $6."]
    assert [(i.valid_from, i.valid_to) for i in kb.list_documents("t")] == [(START + 5 * HOUR, START + 9 * HOUR)]


def test_who_may_not_read_a_document_today_may_not_read_its_past(
    open_at: Callable[..., KnowledgeBase], clock: Clock
) -> None:
    kb = open_at()
    kb.ingest([Document("fee", "Fee", "It costs $5.")], tenant="t")
    kb.compact("t")
    clock.now += HOUR
    kb.ingest([Document("fee", "Fee", "It costs $6.", acl=("staff",))], tenant="t")

    assert kb.search("costs", tenant="t", as_of=START) == []
    assert texts(kb.search("costs", tenant="t", as_of=START, acl=["staff"])) == ["It costs $5."]


def test_a_change_of_access_alone_adds_no_revision(
    open_at: Callable[..., KnowledgeBase], sessions: sessionmaker[Session]
) -> None:
    kb = open_at()
    kb.ingest([Document("fee", "Fee", "It costs $5.")], tenant="t")

    report = kb.ingest([Document("fee", "Fee", "It costs $5.", acl=("staff",))], tenant="t")

    assert (report.added, report.replaced, report.unchanged) == (0, 1, 0)
    assert count(sessions, RevisionRow) == 1
    assert kb.search("costs", tenant="t") == []


def test_documents_begin_and_end_while_nothing_changes(open_at: Callable[..., KnowledgeBase], clock: Clock) -> None:
    kb = open_at()
    kb.ingest([Document("a", "A", "old words", valid_to=START + HOUR)], tenant="t")
    kb.ingest([Document("b", "B", "new words", valid_from=START + 2 * HOUR)], tenant="t")
    kb.ingest([Document("c", "C", "closed words", acl=("staff",))], tenant="t")

    said = []
    for hours in (0, 1, 2, 1, 0):
        clock.now = START + hours * HOUR
        said.append([sorted(texts(kb.search("words", tenant="t", acl=acl))) for acl in ((), ("staff",), ())])

    shown = [["old words"], [], ["new words"], [], ["old words"]]
    assert said == [[words, ["closed words", *words], words] for words in shown]


@pytest.mark.parametrize(
    ("start", "end", "reason"),
    [
        (None, START, r"valid_to: must be after valid_from \(now, if not given\)"),
        (START + HOUR, START + HOUR, r"valid_to: must be after valid_from \(now, if not given\)"),
        (START.replace(tzinfo=None), None, "valid_from, valid_to: must have a time zone"),
    ],
)
def test_a_validity_that_cannot_be_is_a_problem(
    open_at: Callable[..., KnowledgeBase], start: datetime | None, end: datetime | None, reason: str
) -> None:
    report = open_at().ingest([Document("d", "D", "x", valid_from=start, valid_to=end)], tenant="t")

    assert [problem.reason for problem in report.skipped] == [reason.replace("\\", "")]


def test_a_moment_without_a_zone_is_refused(open_at: Callable[..., KnowledgeBase]) -> None:
    with pytest.raises(ValueError, match="as_of: must have a time zone"):
        open_at().search("x", tenant="t", as_of=datetime(2026, 1, 1))


def test_what_was_replaced_is_kept_for_a_year(
    open_at: Callable[..., KnowledgeBase], clock: Clock, sessions: sessionmaker[Session]
) -> None:
    kb = open_at()
    kb.ingest([Document("fee", "Fee", "It costs $5."), Document("old", "Old", "x", valid_to=START + HOUR)], tenant="t")
    clock.now += HOUR
    kb.ingest([Document("fee", "Fee", "It costs $6.")], tenant="t")

    clock.now += KEEP_REPLACED
    kb.compact("t")
    assert texts(kb.search("costs", tenant="t", as_of=START))[0] == "It costs $5."
    clock.now += HOUR
    kb.compact("t")

    assert texts(kb.search("costs", tenant="t", as_of=START)) == ["x"]  # nobody replaced it
    assert count(sessions, PassageRow) == 2


# --- views and compaction -------------------------------------------------------------------------------------------


def test_one_change_embeds_reads_and_indexes_nothing_else(
    open_at: Callable[..., KnowledgeBase], embedder_class: type[Any], index_dir: Path
) -> None:
    embedder = embedder_class()
    kb = open_at(embedder)
    kb.ingest([Document(f"d{i}", "D", f"text {i}\n\n## B\nmore {i}") for i in range(50)], tenant="t")
    kb.compact("t")
    saved = {path: path.stat().st_mtime_ns for path in index_dir.rglob("*")}
    before = embedder.num_embedded

    kb.ingest([Document("d7", "D", "text 7\n\n## B\nchanged")], tenant="t")

    assert embedder.num_embedded == before + 1
    assert {path: path.stat().st_mtime_ns for path in index_dir.rglob("*")} == saved
    assert "changed" in texts(kb.search("changed", tenant="t", k=1))


def test_what_is_gone_takes_no_place_in_the_ranking(open_at: Callable[..., KnowledgeBase], clock: Clock) -> None:
    kb = open_at()
    kb.ingest([Document(f"s{i}", "Refunds", f"refunds money days {i}") for i in range(120)], tenant="t")
    kb.ingest([Document("r", "Returns", "You have 30 days.")], tenant="t")
    kb.compact("t")
    clock.now += HOUR
    for i in range(60):
        kb.delete(f"s{i}", "t")
    kb.ingest([Document(f"s{i}", "Other", "lamp", acl=("staff",)) for i in range(60, 120)], tenant="t")

    hits = kb.search("refunds money days", tenant="t")

    assert texts(hits) == ["You have 30 days."]
    assert hits[0].score == pytest.approx(1 / 61 + 0.2 / 61)


def test_much_change_is_compacted_in_the_background(open_at: Callable[..., KnowledgeBase], index_dir: Path) -> None:
    kb = open_at()

    kb.ingest([Document(f"d{i}", "D", f"text {i}") for i in range(2_000)], tenant="t")
    kb.close()

    assert len(list(index_dir.glob("*/*/manifest.json"))) == 1
    assert texts(kb.search("text 7", tenant="t", k=1)) == ["text 7"]
    assert texts(open_at().search("text 7", tenant="t", k=1)) == ["text 7"]


def test_a_process_that_slept_longer_than_the_log_reaches_starts_over(
    open_at: Callable[..., KnowledgeBase], clock: Clock, sessions: sessionmaker[Session]
) -> None:
    sleeper, busy = open_at(), open_at()
    sleeper.ingest([Document("a", "A", "old words")], tenant="t")
    busy.delete("a", "t")
    busy.ingest([Document("b", "B", "new words")], tenant="t")
    clock.now += KEEP_LOG + HOUR
    busy.compact("t")

    assert count(sessions, ChangeRow) == 1
    assert texts(sleeper.search("words", tenant="t")) == ["new words"]


def test_a_compaction_that_ends_late_undoes_no_change_and_removes_no_newer_snapshot(
    open_at: Callable[..., KnowledgeBase],
    sessions: sessionmaker[Session],
    embedder_class: type[Any],
    index_dir: Path,
    clock: Clock,
) -> None:
    kb = open_at()
    kb.ingest([Document("a", "A", "old words", valid_to=None), Document("b", "B", "other words")], tenant="t")

    class Interrupted(Catalog):
        """While it reads for a compaction, another process changes everything and compacts."""

        def all_passages(self, tenant: str, embedder: str) -> Any:
            pages = list(super().all_passages(tenant, embedder))
            kb.delete("a", tenant)
            kb.ingest([Document("c", "C", "new words")], tenant=tenant)
            kb.compact(tenant)
            return iter(pages)

    late = Indexes(
        Interrupted(sessions), Journal(sessions), embedder_class(), index_dir, vectors=FaissIndexes(), clock=clock
    )
    late.compact("t")

    view = late.view("t")
    assert view is not None
    query = embedder_class().embed(["words"])[0]
    found = {row_id for row_id, _ in view.search("words", query, groups=(), at=clock.now, depth=10)}
    with sessions() as session:
        assert found == set(session.scalars(select(PassageRow.id)))
    assert sorted(texts(open_at().search("words", tenant="t"))) == ["new words", "other words"]
    newest = Catalog(sessions).version("t")
    assert newest in [path.name for path in index_dir.glob("*/*")]


def test_a_restart_follows_what_changed_since_the_snapshot(open_at: Callable[..., KnowledgeBase], clock: Clock) -> None:
    kb = open_at()
    kb.ingest([Document(name, name, f"words of {name}") for name in "abcd"], tenant="t")
    kb.ingest([Document("e", "e", "words of e", acl=("staff",))], tenant="t")
    kb.compact("t")
    clock.now += HOUR
    kb.delete("a", "t")
    kb.ingest([Document("b", "b", "words of b", acl=("leads",)), Document("c", "c", "new words")], tenant="t")
    kb.ingest([Document("e", "e", "words of e"), Document("f", "f", "words of f")], tenant="t")

    again = open_at()

    assert sorted(texts(again.search("words", tenant="t"))) == ["new words", "words of d", "words of e", "words of f"]
    assert sorted(texts(again.search("words", tenant="t", acl=["leads"], as_of=START))) == [
        *("words of b", "words of c", "words of d", "words of e")
    ]


def test_what_comes_while_a_snapshot_is_made_is_found_after_a_restart(
    open_at: Callable[..., KnowledgeBase],
    sessions: sessionmaker[Session],
    embedder_class: type[Any],
    index_dir: Path,
    clock: Clock,
) -> None:
    kb = open_at()
    kb.ingest([Document("a", "A", "old words"), Document("b", "B", "other words")], tenant="t")

    class Interrupted(Catalog):
        """After it has read for a compaction, another process changes much."""

        def all_passages(self, tenant: str, embedder: str) -> Any:
            yield from super().all_passages(tenant, embedder)
            kb.delete("a", tenant)
            kb.ingest([Document("b", "B", "other words", acl=("staff",)), Document("c", "C", "new words")], tenant="t")

    Indexes(
        Interrupted(sessions), Journal(sessions), embedder_class(), index_dir, vectors=FaissIndexes(), clock=clock
    ).compact("t")

    assert len(list(index_dir.glob("*/*/manifest.json"))) == 1
    assert texts(open_at().search("words", tenant="t")) == ["new words"]
    assert sorted(texts(open_at().search("words", tenant="t", acl=["staff"]))) == ["new words", "other words"]


def test_a_half_written_snapshot_is_never_read(open_at: Callable[..., KnowledgeBase], index_dir: Path) -> None:
    kb = open_at()
    kb.ingest([Document("a", "A", "some words")], tenant="t")
    kb.compact("t")
    [folder] = index_dir.glob("*/*")
    (folder / "manifest.json").unlink()
    folder.rename(folder.with_name("draft-x"))  # as a process that was killed leaves it

    assert texts(open_at().search("words", tenant="t")) == ["some words"]
    kb.compact("t")
    assert len(list(index_dir.glob("*/*/manifest.json"))) == 1


def test_old_snapshots_are_removed(kb: KnowledgeBase, index_dir: Path) -> None:
    for number in range(3):
        kb.ingest([Document("d", "D", f"text {number}")], tenant="t")
        kb.compact("t")

    assert len(list(index_dir.glob("*/*"))) == 1


def test_the_index_folder_may_be_deleted(open_kb: Callable[..., KnowledgeBase], index_dir: Path) -> None:
    kb = open_kb()
    kb.ingest([Document("a", "A", "money days")], tenant="t")
    kb.compact("t")
    expected = kb.search("money days", tenant="t")
    index_dir.rename(index_dir.with_name("gone"))

    assert open_kb().search("money days", tenant="t") == expected
