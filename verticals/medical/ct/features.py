"""What is measured around a candidate to tell nodules from vessels, fissures and wall. Ignores who decides.

All of it is in millimetres and Hounsfield units on a grid of 1 mm, so that it means the same whatever the spacing.
Shapes: C candidates, F features, a patch is (25, 25, 25).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from verticals.medical.ct.candidates import DIAMETERS_MM, LUNG_HU, Candidate, within_lungs
from verticals.medical.ct.lungs import Mask
from verticals.medical.series import Volume

Floats = NDArray[np.float64]

REACH_MM = 12
_SHELLS_MM = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.5, 8.0, 10.0, 12.0)
_SHAPE = ("volume", "elongation", "flatness", "fill", "reach", "strands", "strand_share")
NAMES = (
    *(f"response_{d:.0f}mm" for d in DIAMETERS_MM),
    *(f"mean_{b:g}mm" for b in _SHELLS_MM[1:]),
    *(f"spread_{b:g}mm" for b in _SHELLS_MM[1:]),
    *(f"outside_{b:g}mm" for b in _SHELLS_MM[3::2]),
    *_SHAPE,
    *("diameter", "contrast", "depth", "roundness", "vertical", "thin_mm", "long_mm"),
)


def features(volume: Volume, closed: Mask, found: Sequence[Candidate]) -> Floats:
    """(C, F), in the order of `NAMES`."""
    from scipy.ndimage import map_coordinates

    spacing = np.array(volume.spacing_mm)
    values = within_lungs(volume, closed)
    offsets = np.arange(-REACH_MM, REACH_MM + 1.0)
    grid = np.stack(np.meshgrid(offsets, offsets, offsets, indexing="ij"))
    distance = np.sqrt((grid**2).sum(axis=0))
    shells = [(distance >= a) & (distance < b) for a, b in pairwise(_SHELLS_MM)]
    rows = []
    for each in found:
        places = np.array(each.index).reshape(3, 1, 1, 1) + grid / spacing.reshape(3, 1, 1, 1)
        low = np.maximum(np.floor(places.min(axis=(1, 2, 3))).astype(int), 0)
        high = np.ceil(places.max(axis=(1, 2, 3))).astype(int) + 2
        cut = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        places = places - low.reshape(3, 1, 1, 1)
        patch = map_coordinates(values[cut], places, order=1, mode="nearest")
        inside = map_coordinates(closed[cut].astype(np.float32), places, order=0, mode="constant") > 0.5
        edge = float(distance[~inside].min(initial=2.0 * REACH_MM))
        rows.append(_row(each, patch, inside, distance, grid, shells, edge))
    return np.array(rows, dtype=np.float64).reshape(len(found), len(NAMES))


def _row(
    each: Candidate, patch: Floats, inside: Mask, distance: Floats, grid: Floats, shells: list[Mask], edge: float
) -> list[float]:
    means = [float(patch[shell].mean()) for shell in shells]
    spreads = [float(patch[shell].std()) for shell in shells]
    outside = [float(1 - inside[shell].mean()) for shell in shells[2::2]]
    core = patch[distance <= max(1.0, each.diameter_mm / 5)].mean()
    around = patch[inside & (distance > min(0.8 * each.diameter_mm, REACH_MM - 3))]
    lung = float(np.percentile(around, 30)) if around.size else LUNG_HU
    dense = inside & (patch > (core + lung) / 2)
    shape, axes = _shape(dense, distance, grid, each.diameter_mm)
    return [
        *each.responses_hu,
        *means,
        *spreads,
        *outside,
        *shape,
        each.diameter_mm,
        float(core - lung),
        edge,
        each.roundness,
        *axes,
    ]


def _shape(dense: Mask, distance: Floats, grid: Floats, diameter_mm: float) -> tuple[list[float], list[float]]:
    """Of what is dense and connected to the middle: size, axes, how it fills its ball, and what strands leave it."""
    from scipy.ndimage import label

    parts, _ = label(dense)
    middle = np.bincount(parts[distance <= 2], minlength=1)
    middle[0] = 0
    if not middle.any():
        return [0.0] * len(_SHAPE), [0.0] * 3
    own = parts == int(middle.argmax())
    radius = min(0.75 * diameter_mm + 1, REACH_MM - 1.0)
    near = own & (distance <= radius)
    points = grid[:, near]
    spread, turned = np.linalg.eigh(np.cov(points) if near.sum() > 3 else np.eye(3))
    spread = np.sqrt(np.maximum(spread, 0.05))
    rim = own & (distance > radius) & (distance <= radius + 1.5)
    strands, count = label(rim, np.ones((3, 3, 3)))
    sizes = np.bincount(strands.ravel())[1:]
    ball = (distance > radius) & (distance <= radius + 1.5)
    shape = [
        float(own.sum()),
        float(spread[1] / spread[2]),
        float(spread[0] / spread[1]),
        float(near.sum() / max((distance <= radius).sum(), 1)),
        float(distance[own].max()),
        float((sizes > 1).sum()) if count else 0.0,
        float(rim.sum() / max(ball.sum(), 1)),
    ]
    return shape, [float(abs(turned[0, 2])), float(spread[0]), float(spread[2])]
