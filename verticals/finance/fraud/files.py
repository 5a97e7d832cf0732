"""Card transactions from a folder of files, for training: our columns, or the Fraud Detection Handbook's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from verticals.contract import InvalidInput, NotFound
from verticals.finance.fraud.features import Transactions

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "at": ("at", "TX_DATETIME"),
    "customer": ("customer", "CUSTOMER_ID"),
    "terminal": ("terminal", "TERMINAL_ID"),
    "amount": ("amount", "TX_AMOUNT"),
    "fraud": ("fraud", "TX_FRAUD"),
}
"""What is needed -> the names that it may have."""


def read_folder(folder: Path) -> pd.DataFrame:
    """Columns `at_s`, `customer`, `terminal`, `amount_cents`, `fraud` of all .parquet and .csv files, in time order.

    Raises:
        NotFound: no folder, or no such file in it.
        InvalidInput: a column is missing, or holds what it may not.
    """
    files = sorted([*folder.glob("*.parquet"), *folder.glob("*.csv")]) if folder.is_dir() else []
    if not files:
        raise NotFound("must be a folder with .parquet or .csv files", field="DIR", value=str(folder))
    table = pd.concat([_read(file) for file in files], ignore_index=True)
    return table.sort_values("at_s", kind="stable", ignore_index=True)


def to_transactions(table: pd.DataFrame) -> Transactions:
    """Rows in time order as the features read them."""
    return Transactions(
        at_s=table["at_s"].to_numpy(np.int64),
        customer=pd.factorize(table["customer"])[0].astype(np.int64),
        terminal=pd.factorize(table["terminal"])[0].astype(np.int64),
        amount_cents=table["amount_cents"].to_numpy(np.int64),
        fraud=table["fraud"].to_numpy(np.int64),
    )


def _read(file: Path) -> pd.DataFrame:
    raw = pd.read_parquet(file) if file.suffix == ".parquet" else pd.read_csv(file, dtype=str)
    found = {name: next((c for c in names if c in raw), None) for name, names in COLUMNS.items()}
    if missing := [f"{name} (or {COLUMNS[name][1]})" for name, column in found.items() if column is None]:
        raise InvalidInput(f"needs the columns {', '.join(missing)}", field=file.name)
    given = raw[list(found.values())].set_axis(list(found), axis=1)
    at = pd.to_datetime(given["at"], errors="coerce", utc=True)
    amount, fraud = (pd.to_numeric(given[name], errors="coerce") for name in ("amount", "fraud"))
    for name, rule, bad in (
        ("at", "must be a time", at.isna()),
        ("amount", "must be a number, not negative", ~(amount >= 0)),
        ("fraud", "must be 0 or 1", ~fraud.isin([0, 1])),
        ("customer", "must not be empty", given["customer"].isna()),
        ("terminal", "must not be empty", given["terminal"].isna()),
    ):
        if bad.any():
            raise InvalidInput(rule, field=f"{file.name}, row {int(np.argmax(bad)) + 1}, {name}")
    return pd.DataFrame(
        {
            "at_s": at.dt.tz_localize(None).to_numpy("datetime64[s]").astype(np.int64),
            "customer": given["customer"].astype(str),
            "terminal": given["terminal"].astype(str),
            "amount_cents": np.rint(amount * 100).astype(np.int64),
            "fraud": fraud.astype(np.int64),
        }
    )
