"""Trains the vessel model from a DRIVE-shaped folder and measures it on photographs left out. Ignores its use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from verticals.contract import InvalidInput, NotFound, Progress
from verticals.medical.fundus.filters import pixel_features
from verticals.medical.fundus.picture import Colour, Mask, Retina, find_field, to_retina
from verticals.medical.fundus.training import open_photograph
from verticals.medical.fundus.vessels import VesselTrees, context

if TYPE_CHECKING:
    import lightgbm

FIRST_PIXELS, SECOND_PIXELS = 12_000, 20_000  # a photograph, drawn at random
SEED = 0
_PARAMETERS = {
    "objective": "binary",
    "feature_fraction": 0.5,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "min_data_in_leaf": 60,
    "lambda_l2": 5.0,
    "num_threads": 1,
    "verbose": -1,
    "seed": SEED,
}
_FIRST = {**_PARAMETERS, "num_leaves": 31, "learning_rate": 0.15}, 60
_SECOND = {**_PARAMETERS, "num_leaves": 47, "learning_rate": 0.08}, 220
THRESHOLD = 0.40  # chosen by hand, after a look at ten photographs of DRIVE
FOLDS = 4
LEAST_PHOTOGRAPHS = 8
DRAWS = 2000


@dataclass(frozen=True)
class Masked:
    """The pixels in the field of one photograph: what the trees see, (pixels, F), and whether a vessel is there."""

    features: NDArray[np.float32]
    is_vessel: NDArray[np.bool_]
    inside: Mask  # (S, S)


def read_masks(folder: Path, progress: Progress) -> list[Masked]:
    """Every photograph of `images/` with its mask of `1st_manual/`, whose names begin alike up to "_".

    Raises:
        NotFound: a folder or a mask is missing.
        InvalidInput: a photograph without a field, or a mask of another size.
    """
    photographs = sorted(path for path in (folder / "images").glob("*") if path.is_file())
    masks = {path.name.split("_")[0]: path for path in (folder / "1st_manual").glob("*")}
    if not photographs:
        raise NotFound("must hold images/ and 1st_manual/", field="DIR", value=str(folder))
    made = []
    for at, path in enumerate(photographs):
        progress("medical: looking at vessels", at / len(photographs))
        if (mask := masks.get(path.name.split("_")[0])) is None:
            raise NotFound("has no mask in 1st_manual/ whose name begins alike", field=path.name)
        made.append(read_pair(open_photograph(path), np.asarray(Image.open(mask).convert("L")) > 127, path.name))
    return made


def read_pair(photograph: Colour, mask: Mask, name: str) -> Masked:
    """Both at the working size.

    Raises:
        InvalidInput: no field, or sizes that differ.
    """
    retina, true = to_working_size(photograph, mask, name)
    return Masked(pixel_features(retina), true[retina.inside], retina.inside)


def to_working_size(photograph: Colour, mask: Mask, name: str) -> tuple[Retina, Mask]:
    """A photograph and its mask, (S, S)."""
    if mask.shape != photograph.shape[:2]:
        raise InvalidInput("must have a mask of its own size", field=name)
    if (field := find_field(photograph)) is None:
        raise InvalidInput("must show a round field", field=name)
    as_picture = np.repeat(mask.astype(np.uint8)[..., None] * np.uint8(255), 3, axis=2)
    return to_retina(photograph, field), to_retina(as_picture, field).green > 0.5


def train_vessels(pairs: Sequence[Masked], progress: Progress) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Measure on photographs left out, four folds, then fit on all.

    Returns:
        (files, card) for the registry.
    Raises:
        InvalidInput: too few photographs.
    """
    if len(pairs) < LEAST_PHOTOGRAPHS:
        raise InvalidInput(f"must hold at least {LEAST_PHOTOGRAPHS} photographs", field="DIR", value=len(pairs))
    scores = np.zeros(len(pairs))
    for fold in range(FOLDS):
        progress("medical: measuring the vessel model", fold / FOLDS)
        model = fit([pair for at, pair in enumerate(pairs) if at % FOLDS != fold])
        for at in range(fold, len(pairs), FOLDS):
            prob = model.probability(pairs[at].features, pairs[at].inside)
            scores[at] = dice(prob > model.threshold, pairs[at].is_vessel)
    progress("medical: fitting the vessel model", 1.0)
    card = {
        "trained_on": f"{len(pairs)} photographs with vessel masks.",
        "licence": "As the photographs'.",
        "recipe": f"trivium medical train-vessels; {FOLDS} folds of photographs",
        "metrics": {"Dice": mean_interval(scores)},
        "limits": "Measured on the folder's own photographs, left out; other cameras were not seen. Research software.",
    }
    return fit(pairs).to_files(card), card


def mean_interval(scores: NDArray[np.float64]) -> list[float]:
    """Mean and 95 % interval, low and high, by drawing photographs with replacement."""
    draws = np.random.default_rng(SEED).choice(scores, (DRAWS, len(scores))).mean(1)
    low, high = np.quantile(draws, (0.025, 0.975))
    return [float(scores.mean()), float(low), float(high)]


def dice(found: Mask, true: Mask) -> float:
    """Overlap, 0-1: twice what both have over what each has."""
    total = int(found.sum() + true.sum())
    return 2 * float((found & true).sum()) / total if total else 1.0


def fit(pairs: Sequence[Masked]) -> VesselTrees:
    """Both stages; the second learns from what a forest of the other half of the photographs says of each."""
    draw = np.random.default_rng(SEED)
    order = draw.permutation(len(pairs))
    halves = order[::2], order[1::2]
    rows = [draw.permutation(len(pair.is_vessel)) for pair in pairs]
    first = []
    for half in halves:
        x = np.concatenate([pairs[i].features[rows[i][:FIRST_PIXELS]] for i in half])
        y = np.concatenate([pairs[i].is_vessel[rows[i][:FIRST_PIXELS]] for i in half])
        first.append(_grow(x, y, *_FIRST))
    seen, true = [], []
    for half, trees in zip(halves, reversed(first), strict=True):
        for i in half:
            pair, some = pairs[i], rows[i][:SECOND_PIXELS]
            around = context(np.asarray(trees.predict(pair.features, num_threads=1)), pair.inside)
            seen.append(np.hstack((pair.features[some], around[some])))
            true.append(pair.is_vessel[some])
    second = _grow(np.concatenate(seen), np.concatenate(true), *_SECOND)
    return VesselTrees(tuple(first), second, THRESHOLD)


def _grow(x: NDArray[np.float32], y: NDArray[np.bool_], parameters: dict[str, Any], rounds: int) -> lightgbm.Booster:
    import lightgbm

    return lightgbm.train(parameters, lightgbm.Dataset(x, y), rounds)
