"""The grading head: ICDR grade from what the steps before found. None is shipped. Ignores how it is trained.

Four logistic regressions, one for "at least grade k" (Frank and Hall 2001), on counts of candidates, vessels and
texture: small enough to be trained from some hundred photographs, and to be read.
Shapes: F features.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from verticals.medical.fundus.filters import curvatures
from verticals.medical.fundus.lesions import KINDS, Candidate
from verticals.medical.fundus.picture import Floats, Mask, Retina, blurred
from verticals.medical.uncertainty import sigmoid

NAME = "medical.fundus_grade"
FILE = "grade.json"
GRADES = (
    "no apparent",
    "mild nonproliferative",
    "moderate nonproliferative",
    "severe nonproliferative",
    "proliferative",
)
# The lower end of "substantial" agreement (Landis and Koch 1977), which the whole interval has to reach.
LEAST_KAPPA = 0.61
_LEVELS = (5.0, 8.0, 16.0, 32.0)  # of a candidate's score
_TAIL = (0.5, 1, 5, 95, 99, 99.5)
_TEXTURES = (1.5, 3.0, 6.0)


def features(retina: Retina, vessels: Mask, candidates: Sequence[Candidate]) -> Floats:
    """What the head sees of a photograph, (F,)."""
    counts = []
    for kind in KINDS:
        spots = [spot for spot in candidates if spot.kind == kind]
        counts += [np.log1p(sum(spot.score >= level for spot in spots)) for level in _LEVELS]
        counts.append(np.log1p(sum(spot.width**2 for spot in spots)))
    inside = retina.inside
    green = retina.green / np.maximum(blurred(retina.green, 20, inside), 0.02) - 1
    texture: list[float] = []
    for sigma in _TEXTURES:
        high, low = curvatures(green, sigma)
        texture += [
            *np.percentile(low[inside & ~vessels], _TAIL[3:]),
            *np.percentile(high[inside & ~vessels], _TAIL[:3]),
        ]
    colour = [float(np.median(retina.rgb[..., c][inside])) for c in range(3)]
    return np.array([*counts, float(vessels[inside].mean()), *texture, *colour])


@dataclass(frozen=True)
class GradingHead:
    """Four lines, one for each step between grades.

    Attributes:
        mean_F, scale_F: Of the training photographs.
        weight_KF, bias_K: K = 4 steps.
        cut_K: Probability of "at least grade k" from which grade k is given.
        card: What it was trained and validated on.
    """

    mean_F: Floats
    scale_F: Floats
    weight_KF: Floats
    bias_K: Floats
    cut_K: Floats
    card: Mapping[str, Any]
    name_and_version: str = NAME

    def at_least(self, features_XF: Floats) -> Floats:
        """Probability of at least grade 1 to 4, along the last dimension, never rising."""
        logits = ((features_XF - self.mean_F) / self.scale_F) @ self.weight_KF.T + self.bias_K
        return np.asarray(np.minimum.accumulate(sigmoid(logits), axis=-1))

    def probabilities(self, features_F: Floats) -> Floats:
        """Of grades 0 to 4, (5,); they sum to 1."""
        steps = np.concatenate(([1.0], self.at_least(features_F), [0.0]))
        return np.asarray(steps[:-1] - steps[1:])

    def grade(self, features_F: Floats) -> int:
        """ICDR grade, 0 to 4."""
        return int(np.cumprod(self.at_least(features_F) >= self.cut_K).sum())

    @property
    def is_enabled(self) -> bool:
        """Whether the lower bound of the validated kappa passes the bar; only then may it grade."""
        return bool(self.card["metrics"]["quadratic kappa"][1] >= LEAST_KAPPA)

    def to_files(self) -> dict[str, bytes]:
        """As `load` reads them."""
        arrays = {name: getattr(self, name).tolist() for name in _ARRAYS}
        return {FILE: (json.dumps({"card": dict(self.card), **arrays}) + "\n").encode()}

    @classmethod
    def load(cls, files: Mapping[str, Path], name_and_version: str) -> GradingHead:
        """Read what `to_files` made.

        Raises:
            ValueError: a missing or damaged file.
        """
        try:
            kept = json.loads(files[FILE].read_text("utf-8"))
            arrays = {name: np.array(kept[name], np.float64) for name in _ARRAYS}
            return cls(**arrays, card=kept["card"], name_and_version=name_and_version)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"files: no readable {NAME} model in {FILE}. Train again.") from error


_ARRAYS = ("mean_F", "scale_F", "weight_KF", "bias_K", "cut_K")
