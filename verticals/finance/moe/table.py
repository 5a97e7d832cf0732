"""Compiles trained members to one table: effects averaged on the union of their bins, then calibrated.

The table is a `Scorecard` whose coefficients are -1, so that a bin's `woe` is minus its effect: exports, reasons and
points read it like any other. Ignores training.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from verticals.finance.moe.bins import BinnedField, bin_of, token_offsets, union
from verticals.finance.moe.fit import Members
from verticals.finance.scorecard import Scorecard, ScoredFeature, WoeBin

_DECIMALS = 10

Array = NDArray[np.float64]


def calibration(default: NDArray[np.int_], logit: Array) -> tuple[float, float]:
    """(shift, slope) that fit held-out logits to their outcomes (Platt 1999; Cox 1958), both classes present."""
    from sklearn.linear_model import LogisticRegression

    if np.ptp(logit) < 1e-9:
        return 0.0, 1.0
    model = LogisticRegression(C=np.inf, max_iter=1000).fit(logit[:, None], default)
    slope = float(model.coef_[0, 0])
    # A slope below zero would turn every reason round; held-out rows that say so hold no evidence.
    return (float(model.intercept_[0]), slope) if slope > 0 else (0.0, 1.0)


def compile_table(
    members: Members, frame: pd.DataFrame, default: NDArray[np.int_], *, shift: float, slope: float
) -> Scorecard:
    """The table of all members; `frame` and `default` are the development sample, for its counts and averages."""
    with torch.no_grad():
        tables = [table_T.double().numpy() for table_T in members.network.tables()]
        intercept = float(members.network.intercept_M.double().mean())
    features = []
    for i in range(len(members.binned[0])):
        merged = union([binned[i] for binned in members.binned])
        per_member = [
            _on_union(binned[i], table_T[token_offsets(binned)[i] :], merged)
            for binned, table_T in zip(members.binned, tables, strict=True)
        ]
        features.append(_feature(merged, slope * np.mean(per_member, axis=0), frame[merged.field.name], default))
    return Scorecard(intercept=round(shift + slope * intercept, _DECIMALS), features=tuple(features))


def _on_union(binned: BinnedField, effect_T: Array, merged: BinnedField) -> Array:
    """One member's effects on the union's bins and, last, on missing values."""
    at = [bin_of(binned, shape) for shape in merged.shapes()]
    return effect_T[[*at, binned.num_bins]]


def _feature(binned: BinnedField, effect_B: Array, values: pd.Series, default: NDArray[np.int_]) -> ScoredFeature:
    """Bins with their counts in the sample; the last effect is that of missing values."""
    index, num_bins = binned.index(values), binned.num_bins
    count_B = np.bincount(index, minlength=num_bins + 1)
    bad_B = np.bincount(index, weights=default, minlength=num_bins + 1).astype(int)
    woe_B = -np.round(effect_B, _DECIMALS)
    numbers = pd.to_numeric(values).dropna() if binned.field.kind == "numeric" else None
    return ScoredFeature(
        name=binned.field.name,
        kind=binned.field.kind,
        coefficient=-1.0,
        iv=round(_information_value(count_B, bad_B), _DECIMALS),
        mean_woe=round(float(woe_B @ count_B / count_B.sum()), _DECIMALS),
        bins=tuple(
            WoeBin(count=int(count_B[i]), defaults=int(bad_B[i]), woe=float(woe_B[i]), **shape)
            for i, shape in enumerate(binned.shapes())
        ),
        missing_woe=float(woe_B[-1]),
        seen_low=None if numbers is None or numbers.empty else float(numbers.min()),
        seen_high=None if numbers is None or numbers.empty else float(numbers.max()),
    )


def _information_value(count_B: NDArray[np.int_], bad_B: NDArray[np.int_]) -> float:
    """Sum of (share of goods - share of bads) * ln of their ratio, over bins that have both."""
    good_B = count_B - bad_B
    both = (good_B > 0) & (bad_B > 0)
    good, bad = good_B[both] / max(good_B.sum(), 1), bad_B[both] / max(bad_B.sum(), 1)
    return float(((good - bad) * np.log(good / bad)).sum())
