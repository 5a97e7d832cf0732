"""Samples of scores and of fields as counts that `verticals.drift` compares, and what its answer is held against."""

from __future__ import annotations

import numpy as np
import pandas as pd

from verticals.drift import Drift, compare, psi
from verticals.finance.validation.sample import Array

__all__ = ["LIGHT", "PSI_SHIFT", "Drift", "compare", "of_field", "of_scores", "psi"]

NUM_BINS = 10
MAX_CATEGORIES = 50
PSI_SHIFT = 0.25  # the convention
LIGHT = {"yellow_from": 0.99, "red_from": 0.999}  # ten fields, twelve months: at 95 % something would always be yellow


def of_scores(reference: Array, now: Array, *, num_bins: int = NUM_BINS) -> Drift:
    """Drift of a score over bins with equal shares of the reference; tied scores stay in one bin."""
    edges = np.unique(np.quantile(reference, np.linspace(0, 1, num_bins + 1)[1:-1]))
    counts = [np.bincount(np.searchsorted(edges, s, side="left"), minlength=len(edges) + 1) for s in (reference, now)]
    filled = [c[(counts[0] + counts[1]) > 0] for c in counts]
    return compare(*filled)


def of_field(reference: pd.Series, now: pd.Series) -> Drift:
    """Drift of a field: numbers as `of_scores` bins them, categories as they are, a missing value as one more bin.

    Of more than `MAX_CATEGORIES` words the rarest share one bin.
    """
    if all(pd.api.types.is_numeric_dtype(s) for s in (reference, now)) and reference.nunique() > 2:
        edges = np.unique(np.quantile(reference.dropna(), np.linspace(0, 1, NUM_BINS + 1)[1:-1]))
        bins = [np.where(s.isna(), -1, np.searchsorted(edges, s.fillna(0), side="left")) for s in (reference, now)]
        names, index = np.unique(np.concatenate(bins), return_inverse=True)
    else:
        words = pd.concat([reference, now]).astype(object)
        names, index = np.unique(words.where(words.notna(), "").astype(str), return_inverse=True)
        order = np.argsort(np.argsort(-np.bincount(index), kind="stable"), kind="stable")
        index = np.minimum(order[index], MAX_CATEGORIES)
    size = min(len(names), MAX_CATEGORIES + 1)
    return compare(
        np.bincount(index[: len(reference)], minlength=size), np.bincount(index[len(reference) :], minlength=size)
    )
