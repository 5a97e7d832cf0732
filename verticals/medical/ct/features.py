"""What is measured around a candidate to tell nodules from vessels, fissures and wall. Ignores who decides.

All of it is in millimetres and Hounsfield units on a grid of 1 mm, so that it means the same whatever the spacing.
Shapes: C candidates, F features, a patch is (25, 25, 25).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from verticals.medical.ct.candidates import LOOK_NAMES, LUNG_HU, Candidate, within_lungs
from verticals.medical.ct.lungs import Mask
from verticals.medical.ct.spheres import NAMES as SPHERE_NAMES
from verticals.medical.ct.spheres import spheres
from verticals.medical.series import Volume

Floats = NDArray[np.float64]

REACH_MM = 12
_SHELLS_MM = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.5, 8.0, 10.0, 12.0)
_BANDS_MM = ((2, 3), (4, 5), (6, 8), (9, 11))  # of rays from the middle
_HALF = 0.5  # of the middle's density: there a ray ends
_RAYS = 80  # half of them opposite to the others
_PLACES = (0, 1, 2, 3, 5, 8, 16)  # among the densest rays
_SHARES = (0.1, 0.25, 0.5, 0.75, 0.9, 1.0)  # of the rays, by their length
_SHAPE = ("volume", "elongation", "flatness", "fill", "reach", "strand_share")
NAMES = (
    *LOOK_NAMES,
    *(f"mean_{b:g}mm" for b in _SHELLS_MM[1:]),
    *(f"spread_{b:g}mm" for b in _SHELLS_MM[1:]),
    *(f"outside_{b:g}mm" for b in _SHELLS_MM[3::2]),
    *(f"{what}_{near}mm" for near, _ in _BANDS_MM for what in (*(f"ray{i}" for i in _PLACES), "through")),
    *(f"length_{share:g}" for share in _SHARES),
    *("shortest_through", "longest_through", "longest_both"),
    *_SHAPE,
    *("diameter", "contrast", "edge", "roundness", "vertical", "thin_mm", "long_mm"),
    *SPHERE_NAMES,
)


def features(volume: Volume, closed: Mask, found: Sequence[Candidate]) -> Floats:
    """(C, F), in the order of `NAMES`."""
    values, inside = within_lungs(volume, closed), closed.astype(np.float32)
    offsets = np.arange(-REACH_MM, REACH_MM + 1.0)
    grid = np.stack(np.meshgrid(offsets, offsets, offsets, indexing="ij"))
    distance = np.sqrt((grid**2).sum(axis=0))
    shells = [(distance >= a) & (distance < b) for a, b in pairwise(_SHELLS_MM)]
    means_HV = np.stack([shell.ravel() / shell.sum() for shell in shells])
    rays = _ray_places()
    rows = []
    for each in found:
        lines = [i + offsets / s for i, s in zip(each.index, volume.spacing_mm, strict=True)]
        patch, within = _resampled(values, lines), _resampled(inside, lines) > 0.5
        rows.append(_row(each, patch, within, distance, grid, means_HV, rays))
    on_grid = np.array(rows, dtype=np.float64).reshape(len(found), -1)
    return np.hstack((on_grid, spheres(values, closed, volume.spacing_mm, found))).reshape(len(found), len(NAMES))


def _resampled(values: NDArray[np.float32], lines: Sequence[Floats]) -> NDArray[np.float32]:
    """Linear, axis after axis, at the given places of each; beyond the edge its value goes on."""
    at = [np.clip(line, 0, n - 1) for line, n in zip(lines, values.shape, strict=True)]
    low = [line.astype(int) for line in at]
    made = values[tuple(slice(line[0], line[-1] + 2) for line in low)]
    for axis in range(3):
        first = low[axis] - low[axis][0]
        after = np.minimum(first + 1, made.shape[axis] - 1)
        share = (at[axis] - low[axis]).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
        made = made.take(first, axis) * (1 - share) + made.take(after, axis) * share
    return made


def _row(
    each: Candidate,
    patch: NDArray[np.float32],
    inside: Mask,
    distance: Floats,
    grid: Floats,
    means_HV: Floats,
    rays: NDArray[np.intp],
) -> list[float]:
    edge = float(distance[~inside].min(initial=2.0 * REACH_MM))
    means = means_HV @ patch.ravel()
    spreads = np.sqrt(np.maximum(means_HV @ np.square(patch.ravel()) - means**2, 0))
    outside = 1 - means_HV[2::2] @ inside.ravel()
    core = patch[distance <= max(1.0, each.diameter_mm / 5)].mean()
    around = patch[inside & (distance > min(0.8 * each.diameter_mm, REACH_MM - 3))]
    lung = float(np.percentile(around, 30)) if around.size else LUNG_HU
    dense = inside & (patch > (core + lung) / 2)
    shape, axes = _shape(dense, distance, grid, each.diameter_mm)
    return [
        *each.look,
        *means,
        *spreads,
        *outside,
        *_rays((patch - np.float32(lung)) / np.float32(max(float(core) - lung, 1.0)), rays),
        *shape,
        each.diameter_mm,
        float(core - lung),
        edge,
        each.roundness,
        *axes,
    ]


def _ray_places() -> NDArray[np.intp]:
    """The voxels of a patch, flat, that rays run through from its middle, (rays, steps of 1 mm)."""
    turn = np.arange(_RAYS // 2) + 0.5
    z, angle = turn / (_RAYS // 2), turn * np.pi * (3 - 5**0.5)  # evenly over half a sphere (Vogel 1979)
    flat = np.sqrt(1 - z**2)
    half = np.stack((z, flat * np.sin(angle), flat * np.cos(angle)), 1)
    steps = np.arange(REACH_MM)[:, None]
    places = np.rint(np.concatenate((half, -half))[:, None] * steps).astype(np.intp) + REACH_MM
    return np.asarray(np.ravel_multi_index(tuple(np.moveaxis(places, 2, 0)), (2 * REACH_MM + 1,) * 3))


def _rays(share: NDArray[np.float32], rays: NDArray[np.intp]) -> list[float]:
    """How dense the densest rays are in each band, 0 lung and 1 the middle, and how long rays are, mm.

    A nodule has none that is long, one at a vessel's end one, a vessel two that are opposite, a fork three.
    """
    from scipy.ndimage import uniform_filter

    along = uniform_filter(share, 3).ravel()[rays]
    half, made = _RAYS // 2, []
    for near, far in _BANDS_MM:
        dense = along[:, near : far + 1].mean(axis=1)
        made += [*np.sort(dense)[::-1][list(_PLACES)], np.minimum(dense[:half], dense[half:]).max()]
    thin = np.column_stack((along < _HALF, np.ones(_RAYS, bool)))
    length = thin.argmax(axis=1)
    one, other = length[:half], length[half:]
    through = one + other
    return [*made, *np.quantile(length, _SHARES), through.min(), through.max(), np.minimum(one, other).max()]


def _shape(dense: Mask, distance: Floats, grid: Floats, diameter_mm: float) -> tuple[list[float], list[float]]:
    """Of what is dense and connected to the middle: size, axes, how it fills its ball, and how much leaves it."""
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
    ball = (distance > radius) & (distance <= radius + 1.5)
    shape = [
        float(own.sum()),
        float(spread[1] / spread[2]),
        float(spread[0] / spread[1]),
        float(near.sum() / max((distance <= radius).sum(), 1)),
        float(distance[own].max()),
        float(rim.sum() / max(ball.sum(), 1)),
    ]
    return shape, [float(abs(turned[0, 2])), float(spread[0]), float(spread[2])]
