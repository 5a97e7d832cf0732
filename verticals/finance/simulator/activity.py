"""What happens on simulated accounts: one function for each kind of event, all customers at once. SYNTHETIC.

Ignores why customers are as they are (`bank.py`). Months have 30 days here.
Shapes: N customers, M months, E events of one kind.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from verticals.finance.histories.vocabulary import Category, Channel, Kind

DAY_S = 86_400
MONTH_S = 30 * DAY_S
SHOPS = tuple(c for c in Category if c not in (Category.GAMBLING, Category.RENT, Category.UTILITIES, Category.HEALTH))
Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Customers:
    """What drives each customer's events, (N,) each.

    Attributes:
        income: Monthly, in the account's currency.
        regularity: Standard deviation of a month's income, as a share of it.
        spend_share: Of the income that goes to purchases, 0-1.
        habits: (N, shops) shares of the purchases.
        gambles: Payments for games a month.
        has_line: Whether there is a credit line.
        limit: Of the line.
        used: (N, M) share of the limit that is owed at the end of each month.
        out_of_work: (N, M) True where no salary comes.
        medical: Month of a large medical bill; -1: none.
        rolls_debt: Probability that a draw comes before the repayment of its pair.
    """

    income: Floats
    regularity: Floats
    spend_share: Floats
    habits: Floats
    gambles: Floats
    has_line: NDArray[np.bool_]
    limit: Floats
    used: Floats
    out_of_work: NDArray[np.bool_]
    medical: NDArray[np.int_]
    rolls_debt: Floats


def frame(
    customer: NDArray[np.int_],
    second: Floats,
    kind: Kind | NDArray[np.str_],
    *,
    amount: Floats | None = None,
    category: Category | NDArray[np.str_] | None = None,
    channel: Channel | None = None,
    balance: Floats | None = None,
    limit: Floats | None = None,
) -> pd.DataFrame:
    """Events of one kind, (E,): `customer` is an index, `second` counts from the beginning of the first month."""
    return pd.DataFrame(
        {
            "customer": customer,
            "second": second.astype(np.int64),
            "kind": str(kind) if isinstance(kind, Kind) else kind,
            "category": str(category) if isinstance(category, Category) else category,
            "channel": None if channel is None else str(channel),
            "amount": np.nan if amount is None else np.maximum(amount, 0.01).round(2),
            "balance": np.nan if balance is None else balance.round(2),
            "limit": np.nan if limit is None else limit,
        }
    )


def _monthly(mean: Floats, months: int, rng: np.random.Generator) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """(customer, month) of events that come `mean` times a month (Poisson)."""
    count = rng.poisson(np.repeat(mean[:, None], months, axis=1))
    customer, month = np.nonzero(count)
    return np.repeat(customer, count[customer, month]), np.repeat(month, count[customer, month])


def incomes(c: Customers, months: int, rng: np.random.Generator) -> pd.DataFrame:
    """A salary around the same day of each month, unless the customer is out of work."""
    customer, month = np.nonzero(~c.out_of_work)
    payday = rng.integers(0, 26, len(c.income))[customer]
    second = month * MONTH_S + (payday + rng.uniform(0.3, 0.8, len(month))) * DAY_S
    amount = c.income[customer] * np.exp(rng.normal(0, c.regularity[customer]))
    return frame(customer, second, Kind.SALARY, amount=amount, channel=Channel.TRANSFER)


def bills(c: Customers, months: int, rng: np.random.Generator) -> pd.DataFrame:
    """Rent each month, energy and water every third, and the large medical bill."""
    n = len(c.income)
    customer, month = np.repeat(np.arange(n), months), np.tile(np.arange(months), n)
    rent = frame(
        customer,
        month * MONTH_S + 2.4 * DAY_S + rng.uniform(0, 3600, n * months),
        Kind.BILL,
        amount=np.round(c.income * 0.28)[customer],
        category=Category.RENT,
        channel=Channel.DIRECT_DEBIT,
    )
    third = month % 3 == 0
    energy = frame(
        customer[third],
        month[third] * MONTH_S + 9.5 * DAY_S + rng.uniform(0, 3600, third.sum()),
        Kind.BILL,
        amount=rng.normal(180, 40, third.sum()),
        category=Category.UTILITIES,
        channel=Channel.DIRECT_DEBIT,
    )
    [ill] = np.nonzero(c.medical >= 0)
    medical = frame(
        ill,
        c.medical[ill] * MONTH_S + rng.uniform(0, 30, len(ill)) * DAY_S,
        Kind.BILL,
        amount=c.income[ill] * rng.uniform(0.8, 2.0, len(ill)),
        category=Category.HEALTH,
        channel=Channel.TRANSFER,
    )
    return pd.concat([rent, energy, medical])


def purchases(c: Customers, months: int, rng: np.random.Generator) -> pd.DataFrame:
    """Three purchases a month by habit, games for who plays, cash every other month."""
    customer, month = _monthly(np.full(len(c.income), 3.0), months, rng)
    habit = (c.habits.cumsum(1)[customer] < rng.random(len(customer))[:, None]).sum(1).clip(max=len(SHOPS) - 1)
    size = c.income * c.spend_share / 3
    bought = frame(
        customer,
        month * MONTH_S + rng.uniform(0, 30, len(month)) * DAY_S,
        Kind.PURCHASE,
        amount=size[customer] * np.exp(rng.normal(-0.18, 0.6, len(customer))),
        category=np.array([str(s) for s in SHOPS])[habit],
        channel=Channel.CARD,
    )
    customer, month = _monthly(c.gambles, months, rng)
    games = frame(
        customer,
        month * MONTH_S + rng.uniform(0, 30, len(month)) * DAY_S,
        Kind.PURCHASE,
        amount=np.exp(rng.normal(3.7, 0.7, len(customer))),
        category=Category.GAMBLING,
        channel=Channel.ONLINE,
    )
    customer, month = _monthly(np.full(len(c.income), 0.5), months, rng)
    cash = frame(
        customer,
        month * MONTH_S + rng.uniform(0, 30, len(month)) * DAY_S,
        Kind.CASH,
        amount=rng.integers(1, 11, len(customer)) * 20.0,
        channel=Channel.ATM,
    )
    return pd.concat([bought, games, cash])


def credit_pairs(c: Customers, months: int, rng: np.random.Generator) -> pd.DataFrame:
    """A draw and a repayment of the same amount within two days: the planted order.

    `pair` numbers them, `is_first` marks the earlier. Swapping a pair's kinds changes no amount, no time, no count.
    """
    customer, month = _monthly(np.where(c.has_line, 1.1, 0.0), months, rng)
    start = month * MONTH_S + rng.uniform(0, 27.5, len(month)) * DAY_S
    gap = rng.uniform(4, 44, len(month)) * 3600
    amount = c.income[customer] * np.exp(rng.normal(-2.0, 0.4, len(customer)))
    draws_first = rng.random(len(customer)) < c.rolls_debt[customer]
    first = np.where(draws_first, str(Kind.DRAW), str(Kind.REPAYMENT))
    second = np.where(draws_first, str(Kind.REPAYMENT), str(Kind.DRAW))
    number = np.arange(len(customer))
    parts = [
        frame(customer, at, kind, amount=amount, channel=Channel.ONLINE).assign(pair=number, is_first=is_first)
        for at, kind, is_first in ((start, first, True), (start + gap, second, False))
    ]
    return pd.concat(parts)


def statements(c: Customers, months: int, rng: np.random.Generator) -> pd.DataFrame:
    """Each month's balance owed and limit (not known without a line), and fees for late payment."""
    n = len(c.income)
    customer, month = np.repeat(np.arange(n), months), np.tile(np.arange(months), n)
    limit = np.where(c.has_line, c.limit, np.nan)[customer]
    used = c.used[customer, month]
    end = (month + 1) * MONTH_S - 3600.0
    stated = frame(customer, end, Kind.STATEMENT, balance=used * limit, limit=limit)
    logit = -4.2 + 2.2 * np.where(c.has_line[customer], used, 0.2) + 1.2 * c.out_of_work[customer, month]
    late = rng.random(n * months) < 1 / (1 + np.exp(-logit))
    fees = frame(
        customer[late],
        month[late] * MONTH_S + 15.5 * DAY_S + rng.uniform(0, 3600, late.sum()),
        Kind.LATE_FEE,
        amount=np.full(late.sum(), 25.0),
    )
    return pd.concat([stated, fees])
