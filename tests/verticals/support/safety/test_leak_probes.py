"""Nothing of others comes out: other tenants' documents, deleted ones, other customers' data.

The same probes, 10,000 of them, are `python -m benchmarks.leaks`.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from sqlalchemy.orm import sessionmaker

from retrieval.store import KnowledgeBase
from tests.databases import migrated_engine
from tests.verticals.support.safety.fakes import HashEmbedder
from verticals.support.safety.leak_probes import SEARCHED, Streamed, search_probes, stream_leaks, streams


def test_search_never_shows_another_tenants_or_a_deleted_document(tmp_path: Path) -> None:
    engine = migrated_engine(tmp_path)
    knowledge = KnowledgeBase(sessionmaker(engine), HashEmbedder(), tmp_path / "index")

    probes = list(search_probes(knowledge, 60))

    engine.dispose()
    assert [probe for probe in probes if probe.leaked] == []
    assert Counter(probe.kind for probe in probes) == dict.fromkeys(SEARCHED, 20)
    assert all(probe.sighted for probe in probes)  # a search that shows nothing proves nothing


def test_a_stream_never_shows_another_customers_data_however_it_is_cut() -> None:
    assert stream_leaks(streams(300, seed=1)) == []


def test_a_probe_notices_a_leak() -> None:
    unmasked = Streamed(("It is Xaver ", "Roe."), secret="Xaver Roe", own="Roe")

    assert stream_leaks([unmasked]) == [unmasked]
