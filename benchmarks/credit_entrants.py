"""The models that credit benchmarks compare: each is fitted on training rows and scores others. Measures nothing.

Every entrant takes a table of numbers and text columns, missing values included, and keeps its library's usual choices
for a small sample; none is tuned to the folds that are reported.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from verticals.finance.moe.estimator import MoEScorer
from verticals.finance.validate import Array, Predictor

Default = np.ndarray


def logistic(train: pd.DataFrame, default: Default, test: pd.DataFrame) -> Array:
    """Logistic regression on one-hot categories and standardised numbers; medians and a flag where one is missing."""
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numeric, nominal = _kinds(train)
    numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    columns = make_column_transformer((numbers, numeric), (OneHotEncoder(handle_unknown="ignore"), nominal))
    model = make_pipeline(columns, LogisticRegression(max_iter=2000)).fit(_text(train), default)
    return np.asarray(model.predict_proba(_text(test))[:, 1])


def woe_logistic(train: pd.DataFrame, default: Default, test: pd.DataFrame) -> Array:
    """optbinning and logistic regression with their defaults."""
    logging.getLogger("__cvxpy__").disabled = True
    from optbinning import BinningProcess
    from sklearn.linear_model import LogisticRegression

    _, nominal = _kinds(train)
    process = BinningProcess(list(train), categorical_variables=nominal, selection_criteria={"iv": {"min": 0.02}})
    process.fit(_text(train), default)

    def woe(frame: pd.DataFrame) -> Any:
        return process.transform(_text(frame), metric="woe", metric_missing="empirical")

    model = LogisticRegression(max_iter=1000).fit(woe(train), default)
    return np.asarray(model.predict_proba(woe(test))[:, 1])


def lightgbm(train: pd.DataFrame, default: Default, test: pd.DataFrame) -> Array:
    """LightGBM, small: the challenger's parameters without its monotone fields."""
    from lightgbm import LGBMClassifier

    model = LGBMClassifier(
        n_estimators=150, learning_rate=0.05, num_leaves=7, min_child_samples=20, colsample_bytree=0.7,
        subsample=0.8, subsample_freq=1, reg_lambda=5, random_state=0, n_jobs=1, verbosity=-1,
    )  # fmt: skip
    joined = _categories(train, test)
    model.fit(joined.iloc[: len(train)], default)
    return np.asarray(model.predict_proba(joined.iloc[len(train) :])[:, 1])


def xgboost(train: pd.DataFrame, default: Default, test: pd.DataFrame) -> Array:
    """XGBoost, small: 150 trees of depth 3 on one-hot categories."""
    return _xgboost({}, train, default, test)


def xgboost_told(**told: Any) -> Predictor:
    """The same, told what our scorer is told: an ordered category is its place, a trend is a constraint."""
    return partial(_xgboost, told)


def _xgboost(told: Mapping[str, Any], train: pd.DataFrame, default: Default, test: pd.DataFrame) -> Array:
    from xgboost import XGBClassifier

    joined = pd.concat([train, test])
    for name, categories in told.get("orders", {}).items():
        joined[name] = joined[name].map({category: place for place, category in enumerate(categories)})
    joined = pd.get_dummies(joined, dtype=float)
    constraints = tuple(told.get("monotone", {}).get(column, 0) for column in joined)
    model = XGBClassifier(
        n_estimators=150, max_depth=3, learning_rate=0.05, subsample=0.7, colsample_bytree=0.5, min_child_weight=3,
        reg_lambda=5, random_state=0, n_jobs=1, monotone_constraints=constraints,
    )  # fmt: skip
    rows = joined.to_numpy(dtype=np.float64)
    model.fit(rows[: len(train)], default)
    return np.asarray(model.predict_proba(rows[len(train) :])[:, 1], dtype=np.float64)


def catboost(train: pd.DataFrame, default: Default, test: pd.DataFrame) -> Array:
    """CatBoost, small: 300 trees of depth 4 with its own treatment of categories."""
    from catboost import CatBoostClassifier

    _, nominal = _kinds(train)
    model = CatBoostClassifier(
        iterations=300, depth=4, learning_rate=0.04, l2_leaf_reg=5, random_seed=0, thread_count=1, verbose=False,
        allow_writing_files=False,
    )  # fmt: skip
    model.fit(_text(train), default, cat_features=nominal)
    return np.asarray(model.predict_proba(_text(test))[:, 1])


def moe(**options: Any) -> Predictor:
    """Our scorer; `monotone` and `orders` may name columns that a table lacks."""
    return partial(_moe, options)


BASELINES: Mapping[str, Predictor] = {
    "XGBoost": xgboost,
    "CatBoost": catboost,
    "LightGBM": lightgbm,
    "WoE-LR (optbinning)": woe_logistic,
    "logistic one-hot": logistic,
}


def _moe(options: Mapping[str, Any], train: pd.DataFrame, default: Default, test: pd.DataFrame) -> Array:
    return np.asarray(MoEScorer(**options).fit(train, default).predict_proba(test)[:, 1])


def _kinds(frame: pd.DataFrame) -> tuple[Sequence[str], Sequence[str]]:
    numeric = [str(c) for c in frame if pd.api.types.is_numeric_dtype(frame[c])]
    return numeric, [str(c) for c in frame if c not in numeric]


def _text(frame: pd.DataFrame) -> pd.DataFrame:
    """A missing category as a word of its own."""
    _, nominal = _kinds(frame)
    return frame.assign(**{c: frame[c].astype(object).where(frame[c].notna(), "missing") for c in nominal})


def _categories(train: pd.DataFrame, test: pd.DataFrame) -> pd.DataFrame:
    joined = pd.concat([train, test])
    _, nominal = _kinds(joined)
    return joined.assign(**{c: joined[c].astype("category") for c in nominal})
