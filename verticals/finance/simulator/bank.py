"""The simulated bank: customers, a year of their events, their words, and who defaults. SYNTHETIC, seeded.

The default process, all of it; the probability is 1 / (1 + exp(-sum)):

    base             -2.70
    income           -0.6 ln(income / 2,400)
    spending         +3.0 (share of the income spent on purchases - 0.40)
    utilisation      +1.8 mean share of the limit owed in the last three months (0 without a line)
    late fees        +0.35 for each, four at most
    out of work      +0.9 if no salary came in one of the last three months
    medical          +0.5 after a large medical bill
    gambling         +0.35 payments for games a month, three at most
    order            +2.2 (share of pairs that are "draw, then repay" - 0.5), with a credit line and a pair
    outlook          +0.9 insecure, -0.7 secure; only the application's text tells it
    document         +1.2 another name, +1.3 contradicts itself, +0.7 expired; only the identity document tells it

Order: within two days a customer draws on the credit line and repays the same amount. Who draws first repays old debt
with new; who repays first has the money. Counts, amounts, times, balances are equal either way: no aggregate can tell.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from verticals.finance.histories.vocabulary import Category, Kind
from verticals.finance.simulator import SYNTHETIC_ID, activity
from verticals.finance.simulator.activity import MONTH_S, SHOPS, Customers
from verticals.finance.simulator.documents import draw_documents
from verticals.finance.simulator.texts import OUTLOOKS, write_text

AS_OF = datetime(2026, 6, 30, tzinfo=UTC)  # the day of every application
MONTHS = 12
EVENT_COLUMNS = (
    *("customer", "event_id", "at_s", "kind", "category", "channel", "amount_cents", "balance_cents", "limit_cents"),
)


@dataclass(frozen=True)
class Bank:
    """A simulated portfolio on the day `as_of`; rows of all parts follow `customers`' order.

    Attributes:
        customers: By id: income, employment, has_line, months_out_of_work, outlook.
        events: `EVENT_COLUMNS`, as `histories.events` describes them; by customer, then time.
        pairs: event ids of each planted pair, `first` and `second` in time, with `customer`.
        texts: What each applicant wrote.
        documents: What the check of each identity document found: `documents.mismatch.FEATURES`, NaN for None.
        terms: The default process, term by term; a row's sum is its log odds.
        default: 1 where the customer defaulted.
    """

    customers: pd.DataFrame
    events: pd.DataFrame
    pairs: pd.DataFrame
    texts: tuple[str, ...]
    documents: pd.DataFrame
    terms: pd.DataFrame
    default: NDArray[np.int_]
    as_of: datetime
    synthetic: bool = True


def simulate(num_customers: int, *, seed: int, as_of: datetime = AS_OF, months: int = MONTHS) -> Bank:
    """A portfolio; the same arguments give the same one.

    Args:
        months: Of history before `as_of`, 3 or more.
    Raises:
        ValueError: no customer, or too few months.
    """
    if num_customers < 1 or months < 3:
        raise ValueError(f"num_customers, months: at least 1 and 3 are needed (got {num_customers} and {months}).")
    rng = np.random.default_rng(seed)
    drivers = _draw_customers(num_customers, months, rng)
    raw = pd.concat(
        [
            make(drivers, months, rng)
            for make in (
                activity.incomes,
                activity.bills,
                activity.purchases,
                activity.credit_pairs,
                activity.statements,
            )
        ],
        ignore_index=True,
    ).sort_values(["customer", "second"], kind="stable", ignore_index=True)
    ids = np.array([f"{SYNTHETIC_ID}{seed}-{i:06}" for i in range(num_customers)])
    start_s = int(as_of.timestamp()) - months * MONTH_S
    events, pairs = _events(raw, ids, start_s), _pairs(raw, ids)
    outlook = rng.choice(OUTLOOKS, num_customers, p=[0.25, 0.5, 0.25])
    documents, document_term = draw_documents(num_customers, seed=seed)
    terms = _terms(drivers, raw, outlook, months).assign(document=document_term).set_index(ids)
    prob_default = 1 / (1 + np.exp(-terms.sum(axis=1).to_numpy()))
    customers = pd.DataFrame(
        {
            "income": drivers.income.round(2),
            "employment": np.where(drivers.regularity > 0.1, "self_employed", "employed"),
            "has_line": drivers.has_line,
            "months_out_of_work": drivers.out_of_work.sum(1),
            "outlook": outlook,
        },
        index=ids,
    )
    return Bank(
        customers=customers,
        events=events,
        pairs=pairs,
        texts=tuple(write_text(str(o), rng) for o in outlook),
        documents=documents.set_index(ids),
        terms=terms,
        default=(rng.random(num_customers) < prob_default).astype(int),
        as_of=as_of,
    )


def swap_pairs(bank: Bank) -> pd.DataFrame:
    """The events with draw and repayment of every planted pair exchanged: other order, same aggregates."""
    events = bank.events.copy()
    kind = events["kind"].to_numpy(copy=True)
    row = pd.Series(np.arange(len(events)), index=events["event_id"])
    first, second = row[bank.pairs["first"]].to_numpy(), row[bank.pairs["second"]].to_numpy()
    kind[first], kind[second] = kind[second], kind[first]
    return events.assign(kind=kind)


def _draw_customers(n: int, months: int, rng: np.random.Generator) -> Customers:
    income = 2400 * np.exp(rng.normal(0, 0.4, n))
    self_employed = rng.random(n) < 0.22
    loses, lost_at = rng.random(n) < 0.12, rng.integers(1, months, n)
    month = np.arange(months)
    lasts = rng.integers(1, 5, n)
    out = loses[:, None] & (month >= lost_at[:, None]) & (month < (lost_at + lasts)[:, None])
    drift = rng.normal(0, 0.02, n)[:, None] * month + rng.normal(0, 0.03, (n, months)) + 0.06 * out.cumsum(1)
    return Customers(
        income=income,
        regularity=np.where(self_employed, 0.35, 0.02),
        spend_share=rng.beta(8, 12, n),
        habits=rng.dirichlet(np.full(len(SHOPS), 0.6), n),
        gambles=np.where(rng.random(n) < 0.12, rng.gamma(2.0, 0.6, n), 0.0),
        has_line=rng.random(n) < 0.65,
        limit=np.round(income * rng.uniform(0.8, 2.5, n), -2),
        used=np.clip(rng.beta(1.6, 2.4, n)[:, None] + drift, 0, 1.05),
        out_of_work=out,
        medical=np.where(rng.random(n) < 0.08, rng.integers(0, months, n), -1),
        rolls_debt=rng.beta(0.6, 0.6, n),
    )


def _events(raw: pd.DataFrame, ids: NDArray[np.str_], start_s: int) -> pd.DataFrame:
    number = raw.groupby("customer").cumcount()
    found = pd.DataFrame(
        {
            "customer": ids[raw["customer"]],
            "event_id": [f"{ids[c]}-{i:04}" for c, i in zip(raw["customer"], number, strict=True)],
            "at_s": start_s + raw["second"],
            "kind": raw["kind"],
            "category": raw["category"],
            "channel": raw["channel"],
        }
    )
    for name in ("amount", "balance", "limit"):
        found[f"{name}_cents"] = (raw[name] * 100).round().astype("Int64")
    return found[list(EVENT_COLUMNS)]


def _pairs(raw: pd.DataFrame, ids: NDArray[np.str_]) -> pd.DataFrame:
    number = raw.groupby("customer").cumcount()
    paired = raw.assign(event_id=[f"{ids[c]}-{i:04}" for c, i in zip(raw["customer"], number, strict=True)]).dropna(
        subset="pair"
    )
    first = paired[paired["is_first"].eq(True)].set_index("pair")
    second = paired[paired["is_first"].eq(False)].set_index("pair")
    found = pd.DataFrame({"first": first["event_id"], "second": second["event_id"], "customer": first["customer"]})
    return found.assign(customer=ids[found["customer"]]).reset_index(drop=True)


def _terms(c: Customers, raw: pd.DataFrame, outlook: NDArray[np.str_], months: int) -> pd.DataFrame:
    """The process of the module's docstring, from what really happened where that is random."""

    def count(mask: pd.Series) -> NDArray[np.float64]:
        return np.bincount(raw["customer"][mask], minlength=len(c.income)).astype(float)

    draws_first = count((raw["kind"] == Kind.DRAW) & raw["is_first"].eq(True))
    num_pairs = count(raw["is_first"].eq(True))
    share = np.divide(draws_first, num_pairs, out=np.full(len(num_pairs), 0.5), where=num_pairs > 0)
    games = count(raw["category"] == Category.GAMBLING) / months
    return pd.DataFrame(
        {
            "base": np.full(len(c.income), -2.70),
            "income": -0.6 * np.log(c.income / 2400),
            "spending": 3.0 * (c.spend_share - 0.4),
            "utilisation": 1.8 * c.used[:, -3:].mean(1) * c.has_line,
            "late_fees": 0.35 * np.minimum(count(raw["kind"] == Kind.LATE_FEE), 4),
            "out_of_work": 0.9 * c.out_of_work[:, -3:].any(1),
            "medical": 0.5 * (c.medical >= 0),
            "gambling": 0.35 * np.minimum(games, 3),
            "order": 2.2 * (share - 0.5),
            "outlook": np.select([outlook == "insecure", outlook == "secure"], [0.9, -0.7], 0.0),
        }
    )
