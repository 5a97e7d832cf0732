"""Blood vessels, pixel by pixel: boosted trees over filters where they were trained, else the line filter alone.

No weights are shipped: DRIVE, the one set with masks at hand, allows research and no redistribution. `trivium
medical train-vessels` learns from such a folder (`vessel_training.py`). Ignores arteries and veins.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from verticals.medical.fundus.filters import ORIENTATIONS, line_responses, lineness, pixel_features
from verticals.medical.fundus.picture import Floats, Mask, Retina

if TYPE_CHECKING:
    import lightgbm

NAME = "medical.fundus-vessels"
TREES, CARD = ("first-a.txt", "first-b.txt", "second.txt"), "card.json"
LINE_THRESHOLD = 0.40  # of the line filter, in local standard deviations; chosen by hand


@dataclass(frozen=True)
class LineFilter:
    """The classical way: the oriented line filter above a threshold. Needs no training."""

    threshold: float = LINE_THRESHOLD
    name_and_version: str = "fundus line filter 1"

    def segment(self, retina: Retina) -> Mask:
        """(S, S)."""
        return np.asarray(lineness(retina) > self.threshold)


@dataclass(frozen=True)
class VesselTrees:
    """Trained trees in two stages: the second also sees what the first said around a pixel (Tu 2008, auto-context).

    Attributes:
        first: Two forests, each of other photographs; their mean is the first stage.
        second: On filters and context.
        threshold: Probability above which a pixel is a vessel.
    """

    first: tuple[lightgbm.Booster, ...]
    second: lightgbm.Booster
    threshold: float
    name_and_version: str = NAME

    def probability(self, features: NDArray[np.float32], inside: Mask) -> Floats:
        """Of each pixel in the field, (pixels,)."""
        early = np.mean([trees.predict(features, num_threads=1) for trees in self.first], axis=0)
        both = np.hstack((features, context(early, inside)))
        return np.asarray(self.second.predict(both, num_threads=1), np.float64)

    def segment(self, retina: Retina) -> Mask:
        """(S, S)."""
        made = np.zeros(retina.inside.shape, bool)
        made[retina.inside] = self.probability(pixel_features(retina), retina.inside) > self.threshold
        return made

    def to_files(self, card: Mapping[str, Any]) -> dict[str, bytes]:
        """As `load` reads them."""
        told = json.dumps({**card, "threshold": self.threshold}, indent=2) + "\n"
        trees = dict(zip(TREES, (*self.first, self.second), strict=True))
        return {name: one.model_to_string().encode() for name, one in trees.items()} | {CARD: told.encode()}

    @classmethod
    def load(cls, files: Mapping[str, Path], name_and_version: str) -> VesselTrees:
        """Read what `to_files` made.

        Raises:
            ValueError: a missing or damaged file.
        """
        import lightgbm

        try:
            card = json.loads(files[CARD].read_text("utf-8"))
            *first, second = (lightgbm.Booster(model_str=files[name].read_text("utf-8")) for name in TREES)
            return cls(tuple(first), second, float(card["threshold"]), name_and_version)
        except (OSError, ValueError, KeyError, TypeError, lightgbm.basic.LightGBMError) as error:
            raise ValueError(
                f"files: no readable {NAME} model in {', '.join(TREES)} and {CARD}. Train again."
            ) from error


def context(prob: Floats, inside: Mask) -> NDArray[np.float32]:
    """What the first stage said around each pixel in the field, (pixels, features)."""
    said = np.zeros(inside.shape)
    said[inside] = prob
    lines = line_responses(-said)
    across = np.take_along_axis(np.roll(lines, ORIENTATIONS // 2, 1), lines.argmax(1)[:, None], 1)[:, 0]
    maps = [said, *(ndimage.gaussian_filter(said, sigma) for sigma in (1, 2, 4, 8)), *lines.max(1), across[1]]
    maps += [ndimage.maximum_filter(said, 5), ndimage.median_filter(said, 3)]
    return np.stack([one[inside] for one in maps], 1).astype(np.float32)


def long_parts(vessels: Mask, least: int = 45) -> Mask:
    """Connected parts that reach over at least `least` pixels: a shorter part is no vessel, and may be a lesion."""
    parts, _ = ndimage.label(vessels, np.ones((3, 3)))
    is_long = [False] + [max(s.stop - s.start for s in box) >= least for box in ndimage.find_objects(parts)]
    return np.asarray(np.array(is_long)[parts])
