"""Simulated card transactions, after the process of the Fraud Detection Handbook. SYNTHETIC, seeded.

The process (Le Borgne et al. 2022, Reproducible Machine Learning for Credit Card Fraud Detection, chapter 3), all of
it; the code is ours. Customers and terminals are scattered over a square of 100 by 100. A customer pays at terminals
within 5 of home, 0 to 4 times a day (Poisson, his own mean), around noon (normal, sd 20,000 s), amounts normal around
his own mean of 5 to 100, sd half the mean. Fraud:

    1  every amount above 220
    2  a terminal is compromised (2 a day of 10,000): whatever is paid there in the next 28 days
    3  a customer is compromised (3 a day of 5,000): a third of what is paid in the next 14 days, amounts five times
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from verticals.finance.simulator import SYNTHETIC_ID

START = datetime(2026, 6, 1, tzinfo=UTC)
DAY_S = 86_400
REACH, SIDE = 5.0, 100.0
LARGE_CENTS = 22_000
TERMINALS_A_DAY, TERMINAL_DAYS = 2 / 10_000, 28
CUSTOMERS_A_DAY, CUSTOMER_DAYS = 3 / 5_000, 14
CARD_COLUMNS = ("transaction_id", "at_s", "customer", "terminal", "amount_cents", "fraud", "scenario")
Rng = np.random.Generator


def simulate_cards(
    num_customers: int, num_terminals: int, days: int, *, seed: int, start: datetime = START
) -> pd.DataFrame:
    """`CARD_COLUMNS` in time order; the same arguments give the same table.

    Raises:
        ValueError: nobody, nowhere or no day.
    """
    if min(num_customers, num_terminals, days) < 1:
        raise ValueError("num_customers, num_terminals, days: each must be at least 1.")
    rng = np.random.default_rng(seed)
    near = _terminals_near(num_customers, num_terminals, rng)
    paid = pd.concat([_pay(i, terminals, days, rng) for i, terminals in enumerate(near)], ignore_index=True)
    paid = paid.sort_values(["second", "owner"], kind="stable", ignore_index=True)
    _defraud(paid, num_customers, num_terminals, days, rng)
    numbers = np.arange(len(paid))
    return pd.DataFrame(
        {
            "transaction_id": [f"{SYNTHETIC_ID}{seed}-{n:07}" for n in numbers],
            "at_s": int(start.timestamp()) + paid["second"],
            "customer": [f"{SYNTHETIC_ID}{seed}-c{n:05}" for n in paid["owner"]],
            "terminal": [f"{SYNTHETIC_ID}{seed}-t{n:05}" for n in paid["place"]],
            "amount_cents": paid["cents"],
            "fraud": (paid["scenario"] > 0).astype(np.int64),
            "scenario": paid["scenario"],
        },
        columns=list(CARD_COLUMNS),
    )


def _terminals_near(num_customers: int, num_terminals: int, rng: Rng) -> Sequence[NDArray[np.int64]]:
    """For each customer, the terminals within reach; there may be none."""
    homes, places = (rng.uniform(0, SIDE, (n, 2)) for n in (num_customers, num_terminals))
    return [np.flatnonzero(((places - home) ** 2).sum(axis=1) < REACH**2) for home in homes]


def _pay(owner: int, terminals: NDArray[np.int64], days: int, rng: Rng) -> pd.DataFrame:
    """One customer's genuine transactions, in no order."""
    mean, daily = rng.uniform(5, 100), rng.uniform(0, 4)
    counts = rng.poisson(daily, days) * (len(terminals) > 0)
    total = int(counts.sum())
    time = rng.normal(DAY_S / 2, 20_000, total)
    amount = rng.normal(mean, mean / 2, total)
    amount = np.where(amount < 0, rng.uniform(0, 2 * mean, total), amount)
    paid = pd.DataFrame(
        {
            "second": (np.repeat(np.arange(days), counts) * DAY_S + time).astype(np.int64),
            "owner": owner,
            "place": rng.choice(terminals, total) if total else np.empty(0, np.int64),
            "cents": np.maximum(np.rint(amount * 100), 1).astype(np.int64),
            "scenario": 0,
        }
    )
    return paid[(time > 0) & (time < DAY_S)]


def _defraud(paid: pd.DataFrame, num_customers: int, num_terminals: int, days: int, rng: Rng) -> None:
    """Mark the frauds, and raise the amounts of the third kind."""
    day = paid["second"] // DAY_S
    scenario, cents = paid["scenario"].to_numpy().copy(), paid["cents"].to_numpy().copy()
    scenario[cents > LARGE_CENTS] = 1
    for start in range(days):
        for place in rng.integers(0, num_terminals, rng.poisson(TERMINALS_A_DAY * num_terminals)):
            scenario[(paid["place"] == place) & (day >= start) & (day < start + TERMINAL_DAYS)] = 2
        for owner in rng.integers(0, num_customers, rng.poisson(CUSTOMERS_A_DAY * num_customers)):
            mine = np.flatnonzero((paid["owner"] == owner) & (day >= start) & (day < start + CUSTOMER_DAYS))
            stolen = rng.choice(mine, len(mine) // 3, replace=False)
            cents[stolen] *= 5
            scenario[stolen] = 3
    paid["scenario"], paid["cents"] = scenario, cents
