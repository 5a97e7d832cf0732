"""Nothing of others comes out: other tenants' documents, deleted ones, other customers' data.

The same probes, 10,000 of them, are `python -m benchmarks.leaks`.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import create_engine
from sqlalchemy.orm import sessionmaker

from retrieval.store import KnowledgeBase
from retrieval.tables import Base
from tests.verticals.support.safety.fakes import HashEmbedder
from verticals.support.safety.leak_probes import Streamed, search_leaks, stream_leaks, streams


def test_search_never_shows_another_tenants_or_a_deleted_document(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'kb.db'}")
    Base.metadata.create_all(engine)
    knowledge = KnowledgeBase(sessionmaker(engine), HashEmbedder(), tmp_path / "index")

    leaks = search_leaks(knowledge, 60)

    engine.dispose()
    assert leaks == []


def test_a_stream_never_shows_another_customers_data_however_it_is_cut() -> None:
    assert stream_leaks(streams(300, seed=1)) == []


def test_a_probe_notices_a_leak() -> None:
    unmasked = Streamed(("It is Xaver ", "Roe."), secret="Xaver Roe", own="Roe")

    assert stream_leaks([unmasked]) == [unmasked]
