"""Out-of-fold validation: every applicant is scored by a model that has not seen it. Ignores storage and reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from verticals.bootstrap import bootstrap_interval
from verticals.contract import Progress
from verticals.finance import metrics
from verticals.finance.challenger import Challenger, fit_challenger
from verticals.finance.fit import fit_scorecard

Array = NDArray[np.float64]
Predictor = Callable[[pd.DataFrame, NDArray[np.int_], pd.DataFrame], Array]
"""(training rows, their outcomes, rows to score) -> probability of default of the latter."""

METRICS: Mapping[str, Callable[[Array, Array], float]] = {
    "AUC": metrics.auc,
    "Gini": metrics.gini,
    "KS": metrics.ks,
    "Brier": metrics.brier,
    "calibration slope": metrics.calibration_slope,
}


@dataclass(frozen=True)
class OutOfFold:
    """Predictions of one model, (repeats, n), and the number of the fold that held each applicant out, (repeats, n)."""

    default: NDArray[np.int_]
    prob_default: Array
    fold: NDArray[np.int_]

    def per_fold(self, metric: Callable[[Array, Array], float]) -> Array:
        """A metric within each held-out fold, (repeats * folds,)."""
        return np.array(
            [
                metric(self.default[folds == k].astype(float), prob[folds == k])
                for prob, folds in zip(self.prob_default, self.fold, strict=True)
                for k in range(folds.max() + 1)
            ]
        )


def scorecard_predictor(train: pd.DataFrame, default: NDArray[np.int_], test: pd.DataFrame) -> Array:
    """The whole scorecard pipeline: bins and weights from the training rows alone."""
    return fit_scorecard(train, default).score(test).prob_default


def challenger_predictor(train: pd.DataFrame, default: NDArray[np.int_], test: pd.DataFrame) -> Array:
    """The gradient-boosting challenger."""
    return Challenger(fit_challenger(train, default)).predict(test)


def logistic_predictor(train: pd.DataFrame, default: NDArray[np.int_], test: pd.DataFrame) -> Array:
    """The plain baseline: logistic regression on one-hot categories and standardised numbers."""
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numeric = [c for c in train if pd.api.types.is_numeric_dtype(train[c])]
    nominal = [c for c in train if c not in numeric]
    columns = make_column_transformer((StandardScaler(), numeric), (OneHotEncoder(handle_unknown="ignore"), nominal))
    model = make_pipeline(columns, LogisticRegression(max_iter=1000)).fit(train, default)
    return np.asarray(model.predict_proba(test)[:, 1])


def cross_validate(
    frame: pd.DataFrame,
    default: NDArray[np.int_],
    predictor: Predictor,
    *,
    repeats: int,
    seed: int,
    folds: int = 10,
    progress: Progress = lambda what, share: None,
) -> OutOfFold:
    """Repeated stratified cross-validation; the same seed gives the same folds to every model."""
    from sklearn.model_selection import RepeatedStratifiedKFold

    prob_RN, fold_RN = np.empty((repeats, len(default))), np.empty((repeats, len(default)), dtype=int)
    splits = RepeatedStratifiedKFold(n_splits=folds, n_repeats=repeats, random_state=seed).split(frame, default)
    for i, (train, test) in enumerate(splits):
        progress(f"fold {i + 1} of {repeats * folds}", i / (repeats * folds))
        prob_RN[i // folds, test] = predictor(frame.iloc[train], default[train], frame.iloc[test])
        fold_RN[i // folds, test] = i % folds
    return OutOfFold(default=default, prob_default=prob_RN, fold=fold_RN)


def figure(default: NDArray[np.int_], prob_default: Array, metric: str) -> tuple[float, float, float]:
    """(value, low, high) of a metric of `METRICS` over all applicants; 95 % bootstrap over applicants."""
    rows = np.stack([default.astype(float), prob_default], axis=1)
    low, high = bootstrap_interval(rows, lambda r: METRICS[metric](r[:, 0], r[:, 1]), draws=500)
    return METRICS[metric](rows[:, 0], rows[:, 1]), low, high


def auc_difference(default: NDArray[np.int_], ours: Array, other: Array) -> tuple[float, float, float]:
    """(difference, low, high) of AUCs on the same applicants; paired 95 % bootstrap."""
    rows = np.stack([default.astype(float), ours, other], axis=1)

    def gap(r: Array) -> float:
        return metrics.auc(r[:, 0], r[:, 1]) - metrics.auc(r[:, 0], r[:, 2])

    low, high = bootstrap_interval(rows, gap, draws=500)
    return gap(rows), low, high


def calibration_bands(default: NDArray[np.int_], prob_default: Array, bands: int = 10) -> list[dict[str, float]]:
    """Predicted against observed default rates in equal groups by prediction, with Jeffreys intervals."""
    found = []
    for group in np.array_split(np.argsort(prob_default, kind="stable"), bands):
        count, events = len(group), int(default[group].sum())
        low, high = metrics.jeffreys_interval(count, events)
        found.append(
            {
                "count": count,
                "prob_default": float(prob_default[group].mean()),
                "default_rate": events / count,
                "low": low,
                "high": high,
            }
        )
    return found
