"""A fraud model trained once on a small simulated portfolio, in a registry of its own."""

from __future__ import annotations

import pandas as pd
import pytest

from tests.verticals.finance.conftest import FolderRegistry
from verticals.finance.fraud.files import to_transactions
from verticals.finance.fraud.model import FRAUD
from verticals.finance.fraud.training import train_fraud
from verticals.finance.simulator.cards import simulate_cards


@pytest.fixture(scope="session")
def cards() -> pd.DataFrame:
    """130 days of simulated cards."""
    return simulate_cards(300, 300, 130, seed=3)


@pytest.fixture(scope="session")
def few() -> pd.DataFrame:
    """160 days of the simulated cards of few customers, one transaction a second: who came first can be told."""
    found = simulate_cards(40, 300, 160, seed=5)
    return found.drop_duplicates("at_s", ignore_index=True)


@pytest.fixture(scope="session")
def fraud_registry(tmp_path_factory: pytest.TempPathFactory, cards: pd.DataFrame) -> FolderRegistry:
    """A registry with a fraud model alone."""
    found = FolderRegistry(tmp_path_factory.mktemp("fraud"))
    files, card = train_fraud(
        to_transactions(cards), lambda what, share: None, trained_on="Simulated.", synthetic=True, draws=20
    )
    found.save(FRAUD, files, card)
    return found
