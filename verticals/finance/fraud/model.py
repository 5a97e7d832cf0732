"""Trees that rank card transactions by risk of fraud, and the score from which people look. Makes no feature."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from verticals.contract import ModelCard, ModelRegistry

if TYPE_CHECKING:
    import lightgbm as lgb

FRAUD = "finance.fraud"  # its name in the registry
ROUNDS = 200
GOODS_KEPT = 0.25  # share of the genuine transactions that training reads; the rest teaches little and costs time
GROUNDS = 4  # of a suspicion: the features that speak most for fraud
PARAMS: Mapping[str, Any] = {
    "objective": "binary",
    "learning_rate": 0.05,
    "num_leaves": 31,
    "min_data_in_leaf": 100,
    "feature_fraction": 0.7,
    "seed": 1,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbose": -1,
}
Floats = NDArray[np.float64]


def fit_trees(features: pd.DataFrame, fraud: NDArray[np.int64]) -> lgb.Booster:
    """Trees of all frauds and a share of the genuine transactions."""
    import lightgbm as lgb

    keep = (fraud > 0) | (np.random.default_rng(0).random(len(fraud)) < GOODS_KEPT)
    return lgb.train(dict(PARAMS), lgb.Dataset(features[keep], fraud[keep]), num_boost_round=ROUNDS)


def probability(log_odds: Floats) -> Floats:
    """Of fraud, where the genuine transactions that training left out are put back."""
    return np.asarray(1 / (1 + np.exp(-(log_odds + np.log(GOODS_KEPT)))))


class FraudModel:
    """A registered model: `predict` for every transaction, `grounds` for the few that people look at."""

    def __init__(self, card: ModelCard, trees: bytes, facts: Mapping[str, Any]) -> None:
        import lightgbm as lgb

        self.card = card
        self.columns: Sequence[str] = facts["columns"]
        self.threshold: float = facts["threshold"]
        self.false_positives: float = facts["false_positives"]
        self.synthetic: bool = facts["synthetic"]
        self._trees = lgb.Booster(model_str=trees.decode())

    @property
    def version(self) -> str:
        """Name and version."""
        return f"{self.card.name}@{self.card.version}"

    def predict(self, features: pd.DataFrame) -> Floats:
        """Probability of fraud, (T,)."""
        # One thread: a row takes microseconds so, and milliseconds when threads are woken for it.
        found = self._trees.predict(features[list(self.columns)], raw_score=True, num_threads=1)
        return probability(np.asarray(found, dtype=np.float64))

    def grounds(self, features: pd.DataFrame) -> list[list[tuple[str, float]]]:
        """For each transaction the known features that raise its log odds most, with their values."""
        raises_TC = np.asarray(self._trees.predict(features[list(self.columns)], pred_contrib=True, num_threads=1))
        found = []
        for values, raises in zip(features[list(self.columns)].to_numpy(float), raises_TC, strict=True):
            known = [i for i in np.argsort(-raises[:-1]) if np.isfinite(values[i])]  # the last is the base
            found.append([(self.columns[i], float(values[i])) for i in known[:GROUNDS]])
        return found


def to_files(trees: lgb.Booster, facts: Mapping[str, Any]) -> dict[str, bytes]:
    """As the registry keeps it: LightGBM's own text, never pickled, and facts as JSON."""
    told = json.dumps(facts, indent=1, sort_keys=True) + "\n"
    return {"model.txt": str(trees.model_to_string()).encode(), "fraud.json": told.encode()}


def load_fraud(registry: ModelRegistry) -> FraudModel | None:
    """The active version; None when none is registered."""
    found = registry.load(FRAUD)
    if found is None:
        return None
    card, files = found
    return FraudModel(card, files["model.txt"].read_bytes(), json.loads(files["fraud.json"].read_bytes()))
