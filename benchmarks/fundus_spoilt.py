"""Fundus photographs spoilt on purpose, to a known grade, for the quality check. Measures nothing.

Grade 1: slight, still good to read; 2: marked; 3: severe. Lengths are shares of the field's diameter.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from verticals.medical.fundus.picture import Colour, Floats, find_field

Draw = np.random.Generator
Spoil = Callable[[Floats, int, Draw], Floats]  # (rows, columns, 3), 0-1


def _between(draw: Draw, bounds: tuple[float, float]) -> float:
    return float(draw.uniform(*bounds))


def _blur(rgb: Floats, grade: int, draw: Draw) -> Floats:
    share = _between(draw, {1: (0.0003, 0.0010), 2: (0.005, 0.007), 3: (0.009, 0.016)}[grade])
    sigma = share * min(rgb.shape[:2])
    return np.asarray(ndimage.gaussian_filter(rgb, (sigma, sigma, 0)))


def _motion(rgb: Floats, grade: int, draw: Draw) -> Floats:
    share = _between(draw, {1: (0.0005, 0.002), 2: (0.02, 0.028), 3: (0.035, 0.06)}[grade])
    length = max(1, round(share * min(rgb.shape[:2])))
    return np.asarray(ndimage.uniform_filter1d(rgb, length, axis=int(draw.integers(2))))


def _dark(rgb: Floats, grade: int, draw: Draw) -> Floats:
    """Too little light: darker, and the sensor's noise stays."""
    gain = _between(draw, {1: (0.75, 0.95), 2: (0.20, 0.28), 3: (0.08, 0.15)}[grade])
    return rgb * gain + draw.normal(0, 0.004, rgb.shape) * (rgb > 0)


def _glare(rgb: Floats, grade: int, draw: Draw) -> Floats:
    """Too much light; from grade 2 on, green, where the vessels are seen, comes near its end or beyond."""
    if grade == 1:
        return rgb * _between(draw, (1.01, 1.05))
    green = float(np.median(rgb[..., 1][rgb.max(-1) > 0]))
    return rgb * _between(draw, {2: (0.90, 0.98), 3: (1.1, 1.6)}[grade]) / max(green, 0.05)


def _haze(rgb: Floats, grade: int, draw: Draw) -> Floats:
    """A cataract's veil: light is scattered over the whole field, fine detail with it."""
    share = _between(draw, {1: (0.05, 0.15), 2: (0.65, 0.75), 3: (0.80, 0.92)}[grade])
    sigma = 0.06 * min(rgb.shape[:2])
    return np.asarray(rgb * (1 - share) + share * ndimage.gaussian_filter(rgb, (sigma, sigma, 0)))


def _noise(rgb: Floats, grade: int, draw: Draw) -> Floats:
    sigma = _between(draw, {1: (0.002, 0.008), 2: (0.05, 0.08), 3: (0.10, 0.20)}[grade])
    grain = draw.normal(0, 1, rgb.shape)
    step = min(rgb.shape[:2]) / 540
    if step > 1.5:  # what reduces the photograph would average it away
        grain = ndimage.gaussian_filter(grain, (step / 2, step / 2, 0))
        grain /= grain.std()
    return rgb + sigma * grain * (rgb > 0)


def _shadow(rgb: Floats, grade: int, draw: Draw) -> Floats:
    """Light on one side only: a small pupil, or the eye looked away."""
    depth = _between(draw, {1: (0.05, 0.15), 2: (0.93, 0.96), 3: (0.97, 0.995)}[grade])
    angle = _between(draw, (0, 2 * np.pi))
    y, x = (np.linspace(-1, 1, n) for n in rgb.shape[:2])
    along = np.cos(angle) * x[None, :] + np.sin(angle) * y[:, None]
    light = 1 - depth / (1 + np.exp(-8 * along))
    return np.asarray(rgb * light[..., None])


SPOIL: dict[str, Spoil] = {
    "blur": _blur,
    "motion": _motion,
    "dark": _dark,
    "glare": _glare,
    "haze": _haze,
    "noise": _noise,
    "shadow": _shadow,
}


def spoil(photograph: Colour, name: str, grade: int, draw: Draw) -> Colour:
    """One defect of one grade; what lies outside the field stays as dark as it was."""
    field = find_field(photograph)
    assert field is not None, "only photographs with a field are spoilt"
    y, x = np.mgrid[: photograph.shape[0], : photograph.shape[1]] + 0.5
    inside = np.hypot(x - field.column, y - field.row) < field.radius
    rgb = np.where(inside[..., None], photograph / 255, 0.0)
    made = np.where(inside[..., None], SPOIL[name](rgb, grade, draw), photograph / 255)
    return np.asarray(np.clip(np.rint(made * 255), 0, 255), np.uint8)
