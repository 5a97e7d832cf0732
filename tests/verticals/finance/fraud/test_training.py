"""Training: the simulator's process, the cut in time, a threshold at a stated rate, a bank's own files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.verticals.finance.conftest import FolderRegistry
from verticals.contract import InvalidInput, NotFound
from verticals.finance.fraud.figures import flagged_share, threshold_at
from verticals.finance.fraud.files import read_folder, to_transactions
from verticals.finance.fraud.model import load_fraud
from verticals.finance.fraud.training import train_fraud
from verticals.finance.simulator.cards import LARGE_CENTS, simulate_cards

QUIET = {"trained_on": "x", "synthetic": True, "draws": 5}


def test_the_simulator_gives_the_same_cards_and_says_that_they_are_simulated(cards: pd.DataFrame) -> None:
    again = simulate_cards(300, 300, 130, seed=3)

    pd.testing.assert_frame_equal(again, cards)
    assert cards["at_s"].is_monotonic_increasing
    assert cards[["transaction_id", "customer", "terminal"]].map(lambda name: name.startswith("sim-")).all(axis=None)
    assert cards["amount_cents"].min() >= 1


def test_the_frauds_are_those_of_the_process(cards: pd.DataFrame) -> None:
    kinds = cards.groupby("scenario")
    large = cards["amount_cents"] > LARGE_CENTS

    assert set(kinds.groups) == {0, 1, 2, 3}
    assert not large[cards["scenario"] == 0].any()
    assert (cards["fraud"] == (cards["scenario"] > 0)).all()
    bad = cards[cards["scenario"] == 2].groupby("terminal")["at_s"]
    assert ((bad.max() - bad.min()) / 86_400).median() < 29
    stolen, own = (kinds.get_group(kind)["amount_cents"].median() for kind in (3, 0))
    assert stolen > 2.5 * own


def test_a_threshold_lets_the_stated_share_of_genuine_ones_through() -> None:
    rng = np.random.default_rng(0)
    score, fraud = rng.random(5000), (rng.random(5000) < 0.1).astype(float)

    threshold = threshold_at(fraud, score, false_positives=0.01)

    share = flagged_share(0, threshold)(fraud, score, np.ones(5000))
    assert 0.009 < share <= 0.01


def test_a_model_knows_its_threshold_rate_and_origin(fraud_registry: FolderRegistry) -> None:
    model = load_fraud(fraud_registry)

    assert model is not None
    assert (model.false_positives, model.synthetic, len(model.columns)) == (0.01, True, 35)
    assert 0 < model.threshold < 1
    value, low, high = model.card.metrics["recall"]
    assert low <= value <= high
    assert model.card.metrics["AUC"][0] > 0.75


def test_equal_transactions_give_equal_bytes(cards: pd.DataFrame) -> None:
    first, second = (train_fraud(to_transactions(cards), lambda what, share: None, **QUIET)[0] for _ in range(2))  # type: ignore[arg-type]

    assert first == second


def test_too_short_a_time_is_refused(cards: pd.DataFrame) -> None:
    with pytest.raises(InvalidInput, match=r"needs 30 frauds .* Give a longer time"):
        train_fraud(to_transactions(cards[:5000]), lambda what, share: None, **QUIET)  # type: ignore[arg-type]


@pytest.mark.parametrize("names", [("at", "customer", "terminal", "amount", "fraud"),
                                   ("TX_DATETIME", "CUSTOMER_ID", "TERMINAL_ID", "TX_AMOUNT", "TX_FRAUD")])  # fmt: skip
def test_a_banks_files_are_read_under_either_names(tmp_path: Path, names: tuple[str, ...]) -> None:
    rows = [("2026-10-02 10:00:00", "b", "t", "2.50", 0), ("2026-10-01 10:00:00", "a", "t", "1.10", 1)]
    pd.DataFrame(rows, columns=list(names)).to_csv(tmp_path / "cards.csv", index=False)

    found = read_folder(tmp_path)

    assert found["customer"].tolist() == ["a", "b"]
    assert found["amount_cents"].tolist() == [110, 250]
    assert found["fraud"].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"fraud": 2}, "cards.csv, row 1, fraud: must be 0 or 1"),
        ({"amount": "x"}, "cards.csv, row 1, amount: must be a number"),
        ({"at": "yesterday"}, "cards.csv, row 1, at: must be a time"),
    ],
)
def test_a_bad_file_names_row_and_rule(tmp_path: Path, change: dict[str, object], told: str) -> None:
    row = {"at": "2026-10-01", "customer": "a", "terminal": "t", "amount": "1", "fraud": 0} | change
    pd.DataFrame([row]).to_csv(tmp_path / "cards.csv", index=False)

    with pytest.raises(InvalidInput, match=told):
        read_folder(tmp_path)


def test_a_folder_without_files_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"must be a folder with \.parquet or \.csv files"):
        read_folder(tmp_path / "nowhere")


def test_the_demo_keeps_a_history_and_a_day_to_score() -> None:
    from verticals.finance.fraud.demo import demo_days

    past, today = demo_days()

    assert len(past) > 50 * len(today) > 0
