"""Features of a card transaction: the published ones as published, and none that looks ahead."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from verticals.finance.fraud.features import (
    DAY_S,
    DELAY_S,
    WINDOWS_D,
    Transactions,
    published_features,
    velocity_features,
)


@pytest.fixture(scope="module")
def transactions() -> Transactions:
    rng, count = np.random.default_rng(1), 3000
    return Transactions(
        at_s=np.sort(rng.choice(120 * DAY_S, count, replace=False)).astype(np.int64) + 1_522_540_800,
        customer=rng.integers(0, 12, count),
        terminal=rng.integers(0, 20, count),
        amount_cents=rng.gamma(2.0, 3000.0, count).astype(np.int64),
        fraud=(rng.random(count) < 0.1).astype(np.int64),
    )


def test_the_published_features_are_the_handbooks(transactions: Transactions) -> None:
    """Against pandas' rolling windows, written as the handbook writes them."""
    t, found = transactions, published_features(transactions)
    at = pd.DatetimeIndex(pd.to_datetime(t.at_s, unit="s"))
    table = pd.DataFrame({"amount": t.amount, "fraud": t.fraud}, index=at)

    assert found["weekend"].tolist() == (at.weekday >= 5).astype(float).tolist()
    assert found["night"].tolist() == (at.hour <= 6).astype(float).tolist()
    for days in WINDOWS_D:
        for customer in range(12):
            mine = t.customer == customer
            window = table[mine]["amount"].rolling(f"{days}d")
            assert found[f"customer_count_{days}d"][mine].tolist() == window.count().tolist()
            np.testing.assert_allclose(found[f"customer_mean_{days}d"][mine], window.mean(), rtol=1e-9)
        for terminal in range(20):
            mine = t.terminal == terminal
            frauds = table[mine]["fraud"]
            long, delay = frauds.rolling(f"{days + 7}d"), frauds.rolling("7d")
            count, bad = long.count() - delay.count(), long.sum() - delay.sum()
            assert found[f"terminal_count_{days}d"][mine].tolist() == count.tolist()
            np.testing.assert_allclose(found[f"terminal_risk_{days}d"][mine], (bad / count).fillna(0), atol=1e-12)


@pytest.mark.parametrize("features", [published_features, velocity_features])
def test_no_feature_sees_what_comes_later(transactions: Transactions, features: object) -> None:
    t, cut = transactions, 2000
    assert callable(features)
    later = np.arange(len(t.at_s)) >= cut
    changed = replace(t, amount_cents=np.where(later, 999_900, t.amount_cents), fraud=np.where(later, 1, t.fraud))

    pd.testing.assert_frame_equal(features(t)[:cut], features(changed)[:cut])


@pytest.mark.parametrize("features", [published_features, velocity_features])
def test_a_label_counts_only_once_it_is_known(transactions: Transactions, features: object) -> None:
    t = transactions
    assert callable(features)
    now = t.at_s[2000]
    unknown = (t.at_s > now - DELAY_S) & (t.at_s <= now)
    changed = replace(t, fraud=np.where(unknown, 1 - t.fraud, t.fraud))

    assert unknown.sum() > 50
    pd.testing.assert_frame_equal(features(t)[2000:2001], features(changed)[2000:2001])


def test_what_is_said_of_a_customer_and_a_terminal() -> None:
    days = np.array([0, 1, 2, 10, 20])
    t = Transactions(
        at_s=1_522_540_800 + days * DAY_S,
        customer=np.array([1, 1, 1, 1, 2]),
        terminal=np.array([7, 7, 8, 7, 7]),
        amount_cents=np.array([1000, 2000, 9000, 4000, 500]),
        fraud=np.array([1, 0, 0, 0, 0]),
    )

    found = velocity_features(t)

    assert found["amount_ratio"].tolist()[1:4] == [2, 6, 1]
    assert found["customer_high_14d"].tolist() == [0, 0, 0, 1, 0]
    assert found["days_before_1"].tolist()[1:4] == [1, 1, 8]
    assert found["ratio_before_1"][3] == 6
    assert found["terminal_frauds_known"].tolist() == [0, 0, 0, 1, 1]
    assert found["terminal_days_since_first_fraud"].tolist()[3:] == [10, 20]
    assert np.isnan(found["terminal_days_since_first_fraud"][2])
    assert found["customer_frauds_known"].tolist() == [0, 0, 0, 1, 0]
    assert found.iloc[4].filter(like="before").isna().all()
