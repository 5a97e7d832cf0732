"""Whatever the order of changes, a search shows exactly what its caller may see (random interleavings)."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sqlalchemy import StaticPool, create_engine
from sqlalchemy.orm import sessionmaker

from retrieval.documents import Document
from retrieval.store import KnowledgeBase
from retrieval.tables import Base

TENANTS = st.sampled_from(["acme", "acme2"])
DOC_IDS = st.sampled_from(["a", "b", "c", "d"])
GROUPS = st.sets(st.sampled_from(["staff", "leads"])).map(lambda groups: tuple(sorted(groups)))
WORDS = st.lists(st.sampled_from(["refund", "delivery", "lamp", "thirty", "days"]), min_size=1, max_size=4).map(
    " ".join
)
DOCUMENTS = st.builds(
    lambda doc_id, text, acl: Document(doc_id, f"Title {doc_id}", f"{text}\n\n## More\n{text} more", acl=acl),
    DOC_IDS,
    WORDS,
    GROUPS,
)


def machine(embedder_class: type[Any]) -> type[RuleBasedStateMachine]:
    """Two open knowledge bases on one database, beside a plain dictionary that says what is true."""

    class Visibility(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.truth: dict[tuple[str, str], Document] = {}
            self.folder = Path(tempfile.mkdtemp())
            self.engine = create_engine("sqlite://", poolclass=StaticPool)
            Base.metadata.create_all(self.engine)
            self.kbs = [self.open(), self.open()]

        def open(self) -> KnowledgeBase:
            return KnowledgeBase(sessionmaker(self.engine), embedder_class(), self.folder)

        @rule(which=st.integers(0, 1), tenant=TENANTS, documents=st.lists(DOCUMENTS, max_size=3, unique_by=id_of))
        def ingest(self, which: int, tenant: str, documents: list[Document]) -> None:
            self.kbs[which].ingest(documents, tenant=tenant)
            self.truth.update({(tenant, document.doc_id): document for document in documents})

        @rule(which=st.integers(0, 1), tenant=TENANTS, doc_id=DOC_IDS)
        def delete(self, which: int, tenant: str, doc_id: str) -> None:
            existed = self.truth.pop((tenant, doc_id), None) is not None
            assert self.kbs[which].delete(doc_id, tenant) is existed

        @rule(which=st.integers(0, 1))
        def restart(self, which: int) -> None:
            self.kbs[which] = self.open()

        @rule()
        def lose_the_snapshots(self) -> None:
            shutil.rmtree(self.folder, ignore_errors=True)

        @rule(which=st.integers(0, 1), tenant=TENANTS, groups=GROUPS, query=WORDS)
        def search(self, which: int, tenant: str, groups: tuple[str, ...], query: str) -> None:
            expected = {
                (document.doc_id, text)
                for (owner, _), document in self.truth.items()
                if owner == tenant and (not document.acl or set(document.acl) & set(groups))
                for text in document.text.split("\n\n## More\n")
            }

            hits = self.kbs[which].search(query, tenant=tenant, acl=groups, k=100)

            assert {(hit.doc_id, hit.text) for hit in hits} == expected
            assert len(hits) == len(expected)
            assert all(self.kbs[which].get_passage(hit.passage_id, tenant=tenant, acl=groups) for hit in hits)

        @invariant()
        def the_list_is_the_truth(self) -> None:
            listed = {(t, info.doc_id) for t in ("acme", "acme2") for info in self.kbs[0].list_documents(t)}
            assert listed == set(self.truth)

        def teardown(self) -> None:
            self.engine.dispose()
            shutil.rmtree(self.folder, ignore_errors=True)

    return Visibility


def id_of(document: Document) -> str:
    return document.doc_id


@pytest.mark.slow
def test_no_interleaving_shows_what_is_deleted_foreign_or_closed(embedder_class: type[Any]) -> None:
    run_state_machine_as_test(
        machine(embedder_class), settings=settings(max_examples=40, stateful_step_count=25, deadline=None)
    )
