"""A temporary database and handlers around it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy.orm import Session, sessionmaker

from retrieval.ledger import Ledger
from tests.databases import migrated_engine
from tests.verticals.support.fakes import ListRetriever, ScriptedModel
from tests.verticals.support.world import World
from verticals.support.agent import SupportAgent
from verticals.support.answerable import answerable_with
from verticals.support.handlers import SupportHandlers
from verticals.support.references import ReferenceDesk
from verticals.support.safety.guard import Guard
from verticals.support.tickets import TicketDesk


@pytest.fixture
def sessions(tmp_path: Path) -> Iterator[sessionmaker[Session]]:
    engine = migrated_engine(tmp_path)
    yield sessionmaker(engine)
    engine.dispose()


@pytest.fixture
def make_handlers(sessions: sessionmaker[Session]) -> Callable[[ScriptedModel, ListRetriever], SupportHandlers]:
    def make(model: ScriptedModel, retriever: ListRetriever) -> SupportHandlers:
        desk = TicketDesk(sessions, model, lambda: "fake-1")
        known = answerable_with(retriever.embedder)
        agent = SupportAgent(model, retriever, desk, is_answerable=known, guard=Guard(None))
        return SupportHandlers(
            agent, desk, retriever, ReferenceDesk(Ledger(sessions), retriever.version), lambda: "fake-1"
        )

    return make


@pytest.fixture
def world(sessions: sessionmaker[Session]) -> World:
    return World(sessions)
