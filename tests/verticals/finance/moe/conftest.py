"""A small made-up portfolio with numbers, ordered and nominal text and gaps, and a scorer trained on it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from verticals.finance.moe.estimator import MoEScorer
from verticals.finance.moe.fit import Recipe

ORDERS = {"savings": ("none", "some", "much")}
MONOTONE = {"amount": 1, "savings": -1}
QUICK = Recipe(num_bins=(6, 8), num_steps=50, learning_rate=0.08)


def portfolio(num_rows: int, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Risk rises with the amount, falls with savings; a fifth of the incomes is missing; `region` is nominal."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "amount": rng.gamma(2.0, 1000.0, num_rows).round(),
            "savings": rng.choice(ORDERS["savings"], num_rows),
            "income": np.where(rng.random(num_rows) < 0.2, np.nan, rng.normal(3000.0, 800.0, num_rows)),
            "region": rng.choice(["north", "south", "east", "isle"], num_rows, p=[0.4, 0.4, 0.19, 0.01]),
        }
    )
    place = frame["savings"].map({c: i for i, c in enumerate(ORDERS["savings"])})
    logit = -1 + frame["amount"] / 1000 - 1.6 * place - 2 * (frame["region"] == "north") + 1.0 * frame["income"].isna()
    return frame, (rng.random(num_rows) < 1 / (1 + np.exp(-logit))).to_numpy().astype(int)


@pytest.fixture(scope="session")
def sample() -> tuple[pd.DataFrame, np.ndarray]:
    """(frame, default) of 600 rows."""
    return portfolio(600)


@pytest.fixture(scope="session")
def scorer(sample: tuple[pd.DataFrame, np.ndarray]) -> MoEScorer:
    """Trained with monotone fields and a teacher."""
    return MoEScorer(recipe=QUICK, num_members=3, teacher_share=0.3, monotone=MONOTONE, orders=ORDERS).fit(*sample)
