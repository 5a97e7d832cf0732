"""Which blobs are looked at closely: trees over what the detector itself saw. Ignores what is measured around a blob.

They learned from SYNTHETIC chests (`training.fit_first_look`) and are the same for every model: one that is trained
here judges what they pass on.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from verticals.medical.ct.candidates import LOOK_NAMES, Candidate, find_blobs
from verticals.medical.ct.lungs import Mask
from verticals.medical.series import Volume

if TYPE_CHECKING:
    import lightgbm as lgb

FILE = Path(__file__).parent / "first_look.json"
NAMES = (*LOOK_NAMES, "roundness", "dot")
MOST_PER_LITRE = 800  # candidates


def find_candidates(volume: Volume, closed: Mask) -> list[Candidate]:
    """The blobs that look most like nodules, so many a litre of lung: what a classifier is asked about."""
    blobs = find_blobs(volume, closed)
    if not blobs:
        return []
    litres = float(closed.sum() * np.prod(volume.spacing_mm)) / 1e6
    likeness = np.asarray(_trees().predict(looks(blobs), num_threads=1))
    order = np.argsort(-likeness, kind="stable")[: int(MOST_PER_LITRE * litres)]
    return [blobs[i] for i in order]


def looks(blobs: Sequence[Candidate]) -> NDArray[np.floating[Any]]:
    """(blobs, features), in the order of `NAMES`."""
    return np.array([(*blob.look, blob.roundness, blob.dot_hu) for blob in blobs]).reshape(-1, len(NAMES))


def to_file(trees: lgb.Booster) -> bytes:
    """As `FILE` has it."""
    return (json.dumps({"lightgbm": trees.model_to_string()}) + "\n").encode()


@cache
def _trees() -> lgb.Booster:
    import lightgbm as lgb

    return lgb.Booster(model_str=json.loads(FILE.read_text("utf-8"))["lightgbm"])
