"""What a card transaction's past says, as columns: the published aggregates, and ours. Ignores models.

A feature uses nothing later than its transaction, and a label only once it is known, `DELAY_S` after its own.
Published: Le Borgne et al. 2022, Reproducible Machine Learning for Credit Card Fraud Detection, chapter 3.
Sums are of whole numbers (cents, counts), so that a feature is the same to the bit whatever else the table holds: the
served features read a slice of the history (`slices.py`), training reads all of it. Shapes: T transactions, in time
order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

DAY_S = 86_400
DELAY_S = 7 * DAY_S  # from a fraud until the bank knows of it
WINDOWS_D = (1, 7, 30)
USUAL_D = 90  # of a customer's past, what an amount is compared with
HIGH_D = (1, 7, 14)
COMPROMISED_D = 28  # how long ago a known fraud still says something of its terminal
LAGS = 5  # earlier transactions of the customer that are columns of their own
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Transactions:
    """Card transactions in time order, (T,) each. `fraud`: 1 where the label, once known, says so."""

    at_s: Ints
    customer: Ints
    terminal: Ints
    amount_cents: Ints
    fraud: Ints

    @property
    def amount(self) -> Floats:
        """In the currency."""
        return self.amount_cents / 100


class Past:
    """Sums over earlier transactions of the same customer or terminal, by binary search in one sorted key."""

    def __init__(self, owner_T: Ints, at_T: Ints) -> None:
        self._span = int(at_T.max() - at_T.min()) + 400 * DAY_S  # so that no window reaches another owner
        self._key = owner_T * self._span + (at_T - at_T.min())
        self._order = np.argsort(self._key, kind="stable")
        self._sorted = self._key[self._order]

    def sums(self, value_T: Ints, *, from_s: int, to_s: int = 0, itself: bool = False) -> tuple[Floats, Floats]:
        """(sum, count) of the owner's transactions in (at - from_s, at - to_s].

        Exact while a window's own sum fits 64 bits: the running sum may pass them, a difference wraps back.

        Args:
            value_T: Whole numbers.
            itself: Whether to include the transaction (and others of the same second); only for `to_s` 0.
        """
        total = np.concatenate([[0], np.cumsum(value_T[self._order])])
        low = np.searchsorted(self._sorted, self._key - from_s, side="right")
        inclusive = itself or to_s > 0
        high = np.searchsorted(self._sorted, self._key - to_s, side="right" if inclusive else "left")
        high = np.maximum(high, low)
        return (total[high] - total[low]).astype(float), (high - low).astype(float)

    def lag(self, value_T: Floats, steps: int) -> Floats:
        """The value of the owner's transaction `steps` before; NaN without one."""
        found = np.full(len(value_T), np.nan)
        now, before = self._order[steps:], self._order[:-steps]
        same = self._key[now] // self._span == self._key[before] // self._span
        found[now[same]] = value_T[before[same]]
        return found

    def first_since(self, marked_T: NDArray[np.bool_], *, from_s: int, to_s: int) -> Floats:
        """Seconds since the earliest marked transaction of the owner in (at - from_s, at - to_s]; NaN without one."""
        keys = self._sorted[marked_T[self._order]]
        place = np.searchsorted(keys, self._key - from_s, side="right")
        found = keys[np.minimum(place, len(keys) - 1)] if len(keys) else self._key + 1
        inside = (place < len(keys)) & (found <= self._key - to_s)
        return np.where(inside, self._key - found, np.nan)


def published_features(t: Transactions) -> pd.DataFrame:
    """The handbook's 15: amount, weekend, night, customer and terminal windows of 1, 7 and 30 days, (T, 15)."""
    hour, day = t.at_s // 3600 % 24, t.at_s // DAY_S
    columns = {
        "amount": t.amount,
        "weekend": ((day + 3) % 7 >= 5).astype(float),  # 1970-01-01 was a Thursday, the day 3 of a week
        "night": (hour <= 6).astype(float),
    }
    customer, terminal = Past(t.customer, t.at_s), Past(t.terminal, t.at_s)
    for days in WINDOWS_D:
        cents, count = customer.sums(t.amount_cents, from_s=days * DAY_S, itself=True)
        columns |= {f"customer_count_{days}d": count, f"customer_mean_{days}d": cents / count / 100}
    for days in WINDOWS_D:
        frauds, count = terminal.sums(t.fraud, from_s=DELAY_S + days * DAY_S, to_s=DELAY_S)
        columns |= {f"terminal_count_{days}d": count, f"terminal_risk_{days}d": _share(frauds, count)}
    return pd.DataFrame(columns)


def velocity_features(t: Transactions) -> pd.DataFrame:
    """Ours beside the published: how this amount and pace compare with the customer's own, and what is known of both.

    The sequence of the customer's last `LAGS` transactions comes as columns, newest first.
    """
    customer, terminal = Past(t.customer, t.at_s), Past(t.terminal, t.at_s)
    cents, count = customer.sums(t.amount_cents, from_s=USUAL_D * DAY_S)
    squares, _ = customer.sums(t.amount_cents**2, from_s=USUAL_D * DAY_S)
    mean = np.divide(cents, count, out=np.full(len(cents), np.nan), where=count > 0) / 100
    sd = np.sqrt(np.maximum(squares / np.maximum(count, 1) / 100**2 - mean**2, 1.0))
    ratio = t.amount / np.maximum(mean, 1.0)
    columns = {"amount_ratio": ratio, "amount_z": (t.amount - mean) / sd}
    high = (ratio > 2.5).astype(np.int64)  # a first transaction has no ratio, and is not high
    for days in HIGH_D:
        columns[f"customer_high_{days}d"], _ = customer.sums(high, from_s=days * DAY_S)
    for lag in range(1, LAGS + 1):
        columns[f"ratio_before_{lag}"] = customer.lag(ratio, lag)
        columns[f"days_before_{lag}"] = (t.at_s - customer.lag(t.at_s.astype(float), lag)) / DAY_S
    known_s = DELAY_S + 14 * DAY_S
    columns["customer_frauds_known"], _ = customer.sums(t.fraud, from_s=known_s, to_s=DELAY_S)
    reach_s = DELAY_S + COMPROMISED_D * DAY_S
    frauds, count = terminal.sums(t.fraud, from_s=reach_s, to_s=DELAY_S)
    since = terminal.first_since(t.fraud > 0, from_s=reach_s, to_s=DELAY_S)
    columns |= {
        "terminal_frauds_known": frauds,
        "terminal_fraud_share": _share(frauds, count),
        "terminal_days_since_first_fraud": since / DAY_S,
    }
    last_s = DELAY_S + 3 * DAY_S
    frauds, count = terminal.sums(t.fraud, from_s=last_s, to_s=DELAY_S)
    columns |= {"terminal_fraud_share_3d": np.where(count > 0, _share(frauds, count), np.nan)}
    return pd.DataFrame(columns)


def all_features(t: Transactions) -> pd.DataFrame:
    """Both, as the model reads them, (T, 36)."""
    return pd.concat([published_features(t), velocity_features(t)], axis=1)


def _share(of: Floats, to: Floats) -> Floats:
    return of / np.maximum(to, 1)
