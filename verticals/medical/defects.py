"""How an image is spoilt: blurred, noisy, wrongly exposed, cut off or turned. Measures, and a score for each defect.

A score is a logistic function of measures and their squares, learned from real images that were spoilt on purpose, to a
known grade; so it knows these defects, and no others. Ignores what the image shows, and who decides what follows.
Shapes: M measures, T thumbnail cells a side.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from verticals.medical.quality import blur, noise_sigma
from verticals.medical.uncertainty import sigmoid
from verticals.medical.vision.pictures import Grey

Floats = NDArray[np.float64]

SIDE = 256  # what is measured does not depend on the detector's pixels
DEFECTS = ("blur", "noise", "exposure", "crop", "rotation")
_CELLS = 8
_BANDS = 6


@dataclass(frozen=True)
class DefectModel:
    """Scores of each defect.

    Attributes:
        mean_M, scale_M: Of the measures and their squares, in training.
        weight: By defect, (M,).
        bias: By defect.
        card: What it was trained on, and what it was measured to do.
    """

    mean_M: Floats
    scale_M: Floats
    weight: Mapping[str, Floats]
    bias: Mapping[str, float]
    card: Mapping[str, Any]

    def scores(self, grey: Grey) -> dict[str, float]:
        """By defect, 0-1: how marked it is; 2 % of good images, held out, came above .5."""
        measures_M = (expand(measures(grey)) - self.mean_M) / self.scale_M
        logits = {name: measures_M @ weight_M + self.bias[name] for name, weight_M in self.weight.items()}
        return {name: float(sigmoid(logit)) for name, logit in logits.items()}

    def to_json(self) -> str:
        """As `load` reads it."""
        kept = {
            **self.card,
            "mean": _rounded(self.mean_M),
            "scale": _rounded(self.scale_M),
            "weight": {name: _rounded(weight_M) for name, weight_M in self.weight.items()},
            "bias": dict(self.bias),
        }
        return json.dumps(kept) + "\n"

    @classmethod
    def load(cls, path: Path) -> DefectModel:
        """Read a shipped file."""
        card = json.loads(path.read_text("utf-8"))
        mean_M, scale_M = (np.array(card.pop(name)) for name in ("mean", "scale"))
        weight = {name: np.array(values) for name, values in card.pop("weight").items()}
        return cls(mean_M, scale_M, weight, card.pop("bias"), card)


def measures(grey: Grey) -> Floats:
    """Sharpness, noise, power by frequency, grey levels, symmetry, and the image in 8 x 8 cells; (M,)."""
    image = np.asarray(Image.fromarray(grey).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX), float) / 255
    levels = np.percentile(image, (1, 5, 25, 50, 75, 95, 99))
    ends = [(image <= 0.01).mean(), (image >= 0.99).mean(), image.mean(), image.std()]
    centred = (image - image.mean()) / (image.std() + 1e-6)
    cells_TT = centred.reshape(_CELLS, SIDE // _CELLS, _CELLS, SIDE // _CELLS).mean((1, 3))
    asymmetry = np.abs(cells_TT - cells_TT[:, ::-1]).mean()
    sharp = [blur(centred), np.log(noise_sigma(image) + 1e-4), np.log(laplacian_variance(image) + 1e-8)]
    return np.concatenate((sharp, _band_power(centred), levels, ends, [asymmetry], _tilt(centred), cells_TT.ravel()))


def expand(measures_XM: Floats) -> Floats:
    """The measures and their squares, along the last dimension."""
    return np.concatenate((measures_XM, measures_XM**2), -1)


def laplacian_variance(image: Floats) -> float:
    """The usual measure of focus (Pech-Pacheco 2000, doi:10.1109/ICPR.2000.903548)."""
    x = image
    return float((x[:-2, 1:-1] + x[2:, 1:-1] + x[1:-1, :-2] + x[1:-1, 2:] - 4 * x[1:-1, 1:-1]).var())


def _band_power(image: Floats) -> Floats:
    """Log power in rings of frequency, an octave each."""
    power = np.abs(np.fft.rfft2(image)) ** 2
    frequency = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None])
    edges = 0.5 / 2.0 ** np.arange(_BANDS + 1)
    rings = [power[(frequency <= high) & (frequency > low)].mean() for high, low in pairwise(edges)]
    return np.log(np.array(rings) + 1e-9)


def _tilt(image: Floats) -> Floats:
    """Moments of the bright mass: how it leans, as x, y, and their products."""
    mass = np.clip(image, 0, None)
    axis = np.linspace(-1, 1, SIDE)
    total = mass.sum() + 1e-9
    x, y = (mass.sum(0) * axis).sum() / total, (mass.sum(1) * axis).sum() / total
    dx, dy = axis - x, axis - y
    xy = (mass * dy[:, None] * dx[None]).sum() / total
    xx, yy = (mass.sum(0) * dx**2).sum() / total, (mass.sum(1) * dy**2).sum() / total
    return np.array([x, y, xy, xx, yy, 0.5 * np.arctan2(2 * xy, xx - yy)])


def _rounded(values: Floats) -> list[float]:
    return [float(f"{value:.5g}") for value in values]
