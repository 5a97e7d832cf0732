"""The suites of intents and emotions are skipped without the development data, and their AUROC is scikit-learn's."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from verticals.contract import Unavailable
from verticals.support.evals_understanding import understanding_suites
from verticals.support.understanding.trials import auroc

RESOURCES: Any = SimpleNamespace(data_dir=None)


@pytest.mark.parametrize("suite", understanding_suites(RESOURCES), ids=lambda suite: suite.name)
def test_without_the_data_a_suite_is_skipped_with_the_reason(suite: Any) -> None:
    with pytest.raises(Unavailable, match=r"is not mounted.*Set TRIVIUM_DATA"):
        suite.run(lambda what, share: None)


def test_auroc_is_scikit_learns_ties_included() -> None:
    rng = np.random.default_rng(0)
    known, score = rng.random(300) < 0.6, rng.integers(0, 20, 300).astype(np.float64)

    assert auroc(known, score) == pytest.approx(roc_auc_score(known, score))


def test_auroc_of_one_kind_alone_is_not_a_number() -> None:
    assert np.isnan(auroc(np.ones(3, bool), np.arange(3.0)))
