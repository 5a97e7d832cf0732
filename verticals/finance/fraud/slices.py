"""The part of the stored history that new transactions' features depend on, and no more. Computes no feature.

A feature of a transaction at time t needs of its terminal 37 days before t, and of its customer 120 days, or as far
back as the five transactions before and the 90 days that each of them is compared with.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from sqlalchemy import Select, case, func, select
from sqlalchemy.orm import Session

from retrieval.catalog import batches
from verticals.finance.fraud.features import COMPROMISED_D, DAY_S, DELAY_S, HIGH_D, LAGS, USUAL_D, WINDOWS_D
from verticals.finance.fraud.tables import FinanceCardTransaction as Card

TERMINAL_S = DELAY_S + max(*WINDOWS_D, COMPROMISED_D) * DAY_S
HIGH_S, USUAL_S = max(*HIGH_D, *WINDOWS_D) * DAY_S, USUAL_D * DAY_S
_COLUMNS = (Card.transaction_id, Card.at_s, Card.customer, Card.terminal, Card.amount_cents, Card.fraud)


def with_history(session: Session, tenant: str, new: Sequence[dict[str, Any]]) -> tuple[pd.DataFrame, pd.Series]:
    """`new` rows and what is stored around them, in time order, and which of the rows are new.

    Args:
        new: Columns of `_COLUMNS` without `fraud`; none of them is stored.
    """
    first, last = min(row["at_s"] for row in new), max(row["at_s"] for row in new)
    customers, terminals = (batches(sorted({row[name] for row in new})) for name in ("customer", "terminal"))
    queries = [
        *(_of_customers(tenant, part, first, last) for part in customers),
        *(_of_terminals(tenant, part, first, last) for part in terminals),
    ]
    stored = {row[0]: tuple(row) for query in queries for row in session.execute(query)}
    names = [column.key for column in _COLUMNS]
    before = pd.DataFrame(list(stored.values()), columns=names)
    table = pd.concat([before, pd.DataFrame(new).reindex(columns=names)], ignore_index=True)
    table["new"] = [False] * len(before) + [True] * len(new)
    table["fraud"] = (table["fraud"] == True).astype("int64")  # noqa: E712  (null: nobody has said so)
    table = table.sort_values("at_s", kind="stable", ignore_index=True)  # of one second, what is stored came first
    return table, table.pop("new")


def _of_customers(tenant: str, customers: Sequence[str], first: int, last: int) -> Select[*tuple[Any, ...]]:
    """Rows of customers back to 90 days before the oldest that a feature at `first` looks at."""
    mine = (Card.tenant == tenant, Card.customer.in_(customers))
    place = func.row_number().over(partition_by=Card.customer, order_by=Card.at_s.desc()).label("place")
    lately = select(Card.customer, Card.at_s, place).where(*mine, Card.at_s <= first).subquery()
    oldest = func.min(lately.c.at_s)
    reach = first - HIGH_S
    far = select(lately.c.customer, case((oldest < reach, oldest), else_=reach).label("from_s"))
    far_back = far.where(lately.c.place <= LAGS).group_by(lately.c.customer).subquery()
    since = func.coalesce(far_back.c.from_s, reach) - USUAL_S
    return (
        select(*_COLUMNS)
        .outerjoin(far_back, far_back.c.customer == Card.customer)
        .where(*mine, Card.at_s >= since, Card.at_s <= last)
    )


def _of_terminals(tenant: str, terminals: Sequence[str], first: int, last: int) -> Select[*tuple[Any, ...]]:
    """Rows of terminals as far back as a feature at `first` looks."""
    since = (Card.at_s > first - TERMINAL_S, Card.at_s <= last)
    return select(*_COLUMNS).where(Card.tenant == tenant, Card.terminal.in_(terminals), *since)
