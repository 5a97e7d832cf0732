"""The feature view says the same in SQL (SQLite and PostgreSQL) and in pandas, and what its names promise."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sqlalchemy.orm import Session, sessionmaker

from tests.verticals.finance.histories.histories import NOW, random_history
from verticals.finance.histories.events import Event, event_table
from verticals.finance.histories.store import EventStore
from verticals.finance.histories.view import FEATURES, ZERO_WITHOUT_EVENTS
from verticals.finance.histories.view_frame import complete, features_of
from verticals.finance.histories.view_sql import feature_query
from verticals.finance.simulator.bank import simulate, swap_pairs

NOW_S = int(NOW.timestamp())
NAMES = [f.name for f in FEATURES]


def describe(*events: dict[str, Any]) -> dict[str, float]:
    """The view of one history; times are days before `NOW`."""
    rows = [Event(event_id=f"e{i}", at=NOW - timedelta(days=e.pop("days")), **e).row("c") for i, e in enumerate(events)]
    return features_of(event_table(rows), as_of_s=NOW_S, customers=["c"]).loc["c"].to_dict()


def test_sql_and_pandas_agree_on_random_histories(sessions: sessionmaker[Session]) -> None:
    rng = np.random.default_rng(3)
    store, customers = EventStore(sessions), [f"c{i:03}" for i in range(150)]
    histories = {customer: random_history(rng) for customer in customers}
    for customer, events in histories.items():
        store.append("bank", customer, events)
    store.append("other", "c000", random_history(rng))
    table = event_table([e.row(c) for c, events in histories.items() for e in events])

    with sessions() as session:
        rows = session.execute(feature_query("bank", as_of_s=NOW_S)).mappings().all()
    from_sql = complete(pd.DataFrame(rows, columns=["customer", *NAMES]).set_index("customer"), customers)
    from_pandas = features_of(table, as_of_s=NOW_S, customers=customers)

    assert list(from_pandas.columns) == NAMES
    assert sum(not events for events in histories.values()) > 10
    assert sum(len(events) == 1 for events in histories.values()) > 10
    np.testing.assert_allclose(from_sql.to_numpy(), from_pandas.to_numpy(), rtol=1e-9, atol=1e-9)
    known = from_pandas.notna().sum()
    assert (known > 0).all(), f"never tested: {list(known[known == 0].index)}"


def test_the_stores_own_features_are_those_of_the_view(sessions: sessionmaker[Session]) -> None:
    store, events = EventStore(sessions), random_history(np.random.default_rng(8), longest=60)
    store.append("bank", "c", events)

    found = store.features("bank", "c", as_of=NOW)

    expected = features_of(event_table([e.row("c") for e in events]), as_of_s=NOW_S, customers=["c"]).loc["c"]
    assert [np.nan if found[n] is None else found[n] for n in NAMES] == pytest.approx(list(expected), nan_ok=True)


def test_without_events_sums_are_zero_and_the_rest_is_missing(sessions: sessionmaker[Session]) -> None:
    found = EventStore(sessions).features("bank", "nobody", as_of=NOW)
    table = features_of(event_table([]), as_of_s=NOW_S, customers=["nobody"])

    assert {n for n, value in found.items() if value == 0} == ZERO_WITHOUT_EVENTS
    assert {n for n, value in found.items() if value is None} == set(NAMES) - ZERO_WITHOUT_EVENTS
    assert list(table.columns[table.loc["nobody"] == 0]) == [n for n in NAMES if n in ZERO_WITHOUT_EVENTS]


def test_the_features_mean_what_they_say() -> None:
    found = describe(
        {"days": 40, "kind": "salary", "amount": "2000"},
        {"days": 30, "kind": "purchase", "amount": "10", "category": "fuel"},
        {"days": 10, "kind": "purchase", "amount": "1000", "category": "gambling"},
        {"days": 4, "kind": "statement", "balance": "250", "credit_limit": "1000"},
        {"days": 2, "kind": "cash_withdrawal"},
    )

    assert found["num_events"] == 5
    assert found["recency_d"] == 2
    assert found["history_d"] == 40
    assert found["interval_mean_d"] == pytest.approx(38 / 4)
    assert found["interval_sd_d"] == pytest.approx(np.std([10, 20, 6, 2]))
    assert found["spend_geomean"] == pytest.approx(100)
    assert found["spend_total"] == 1010
    assert found["spend_trend"] == pytest.approx(np.log(100) / 20 * 30)
    assert found["games_share"] == pytest.approx(1000 / 1010)
    assert found["spend_share"] == pytest.approx(1010 / 2000)
    assert found["num_categories"] == 2
    assert found["utilisation_last"] == 0.25
    assert found["cash_share"] == 0
    assert np.isnan(found["late_fee_recency_d"])
    assert np.isnan(found["utilisation_trend"])


def test_what_comes_after_the_date_is_not_seen() -> None:
    before = {"days": 5, "kind": "salary", "amount": Decimal(100)}

    assert describe(dict(before)) == pytest.approx(
        describe(dict(before), {"days": -1, "kind": "salary", "amount": 9}), nan_ok=True
    )


def test_no_feature_sees_the_planted_order() -> None:
    bank = simulate(200, seed=4)
    swapped, customers, as_of_s = swap_pairs(bank), list(bank.customers.index), int(bank.as_of.timestamp())

    original = features_of(bank.events, as_of_s=as_of_s, customers=customers)
    other = features_of(swapped, as_of_s=as_of_s, customers=customers)

    np.testing.assert_allclose(original.to_numpy(), other.to_numpy(), rtol=1e-12, atol=1e-12)
