"""The demo's customers are simulated, complete, and there once however often it runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from tests.verticals.finance.conftest import FolderRegistry
from tests.verticals.finance.histories.test_embeddings import register
from verticals.contract import Resources
from verticals.finance.histories.demo import NUM_CUSTOMERS, SEED, TENANT, demo_histories
from verticals.finance.histories.embeddings import EmbeddingStore
from verticals.finance.histories.events import event_table
from verticals.finance.histories.store import EventStore
from verticals.finance.simulator.bank import simulate


def test_the_demos_histories_are_the_simulators_and_have_vectors(
    make_resources: Callable[[Any], Resources], tmp_path: Path
) -> None:
    (tmp_path / "registry").mkdir()
    registry, bank = FolderRegistry(tmp_path / "registry"), simulate(NUM_CUSTOMERS, seed=SEED)
    register(registry)
    resources = make_resources(registry)

    for _ in range(2):
        demo_histories(resources, lambda what, share: None)

    events, customers = EventStore(resources.sessions), list(bank.customers.index)
    pd.testing.assert_frame_equal(
        events.table(TENANT, customers, as_of=bank.as_of), event_table(bank.events.to_dict("records"))
    )
    embeddings = EmbeddingStore(resources.sessions, events, registry)
    assert all(embeddings.sequence_features(TENANT, c, bank.as_of) is not None for c in customers)
