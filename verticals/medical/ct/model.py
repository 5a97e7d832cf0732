"""The nodule model as files: trees as LightGBM's own text in JSON, never pickled, and their card. Ignores scans."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from verticals.medical.ct.features import NAMES

if TYPE_CHECKING:
    import lightgbm as lgb

NAME = "medical.ct_nodules"
FOLDER = Path(__file__).parent
TREES, FACTS, CARD = "trees.json", "facts.json", "card.json"


@dataclass(frozen=True)
class NoduleModel:
    """Scores candidates.

    Attributes:
        threshold: Of the candidates that are shown.
    """

    trees: lgb.Booster
    threshold: float

    def scores(self, features_CF: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of each candidate, 0 to 1, (C,): ranks them; no calibrated probability."""
        if not len(features_CF):
            return np.zeros(0)
        return np.asarray(self.trees.predict(features_CF, num_threads=1), dtype=np.float64)

    @classmethod
    def load(cls, files: Mapping[str, Path]) -> NoduleModel:
        """Read what `to_files` made.

        Raises:
            ValueError: a missing or damaged file, or one of other features.
        """
        import lightgbm as lgb

        try:
            text = json.loads(files[TREES].read_text("utf-8"))["lightgbm"]
            facts = json.loads(files[FACTS].read_text("utf-8"))
            trees, threshold = lgb.Booster(model_str=text), float(facts["threshold"])
        except (OSError, ValueError, KeyError, TypeError, lgb.basic.LightGBMError) as error:
            raise ValueError(f"files: no readable {NAME} model in {TREES} and {FACTS}. Install again.") from error
        if facts["features"] != list(NAMES):
            raise ValueError(f"{FACTS}: features differ from those of this version. Train again.")
        return cls(trees, threshold)


def to_files(trees: lgb.Booster, facts: Mapping[str, Any]) -> dict[str, bytes]:
    """As the registry keeps it."""
    text = json.dumps({"lightgbm": trees.model_to_string()}) + "\n"
    return {TREES: text.encode(), FACTS: (json.dumps(facts, indent=1, sort_keys=True) + "\n").encode()}


def packaged() -> dict[str, Path]:
    """The files that are shipped."""
    return {name: FOLDER / name for name in (TREES, FACTS)}
