"""The knowledge base on SQLite and on PostgreSQL, alone and with two writers at once."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine
from sqlalchemy.orm import sessionmaker

from retrieval.documents import Document, IngestReport
from retrieval.store import KnowledgeBase
from retrieval.tables import Base


def test_add_replace_restrict_and_delete(database_url: str, tmp_path: Path, embedder_class: type[Any]) -> None:
    engine = create_engine(database_url)
    Base.metadata.create_all(engine)
    kb = KnowledgeBase(sessionmaker(engine), embedder_class(), tmp_path)
    many = [Document(f"d{i:03}", f"Title {i}", f"Text {i}.\n\n## More\nWords {i}.") for i in range(600)]

    assert kb.ingest(many, tenant="t") == IngestReport(600, 0, 0)
    assert kb.ingest([*many[1:], Document("d000", "Title 0", "Closed.", acl=("staff",))], tenant="t").replaced == 1
    assert kb.delete("d001", "t")
    assert [(i.doc_id, i.num_passages) for i in kb.list_documents("t")][:2] == [("d000", 1), ("d002", 2)]
    assert [hit.doc_id for hit in kb.search("Words 2.", tenant="t", k=1)] == ["d002"]
    assert "d000" not in [hit.doc_id for hit in kb.search("Closed.", tenant="t", k=100)]
    assert kb.search("Closed.", tenant="t", acl=["staff"], k=1)[0].text == "Closed."
    engine.dispose()


def test_two_writers_of_one_document_leave_one_whole_version(
    database_url: str, tmp_path: Path, embedder_class: type[Any]
) -> None:
    engine = create_engine(database_url)
    Base.metadata.create_all(engine)
    kbs = [KnowledgeBase(sessionmaker(engine), embedder_class(), tmp_path) for _ in range(2)]  # as two processes
    errors: list[Exception] = []
    start = threading.Barrier(2)

    def write(number: int) -> None:
        start.wait()
        try:
            for turn in range(5):
                text = f"writer {number} turn {turn}"
                kbs[number].ingest([Document("d", "D", f"{text}\n\n## Same\n{text}")], tenant="t")
        except Exception as error:  # noqa: BLE001 - a thread's errors are shown by the assertion below
            errors.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    found = [[hit.text for hit in kb.search("writer turn", tenant="t")] for kb in kbs]
    assert found[0] == found[1]
    assert len(found[0]) == 2
    assert len(set(found[0])) == 1
    engine.dispose()
