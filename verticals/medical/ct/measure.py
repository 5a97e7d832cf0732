"""A nodule's outline and its sizes: axial long and short axis, their mean, volume. Ignores how it was found.

The mean of long and short axis on the same axial slice is what Fleischner 2017 (Bankier, Radiology 285:584) and
Lung-RADS v2022 call the diameter. The outline is where the density falls to half between nodule and lung, followed on
a grid of 0.5 mm, without the vessels that run into it (opening).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from verticals.medical.series import Volume

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]

GRID_MM = 0.5
_SOLID_ABOVE_HU = -300.0  # between ground glass and soft tissue
_HALF = 0.5
_REACH = 1.6  # of a candidate's diameter: how far from its centre its edge may lie
_OPENING = 0.25  # of its diameter: what is thinner is a vessel


@dataclass(frozen=True)
class Axes:
    """Of the axial slice on which the nodule is largest, mm."""

    long_mm: float
    short_mm: float

    @property
    def mean_mm(self) -> float:
        """The diameter of the guidelines, before rounding."""
        return (self.long_mm + self.short_mm) / 2


@dataclass(frozen=True)
class Nodule:
    """A measured nodule.

    Attributes:
        center_mm: (x, y, z), patient coordinates.
        mask: Whole volume's (slices, rows, columns) from `corner` on.
        density: Solid where its middle is denser than `_SOLID_ABOVE_HU`; a part-solid one is not told apart.
    """

    center_mm: tuple[float, float, float]
    axes: Axes
    volume_mm3: float
    density: Literal["solid", "ground_glass"]
    corner: tuple[int, int, int]
    mask: Mask


def axial_axes(mask: Mask, spacing_mm: tuple[float, float]) -> Axes:
    """Long axis and the longest across it, of the slice with the largest area.

    Args:
        mask: (slices, rows, columns); not empty.
        spacing_mm: Between rows, between columns.
    """
    plane = mask[int(mask.sum(axis=(1, 2)).argmax())]
    edge = plane & ~(np.roll(plane, 1, 0) & np.roll(plane, -1, 0) & np.roll(plane, 1, 1) & np.roll(plane, -1, 1))
    points = np.argwhere(edge) * np.array(spacing_mm)
    angle = np.linspace(0, np.pi, 90, endpoint=False)
    along = points @ np.stack([np.sin(angle), np.cos(angle)])
    # From centre to centre of pixels; half a pixel is missing at each end.
    width = along.max(axis=0) - along.min(axis=0) + float(np.mean(spacing_mm))
    longest = int(width.argmax())
    return Axes(float(width[longest]), float(width[(longest + 45) % 90]))


def measure(volume: Volume, closed: Mask, center: Floats, diameter_mm: float) -> Nodule | None:
    """The nodule around a candidate; None where nothing denser than lung is there.

    Args:
        closed: The lungs; what is outside belongs to no nodule.
        center: (slice, row, column), between voxels too.
        diameter_mm: About.
    """
    from scipy.ndimage import map_coordinates

    spacing = np.array(volume.spacing_mm)
    reach_mm = _REACH * diameter_mm + 2
    offsets = np.arange(-reach_mm, reach_mm + GRID_MM / 2, GRID_MM)
    lines = [center[a] + offsets / spacing[a] for a in range(3)]
    low = [max(0, int(np.floor(line[0])) - 1) for line in lines]
    high = [min(n, int(np.ceil(line[-1])) + 2) for n, line in zip(volume.values.shape, lines, strict=True)]
    cut = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    places = np.stack(np.meshgrid(*[line - a for line, a in zip(lines, low, strict=True)], indexing="ij"))
    fine = map_coordinates(volume.values[cut], places, order=1, mode="nearest")
    within = map_coordinates(closed[cut].astype(np.float32), places, order=1, mode="constant") > 0.5
    away = np.sqrt(sum(np.square(o) for o in np.meshgrid(offsets, offsets, offsets, indexing="ij")))
    filled = _outline(fine, within, away, diameter_mm)
    if filled is None:
        return None
    at = np.argwhere(filled)
    middle = center + (at.mean(axis=0) * GRID_MM + offsets[0]) / spacing
    core = fine[filled & (away <= max(1.0, diameter_mm / 4))]
    dense = float(np.median(core if core.size else fine[filled]))
    native = _native(filled, lines, cut)
    x, y, z, _ = volume.affine @ (*middle, 1)
    return Nodule(
        center_mm=(float(x), float(y), float(z)),
        axes=axial_axes(filled, (GRID_MM, GRID_MM)),
        volume_mm3=float(filled.sum() * GRID_MM**3),
        density="solid" if dense > _SOLID_ABOVE_HU else "ground_glass",
        corner=(low[0], low[1], low[2]),
        mask=native,
    )


def _outline(fine: Floats, within: Mask, away: Floats, diameter_mm: float) -> Mask | None:
    """What is at least half as dense as the middle, connected to it, without thin parts, without holes."""
    from scipy.ndimage import binary_fill_holes, label

    core = within & (away <= max(1.0, diameter_mm / 5))
    around = within & (away > 0.8 * diameter_mm)
    if not core.any() or not around.any():
        return None
    lung = float(np.percentile(fine[around], 30))
    middle = float(np.percentile(fine[core], 75))
    dense = within & (fine > lung + _HALF * (middle - lung)) & (away <= 0.5 * _REACH * diameter_mm + 1)
    opened = _opened(dense, ~within, _OPENING * diameter_mm)
    parts, _ = label(opened if (opened & core).any() else dense)
    inside = np.bincount(parts[core], minlength=1)
    inside[0] = 0
    if not inside.any():
        return None
    return np.asarray(binary_fill_holes(parts == int(inside.argmax())))


def _opened(mask: Mask, outside: Mask, radius_mm: float) -> Mask:
    """Opening by a ball, by distances; the wall is no edge, so that a flat nodule at the pleura is not thin."""
    from scipy.ndimage import distance_transform_edt

    kept = mask & (distance_transform_edt(mask | outside, sampling=GRID_MM) > radius_mm)
    if not kept.any():
        return mask
    return np.asarray(mask & (distance_transform_edt(~kept, sampling=GRID_MM) <= radius_mm))


def _native(filled: Mask, lines: list[Floats], cut: tuple[slice, ...]) -> Mask:
    """The outline on the volume's own voxels: those whose centre lies inside."""
    index, known = [], []
    for line, part in zip(lines, cut, strict=True):
        nearest = np.rint((np.arange(part.start, part.stop) - line[0]) / (line[1] - line[0])).astype(int)
        known.append((nearest >= 0) & (nearest < len(line)))
        index.append(nearest.clip(0, len(line) - 1))
    z, y, x = known
    return np.asarray(filled[np.ix_(*index)] & z[:, None, None] & y[None, :, None] & x[None, None, :])
