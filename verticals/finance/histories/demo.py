"""Prepares some simulated customers of the tenant "demo". SYNTHETIC; ignores applications and models."""

from __future__ import annotations

from decimal import Decimal

import pandas as pd

from verticals.contract import Progress, Resources
from verticals.finance.histories.events import Event
from verticals.finance.simulator.bank import simulate
from verticals.finance.sources.store import open_stores

TENANT, NUM_CUSTOMERS, SEED = "demo", 24, 7


def demo_histories(resources: Resources, progress: Progress) -> None:
    """Safe to run again and to interrupt: events that are known are left, vectors are made where they are due."""
    stores = open_stores(resources.sessions, resources.registry)
    _, total = stores.events.page(TENANT, _last_customer(), limit=1, offset=0)
    if not total:
        progress("finance: simulated customers", 0.9)
        bank = simulate(NUM_CUSTOMERS, seed=SEED)
        for customer, rows in bank.events.groupby("customer", sort=True):
            stores.events.append(TENANT, str(customer), simulated_events(rows))
    stores.refresh()


def simulated_events(rows: pd.DataFrame) -> list[Event]:
    """Rows of a simulated bank's table as events."""
    return [
        Event(
            event_id=row["event_id"],
            at=pd.Timestamp(row["at_s"], unit="s", tz="UTC").to_pydatetime(),
            kind=row["kind"],
            category=row["category"],
            channel=row["channel"],
            amount=_money(row["amount_cents"]),
            balance=_money(row["balance_cents"]),
            credit_limit=_money(row["limit_cents"]),
        )
        for row in rows.to_dict("records")
    ]


def _last_customer() -> str:
    return f"sim-{SEED}-{NUM_CUSTOMERS - 1:06}"


def _money(cents: object) -> Decimal | None:
    return None if pd.isna(cents) else Decimal(int(str(cents))) / 100  # type: ignore[call-overload]
