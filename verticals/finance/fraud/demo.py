"""Prepares the fraud model, and simulated cards as the history of the tenant "demo". SYNTHETIC; scores nothing."""

from __future__ import annotations

from datetime import UTC, datetime

import pandas as pd
from sqlalchemy import select

from verticals.bulk import insert_rows
from verticals.contract import Progress, Resources
from verticals.finance.fraud.model import FRAUD
from verticals.finance.fraud.tables import FinanceCardTransaction as Card
from verticals.finance.simulator.cards import DAY_S, simulate_cards

TENANT, NUM_CUSTOMERS, NUM_TERMINALS, DAYS, SEED = "demo", 100, 300, 60, 7


def demo_cards(resources: Resources, progress: Progress) -> None:
    """Safe to run again and to interrupt: a model that is registered and a history that is there are left."""
    if resources.registry.load(FRAUD) is None:
        from verticals.finance.fraud.training import train_on_simulation

        files, card = train_on_simulation(progress)
        resources.registry.save(FRAUD, files, card)
    with resources.sessions.begin() as session:
        if session.scalar(select(Card.transaction_id).where(Card.tenant == TENANT).limit(1)) is not None:
            return
        progress("finance: simulated cards", 0.9)
        past, _ = demo_days()
        rows = past.drop(columns=["scenario"]).assign(fraud=past["fraud"] > 0)
        same = {"tenant": TENANT, "received_at": datetime.now(UTC)}
        table = Card.metadata.tables[Card.__tablename__]
        insert_rows(
            session.connection(), table, [{str(k): v for k, v in row.items()} | same for row in rows.to_dict("records")]
        )


def demo_days() -> tuple[pd.DataFrame, pd.DataFrame]:
    """The history that the demo keeps, and the day after it, to be scored."""
    cards = simulate_cards(NUM_CUSTOMERS, NUM_TERMINALS, DAYS, seed=SEED)
    is_last = cards["at_s"] // DAY_S == cards["at_s"].max() // DAY_S
    return cards[~is_last], cards[is_last]
