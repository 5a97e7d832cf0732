"""The teacher: gradient boosting with interactions, asked only about rows that it was not trained on.

A mixture of its probabilities and the outcomes is a less noisy target than the outcomes alone (Hinton 2015,
arXiv:1503.02531). Ignores the student.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from verticals.finance.moe.bins import Field

_PARAMS: Mapping[str, Any] = {
    "objective": "binary",
    "learning_rate": 0.05,
    "num_leaves": 7,
    "min_data_in_leaf": 20,
    "feature_fraction": 0.6,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}
_ROUNDS = 150


def teach(
    frame: pd.DataFrame,
    default: NDArray[np.int_],
    *,
    fields: Sequence[Field],
    folds: Sequence[NDArray[np.intp]],
    seed: int,
) -> NDArray[np.float64]:
    """Probability of default of every row from a teacher that has not seen its fold, (N,)."""
    import lightgbm

    encoded, nominal = _encode(frame, fields), [i for i, f in enumerate(fields) if f.kind == "nominal"]
    trend = {"ascending": 1, "descending": -1, "none": 0}
    params = dict(_PARAMS) | {"seed": seed, "monotone_constraints": [trend[f.trend] for f in fields]}
    prob_default = np.empty(len(default))
    for fold in folds:
        seen = np.setdiff1d(np.arange(len(default)), fold)
        data = lightgbm.Dataset(encoded[seen], default[seen], categorical_feature=nominal)
        booster = lightgbm.train(params, data, num_boost_round=_ROUNDS)
        prob_default[fold] = booster.predict(encoded[fold], num_threads=1)
    return prob_default


def _encode(frame: pd.DataFrame, fields: Sequence[Field]) -> NDArray[np.float64]:
    """Numbers as they are, categories by their place, missing as NaN; (N, F)."""
    columns = []
    for f in fields:
        if f.kind == "numeric":
            columns.append(pd.to_numeric(frame[f.name]).to_numpy(dtype=np.float64, na_value=np.nan))
        else:
            categories = f.categories or tuple(sorted(frame[f.name].dropna().unique()))
            columns.append(frame[f.name].map({c: float(i) for i, c in enumerate(categories)}).to_numpy(np.float64))
    return np.stack(columns, axis=1)
