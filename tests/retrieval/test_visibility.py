"""Whatever the order of changes, a search shows exactly what was valid then and what its caller may see today.

Random sequences on two knowledge bases over one database, beside a model that keeps plain lists and reads them all.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
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
START = datetime(2026, 1, 1, tzinfo=UTC)
MOMENTS = st.integers(-5, 40).map(lambda hours: START + timedelta(hours=hours))
DOCUMENTS = st.builds(
    lambda doc_id, text, acl, start, hours: Document(
        doc_id,
        f"Title {doc_id}",
        f"{text}\n\n## More\n{text} more",
        acl=acl,
        valid_from=start,
        valid_to=start and hours and start + timedelta(hours=hours),
    ),
    DOC_IDS,
    WORDS,
    GROUPS,
    st.none() | MOMENTS,
    st.none() | st.integers(1, 20),
)


@dataclass(frozen=True)
class Said:
    """A document as it was from `start` to `end`."""

    document: Document
    start: datetime
    end: datetime | None


class Model:
    """The truth: per tenant and document what was said when, and who may read it today."""

    def __init__(self) -> None:
        self.said: dict[tuple[str, str], list[Said]] = {}

    def ingest(self, tenant: str, document: Document, now: datetime) -> None:
        past = self.said.get((tenant, document.doc_id), [])
        if past and replace(past[-1].document, acl=()) == replace(document, acl=()):
            self.said[tenant, document.doc_id] = [*past[:-1], replace(past[-1], document=document)]
            return
        start = document.valid_from or now
        kept = [replace(s, end=min(s.end or start, start)) for s in past if s.start < start]
        self.said[tenant, document.doc_id] = [*kept, Said(document, start, document.valid_to)]

    def visible(self, tenant: str, groups: tuple[str, ...], at: datetime) -> list[tuple[str, str]]:
        return [
            (said.document.doc_id, text)
            for (owner, _), past in self.said.items()
            for said in past
            if owner == tenant and said.start <= at and (said.end is None or at < said.end)
            if not past[-1].document.acl or set(past[-1].document.acl) & set(groups)
            for text in said.document.text.split("\n\n## More\n")
        ]


def machine(embedder_class: type[Any]) -> type[RuleBasedStateMachine]:
    """Two open knowledge bases on one database, beside the model."""

    class Visibility(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.model, self.now = Model(), START
            self.folder = Path(tempfile.mkdtemp())
            self.engine = create_engine("sqlite://", poolclass=StaticPool)
            Base.metadata.create_all(self.engine)
            self.kbs = [self.open(), self.open()]

        def open(self) -> KnowledgeBase:
            return KnowledgeBase(sessionmaker(self.engine), embedder_class(), self.folder, clock=lambda: self.now)

        @rule(which=st.integers(0, 1), tenant=TENANTS, documents=st.lists(DOCUMENTS, max_size=3, unique_by=id_of))
        def ingest(self, which: int, tenant: str, documents: list[Document]) -> None:
            self.kbs[which].ingest(documents, tenant=tenant)
            for document in documents:
                self.model.ingest(tenant, document, self.now)

        @rule(which=st.integers(0, 1), tenant=TENANTS, doc_id=DOC_IDS, acl=GROUPS)
        def change_access(self, which: int, tenant: str, doc_id: str, acl: tuple[str, ...]) -> None:
            if past := self.model.said.get((tenant, doc_id)):
                self.ingest(which, tenant, [replace(past[-1].document, acl=acl)])

        @rule(which=st.integers(0, 1), tenant=TENANTS, doc_id=DOC_IDS)
        def delete(self, which: int, tenant: str, doc_id: str) -> None:
            existed = self.model.said.pop((tenant, doc_id), None) is not None
            assert self.kbs[which].delete(doc_id, tenant) is existed

        @rule(which=st.integers(0, 1))
        def restart(self, which: int) -> None:
            self.kbs[which] = self.open()

        @rule(which=st.integers(0, 1), tenant=TENANTS)
        def compact(self, which: int, tenant: str) -> None:
            self.kbs[which].compact(tenant)

        @rule(hours=st.integers(1, 5))
        def wait(self, hours: int) -> None:
            self.now += timedelta(hours=hours)

        @rule()
        def lose_the_snapshots(self) -> None:
            shutil.rmtree(self.folder, ignore_errors=True)

        @rule(which=st.integers(0, 1), tenant=TENANTS, groups=GROUPS, query=WORDS, as_of=st.none() | MOMENTS)
        def search(self, which: int, tenant: str, groups: tuple[str, ...], query: str, as_of: datetime | None) -> None:
            kb, expected = self.kbs[which], self.model.visible(tenant, groups, as_of or self.now)

            hits = kb.search(query, tenant=tenant, acl=groups, k=100, as_of=as_of)

            assert sorted((hit.doc_id, hit.text) for hit in hits) == sorted(expected)
            for hit in hits:
                passage = kb.get_passage(hit.passage_id, tenant=tenant, acl=groups, as_of=as_of)
                assert passage is not None
                assert passage.text == hit.text

        @invariant()
        def the_list_is_the_truth(self) -> None:
            listed = {(t, info.doc_id) for t in ("acme", "acme2") for info in self.kbs[0].list_documents(t)}
            assert listed == set(self.model.said)

        def teardown(self) -> None:
            self.engine.dispose()
            shutil.rmtree(self.folder, ignore_errors=True)

    return Visibility


def id_of(document: Document) -> str:
    return document.doc_id


@pytest.mark.slow
def test_no_interleaving_shows_what_is_deleted_foreign_closed_or_of_another_time(embedder_class: type[Any]) -> None:
    run_state_machine_as_test(
        machine(embedder_class), settings=settings(max_examples=40, stateful_step_count=25, deadline=None)
    )
