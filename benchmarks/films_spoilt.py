"""Films spoilt on purpose, to a known grade, for the quality check. Measures nothing.

Grade 0: as it is; 1: slight, still good to read; 2: marked; 3: severe. A turned film is filled with its edge, so that
no black corner gives it away.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Grey = NDArray[np.uint8]
Draw = np.random.Generator


def _between(draw: Draw, bounds: tuple[float, float]) -> float:
    return float(draw.uniform(*bounds))


def _blur(grey: Grey, grade: int, draw: Draw) -> Grey:
    radius = _between(draw, {1: (0.2, 0.6), 2: (1.8, 2.6), 3: (3.5, 6)}[grade]) * grey.shape[0] / 512
    return np.asarray(Image.fromarray(grey).filter(ImageFilter.GaussianBlur(radius)))


def _noise(grey: Grey, grade: int, draw: Draw) -> Grey:
    sigma = 255 * _between(draw, {1: (0.002, 0.01), 2: (0.05, 0.08), 3: (0.12, 0.25)}[grade])
    return _bytes(grey + draw.normal(0, sigma, grey.shape))


def _exposure(grey: Grey, grade: int, draw: Draw) -> Grey:
    """Film too dark or too bright: the curve is bent, and what leaves the range is lost."""
    gain = _between(draw, {1: (1.02, 1.1), 2: (1.6, 1.9), 3: (2.3, 3.5)}[grade])
    share = grey.astype(float) / 255
    return _bytes(255 * (share * gain if draw.random() < 0.5 else 1 - (1 - share) * gain))


def _crop(grey: Grey, grade: int, draw: Draw) -> Grey:
    """One side cut off, the rest stretched over the film."""
    lost = int(len(grey) * _between(draw, {1: (0.005, 0.03), 2: (0.2, 0.28), 3: (0.35, 0.5)}[grade]))
    edge = int(draw.integers(4))
    kept = (grey[lost:], grey[: len(grey) - lost], grey[:, lost:], grey[:, : len(grey) - lost])[edge]
    return np.asarray(Image.fromarray(kept).resize(grey.shape[::-1], Image.Resampling.BILINEAR))


def _rotation(grey: Grey, grade: int, draw: Draw) -> Grey:
    degrees = _between(draw, {1: (0.5, 3), 2: (14, 20), 3: (28, 180)}[grade]) * draw.choice((-1, 1))
    border = len(grey) // 2
    wide = Image.fromarray(np.pad(grey, border, mode="edge")).rotate(degrees, Image.Resampling.BILINEAR)
    return np.asarray(wide)[border:-border, border:-border]


def _bytes(values: NDArray[Any]) -> Grey:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)


SPOIL: dict[str, Callable[[Grey, int, Draw], Grey]] = {
    "blur": _blur,
    "noise": _noise,
    "exposure": _exposure,
    "crop": _crop,
    "rotation": _rotation,
}
