"""LightGBM on the feature view: what a history says without its order. Baseline, and offset of the sequence term.

Ignores where features come from. Shapes: C customers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.float64]
ROUNDS = 150
PARAMS: Mapping[str, Any] = {
    "objective": "binary",
    "learning_rate": 0.04,
    "num_leaves": 8,
    "min_data_in_leaf": 30,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "seed": 1,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbose": -1,
}


def aggregate_logits(features: pd.DataFrame, default: NDArray[np.int_], test: pd.DataFrame) -> Array:
    """Log odds of default of `test`, (C,), by trees fitted to `features`."""
    import lightgbm as lgb

    booster = lgb.train(dict(PARAMS), lgb.Dataset(features, default), num_boost_round=ROUNDS)
    return np.asarray(booster.predict(test, raw_score=True), dtype=np.float64)


def out_of_fold_logits(features: pd.DataFrame, default: NDArray[np.int_], *, folds: int = 5, seed: int = 0) -> Array:
    """The same for the training customers themselves, each by trees that have not seen it."""
    from sklearn.model_selection import StratifiedKFold

    found = np.empty(len(default))
    splits = StratifiedKFold(folds, shuffle=True, random_state=seed).split(features, default)
    for train, held_out in splits:
        found[held_out] = aggregate_logits(features.iloc[train], default[train], features.iloc[held_out])
    return found
