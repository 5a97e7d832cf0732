"""Out-of-fold validation."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from verticals.finance import metrics
from verticals.finance.validate import auc_difference, calibration_bands, cross_validate, figure

_N = 200
_DEFAULT = (np.random.default_rng(1).random(_N) < 0.3).astype(int)
_FRAME = pd.DataFrame({"row": np.arange(_N)})


def test_no_applicant_is_scored_by_a_model_that_saw_it() -> None:
    def spy(train: pd.DataFrame, default: np.ndarray, test: pd.DataFrame) -> np.ndarray:
        assert set(train["row"]).isdisjoint(test["row"])
        return np.asarray(test["row"], dtype=float)

    found = cross_validate(_FRAME, _DEFAULT, spy, repeats=2, seed=3, folds=5)
    assert (found.prob_default == np.arange(_N)).all()
    assert len(found.per_fold(metrics.auc)) == 10


def test_a_predictor_that_knows_only_the_base_rate_is_at_chance() -> None:
    found = cross_validate(
        _FRAME, _DEFAULT, lambda train, d, test: np.full(len(test), d.mean()), repeats=1, seed=3, folds=5
    )

    assert found.per_fold(metrics.auc).tolist() == [0.5] * 5


def test_the_interval_holds_the_figure_and_repeats() -> None:
    prob = np.clip(_DEFAULT * 0.2 + np.random.default_rng(2).random(_N) * 0.7, 0.01, 0.99)
    value, low, high = figure(_DEFAULT, prob, "AUC")

    assert low < value < high
    assert figure(_DEFAULT, prob, "AUC") == (value, low, high)
    assert auc_difference(_DEFAULT, prob, prob) == (0, 0, 0)


def test_calibration_bands_cover_everyone() -> None:
    bands = calibration_bands(_DEFAULT, np.linspace(0.01, 0.99, _N), bands=8)

    assert sum(b["count"] for b in bands) == _N
    assert sum(b["count"] * b["default_rate"] for b in bands) == pytest.approx(_DEFAULT.sum())
    assert all(b["low"] <= b["default_rate"] <= b["high"] for b in bands)
