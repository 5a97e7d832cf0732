"""What a knowledge base promises: incremental, filtered by SQL, rebuilt when a snapshot is stale or damaged."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy.orm import Session, sessionmaker

from retrieval.documents import Document, Hit, IngestReport, Problem
from retrieval.store import KnowledgeBase

RETURNS = Document(
    "returns", "Returns", "You have 30 days.\n\n## Refunds\nMoney comes in 5 days.", {"category": "returns"}
)
FEES = Document("fees", "Delivery fees", "Express costs $14.95.\n\n## Islands\nHawaii costs $12.95.")
SECRET = Document("secret", "Refund limits", "Agents may refund up to $50.", acl=("staff", "leads"))
OpenKb = Callable[..., KnowledgeBase]


def ids(hits: list[Hit]) -> list[str]:
    return [hit.doc_id for hit in hits]


# --- ingest ---------------------------------------------------------------------------------------------------------


def test_an_ingest_counts_what_is_new_changed_and_the_same(kb: KnowledgeBase) -> None:
    first = kb.ingest([RETURNS, FEES], tenant="t")
    changed = Document("fees", "Delivery fees", "Express costs $15.95.")

    second = kb.ingest([RETURNS, changed, SECRET], tenant="t")

    assert first == IngestReport(added=2, replaced=0, unchanged=0)
    assert second == IngestReport(added=1, replaced=1, unchanged=1)
    assert ids(kb.search("hawaii", tenant="t", k=10)).count("fees") == 1
    assert "Express costs $15.95." in [hit.text for hit in kb.search("express", tenant="t")]


@pytest.mark.parametrize(
    "changed",
    [
        Document("returns", "Our returns", RETURNS.text, RETURNS.metadata),
        Document("returns", "Returns", RETURNS.text, {"category": "other"}),
        Document("returns", "Returns", RETURNS.text, RETURNS.metadata, ("staff",)),
    ],
)
def test_title_metadata_and_acl_are_content_too(kb: KnowledgeBase, changed: Document) -> None:
    kb.ingest([RETURNS], tenant="t")

    assert kb.ingest([changed], tenant="t").replaced == 1
    hit = kb.search("refunds", tenant="t", acl=["staff"])[0]
    assert (hit.title, hit.metadata) == (changed.title, changed.metadata)


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (Document("", "T", "x"), "doc_id: must have 1 to 200 characters"),
        (Document("d" * 201, "T", "x"), "doc_id: must have 1 to 200 characters"),
        (Document("d", " ", "x"), "title: must not be empty"),
        (Document("d", "T", " \n"), "text: must not be empty"),
        (Document("d", "T", "# Only\n## Headings"), "text: headings only"),
        (Document("d", "T", "x" * 2_000_001), "text: longer than 2,000,000 characters. Split the document"),
        (Document("d", "T", "a\0b"), "text: holds a NUL character"),
        (Document("d", "T", "x", {"a": "\0"}), "text: holds a NUL character"),
        (Document("d", "T", "\ud800"), "text: holds characters that UTF-8 cannot encode"),
        (Document("d", "T", "x", {"a": object()}), "metadata: must be JSON"),
        (Document("d", "T", "x", acl=("",)), "acl: every group must be a name that is not empty"),
        (RETURNS, "doc_id: given twice in one ingest"),
    ],
)
def test_a_document_that_cannot_be_stored_is_skipped_with_the_reason(
    kb: KnowledgeBase, document: Document, reason: str
) -> None:
    report = kb.ingest([RETURNS, document], tenant="t")

    assert report == IngestReport(1, 0, 0, (Problem(document.doc_id[:200], reason),))
    assert [info.doc_id for info in kb.list_documents("t")] == ["returns"]


def test_only_changed_passages_are_embedded_again(open_kb: OpenKb, embedder_class: type[Any]) -> None:
    embedder = embedder_class()
    kb = open_kb(embedder)
    kb.ingest([RETURNS, FEES], tenant="t")
    before = embedder.num_embedded

    kb.ingest([RETURNS, Document("fees", FEES.title, FEES.text.replace("$12.95", "$13.95"))], tenant="t")

    assert before == 4
    assert embedder.num_embedded == before + 1


def test_a_failed_ingest_changes_nothing(open_kb: OpenKb, embedder_class: type[Any]) -> None:
    class Broken(embedder_class):  # type: ignore[misc]
        def embed(self, texts: list[str]) -> Any:
            raise RuntimeError("out of memory")

    open_kb().ingest([RETURNS], tenant="t")

    with pytest.raises(RuntimeError, match="out of memory"):
        open_kb(Broken()).ingest([FEES, Document("returns", "Returns", "Nothing.")], tenant="t")
    assert {hit.text for hit in open_kb().search("days", tenant="t")} == {"You have 30 days.", "Money comes in 5 days."}


def test_progress_ends_at_one(kb: KnowledgeBase) -> None:
    seen: list[tuple[str, float]] = []

    kb.ingest([RETURNS], tenant="t", on_progress=lambda what, share: seen.append((what, share)))

    assert seen == [("Embedding passages", 0.0), ("Embedding passages", 1.0), ("Indexing", 0.0), ("Indexing", 1.0)]


def test_documents_are_listed_with_their_passages_and_time(kb: KnowledgeBase) -> None:
    kb.ingest([SECRET, RETURNS], tenant="t")

    infos = kb.list_documents("t")

    assert [(i.doc_id, i.title, i.acl, i.num_passages) for i in infos] == [
        ("returns", "Returns", (), 2),
        ("secret", "Refund limits", ("leads", "staff"), 1),
    ]
    assert all(abs(datetime.now(UTC) - info.updated_at) < timedelta(minutes=1) for info in infos)


# --- search ---------------------------------------------------------------------------------------------------------


def test_a_hit_carries_its_place_and_both_measures(kb: KnowledgeBase, embedder_class: type[Any]) -> None:
    kb.ingest([RETURNS, FEES], tenant="t")
    query, passage = embedder_class().embed(["hawaii islands", "Delivery fees\nIslands\nHawaii costs $12.95."])

    hit = kb.search("hawaii islands", tenant="t", k=1)[0]

    assert (hit.doc_id, hit.title, hit.heading, hit.text) == (
        "fees",
        "Delivery fees",
        "Islands",
        "Hawaii costs $12.95.",
    )
    assert hit.similarity == pytest.approx(float(query @ passage), abs=1e-6)
    assert hit.score == pytest.approx(1 / 61 + 0.2 / 61)


def test_a_hit_of_words_alone_has_its_cosine_too(open_kb: OpenKb) -> None:
    class Blind:
        """Sees only whether a text is a question."""

        name, dim = "blind", 2

        def embed(self, texts: list[str]) -> Any:
            return np.array([[0.6, 0.8] if text.endswith("?") else [1, 0] for text in texts], np.float32)

        def embed_query(self, text: str) -> Any:
            return self.embed([text])[0]

    kb = open_kb(Blind())
    kb.ingest([Document(f"d{i}", "Filler?", f"filler number {i}?") for i in range(60)] + [FEES], tenant="t")

    hits = kb.search("hawaii?", tenant="t", k=100)

    hawaii = next(hit for hit in hits if "Hawaii" in hit.text)
    assert hawaii.similarity == pytest.approx(0.6)
    assert hawaii.score == pytest.approx(0.2 / 61 + 1 / (60 + 62), abs=2e-4)


class Backwards:
    """Turns the order around."""

    def score(self, query: str, hits: Sequence[Hit]) -> NDArray[np.float32]:
        return np.arange(len(hits), dtype=np.float32)


def test_a_reranker_reorders_the_best_hits_before_they_are_cut(
    sessions: sessionmaker[Session], embedder_class: type[Any], index_dir: Path
) -> None:
    kb = KnowledgeBase(sessions, embedder_class(), index_dir, reranker=Backwards())
    kb.ingest([RETURNS, FEES], tenant="t")
    fused = KnowledgeBase(sessions, embedder_class(), index_dir).search("refunds", tenant="t")

    assert [hit.passage_id for hit in kb.search("refunds", tenant="t", k=2)] == [
        hit.passage_id for hit in reversed(fused[-2:])
    ]


def test_a_passage_is_read_by_its_id(kb: KnowledgeBase) -> None:
    kb.ingest([RETURNS, SECRET], tenant="t")
    hit = kb.search("agents refund", tenant="t", acl=["leads"], k=1)[0]

    passage = kb.get_passage(hit.passage_id, tenant="t", acl=["leads"])

    assert passage is not None
    assert passage.text == hit.text == "Agents may refund up to $50."
    assert kb.get_passage(hit.passage_id, tenant="t") is None
    assert kb.get_passage(hit.passage_id, tenant="other", acl=["leads"]) is None
    assert kb.get_passage("unknown", tenant="t") is None


def test_what_the_caller_may_not_see_takes_no_place_in_the_ranking(kb: KnowledgeBase) -> None:
    hidden = [Document(f"s{i}", "Refunds", f"refunds money days {i}", acl=("staff",)) for i in range(80)]
    kb.ingest([*hidden, RETURNS], tenant="t")

    hits = kb.search("refunds money days", tenant="t", acl=["guests"])

    assert ids(hits) == ["returns", "returns"]
    assert hits[0].score == pytest.approx(1 / 61 + 0.2 / 61)


def test_an_unknown_tenant_finds_nothing(kb: KnowledgeBase) -> None:
    kb.ingest([RETURNS], tenant="t")

    assert kb.search("refunds", tenant="T") == []
    assert kb.list_documents("T") == []
    assert kb.delete("returns", "T") is False


def test_a_long_or_broken_query_is_answered(kb: KnowledgeBase) -> None:
    kb.ingest([RETURNS], tenant="t")

    assert len(kb.search("refund " * 200_000, tenant="t")) == 2
    assert len(kb.search("refund \ud800 \0 ''; DROP TABLE", tenant="t")) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"query": " \n"}, "query: must not be blank"),
        ({"k": 0}, r"k: must be 1 to 100 \(got 0\)"),
        ({"k": 101}, r"k: must be 1 to 100 \(got 101\)"),
        ({"tenant": ""}, r"tenant: must have 1 to 200 characters \(got 0\)"),
    ],
)
def test_bad_arguments_are_named(kb: KnowledgeBase, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kb.search(**({"query": "refund", "tenant": "t"} | arguments))


def test_deleting_the_last_document_leaves_an_empty_base(kb: KnowledgeBase) -> None:
    kb.ingest([RETURNS], tenant="t")

    assert kb.delete("returns", "t") is True
    assert kb.delete("returns", "t") is False
    assert kb.search("refunds", tenant="t") == []


# --- snapshots ------------------------------------------------------------------------------------------------------


def test_a_restart_reads_the_saved_snapshot(open_kb: OpenKb, index_dir: Path) -> None:
    kb = open_kb()
    kb.ingest([RETURNS, FEES], tenant="t")
    kb.compact("t")
    kb.delete("fees", "t")
    written = {path: path.stat().st_mtime_ns for path in index_dir.rglob("*")}
    assert written

    assert open_kb().search("money days", tenant="t") == kb.search("money days", tenant="t") != []
    assert {path: path.stat().st_mtime_ns for path in index_dir.rglob("*")} == written


def _remove(path: Path) -> None:
    path.unlink()


def _cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def _flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [_remove, _cut_short, _flip_a_bit, _empty])
@pytest.mark.parametrize(
    "name",
    [
        *("manifest.json", "rows.npy", "dense.faiss", "bm25/vocabulary.json", "bm25/counts.npy"),
        *("revisions/states.npy", "revisions/acls.json"),
    ],
)
def test_a_damaged_snapshot_is_noticed_and_built_again(
    open_kb: OpenKb, index_dir: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], None], name: str
) -> None:
    kb = open_kb()
    kb.ingest([RETURNS, FEES], tenant="t")
    kb.compact("t")
    [folder] = index_dir.glob("*/*")
    damage(folder / name)

    assert open_kb().search("money days", tenant="t") == kb.search("money days", tenant="t")
    assert "A snapshot is of no use" in caplog.text
    kb.compact("t")
    caplog.clear()
    assert open_kb().search("money days", tenant="t") == kb.search("money days", tenant="t")
    assert caplog.text == ""


def test_a_disk_that_refuses_costs_only_the_snapshot(
    open_kb: OpenKb, index_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    index_dir.write_text("a file where the folder should be")

    kb = open_kb()
    kb.ingest([RETURNS], tenant="t")
    with caplog.at_level(logging.WARNING):
        kb.compact("t")

    assert "A snapshot was not saved" in caplog.text
    assert len(kb.search("money days", tenant="t")) == 2
    assert len(open_kb().search("money days", tenant="t")) == 2


def test_another_process_sees_every_change(open_kb: OpenKb) -> None:
    ours, theirs = open_kb(), open_kb()
    ours.ingest([RETURNS], tenant="t")
    assert ids(theirs.search("express", tenant="t", k=1)) == ["returns"]

    theirs.ingest([FEES], tenant="t")
    assert ids(ours.search("express", tenant="t", k=1)) == ["fees"]

    theirs.delete("fees", "t")
    assert "fees" not in ids(ours.search("express", tenant="t"))


def test_another_embedder_gets_vectors_of_its_own(open_kb: OpenKb, embedder_class: type[Any]) -> None:
    open_kb().ingest([RETURNS, FEES], tenant="t")
    wider = embedder_class("wider", 128)

    hit = open_kb(wider).search("hawaii islands", tenant="t", k=1)[0]

    query, passage = wider.embed(["hawaii islands", "Delivery fees\nIslands\nHawaii costs $12.95."])
    assert hit.similarity == pytest.approx(float(query @ passage), abs=1e-6)
    again = embedder_class("wider", 128)
    open_kb(again).search("hawaii", tenant="t")
    assert again.num_embedded == 1  # the query: the new vectors were stored


def test_searches_beside_an_ingest_never_show_a_mixture(kb: KnowledgeBase) -> None:
    kb.ingest([FEES, Document("d", "D", "version 0\n\n## Same\nversion 0")], tenant="t")
    failures: list[object] = []
    done = threading.Event()

    def search_on() -> None:
        while not done.is_set():
            try:
                texts = {hit.text for hit in kb.search("version", tenant="t", k=10) if hit.doc_id == "d"}
                if len(texts) > 1:
                    failures.append(texts)
            except Exception as error:  # noqa: BLE001 - a thread's errors are shown by the assertion below
                failures.append(error)

    threads = [threading.Thread(target=search_on) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(1, 15):
        kb.ingest([Document("d", "D", f"version {number}\n\n## Same\nversion {number}")], tenant="t")
        assert f"version {number}" in [hit.text for hit in kb.search("version", tenant="t")]
    assert kb.delete("d", "t")
    assert ids(kb.search("version", tenant="t")) == ["fees", "fees"]
    done.set()
    for thread in threads:
        thread.join()

    assert failures == []
