"""The lungs of a chest CT as masks: threshold, components, closing. Nodules at the pleura stay inside. Finds no lobes.

Closing with a ball of 20 mm (rolling ball: Armato and Sensakovic 2004, Acad Radiol 11:1011) takes in what bulges into
a lung from its wall; it is done for each lung alone, so that nothing between them is taken in. Distances are counted on
a grid of 2 mm and read between its points, so that the wall is as fine as the voxels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verticals.medical.evidence import Side
from verticals.medical.series import Volume

Mask = NDArray[np.bool_]

AIR_BELOW_HU = -400.0
LEAST_LUNG_ML = 100.0  # of both together; less is no chest, or no lung that could be told
CLOSING_MM = 20.0
_GRID_MM = 2.0
_LEAST_SHARE = 0.05  # of the largest component; what is smaller is windpipe, stomach or noise


@dataclass(frozen=True)
class Lungs:
    """Both lungs, (slices, rows, columns), and where the middle of the chest is.

    Attributes:
        closed: With nodules, vessels and hilum inside.
        middle_mm: x in patient coordinates; what is beyond it, is in the left lung.
    """

    closed: Mask
    middle_mm: float
    bottom_mm: float
    top_mm: float

    def side(self, x_mm: float) -> Side:
        """Of a place in a lung."""
        return "left" if x_mm > self.middle_mm else "right"

    def zone(self, z_mm: float) -> str:
        """Upper, middle or lower third of the lungs' height: a place in the scan, not a lobe."""
        share = (z_mm - self.bottom_mm) / max(self.top_mm - self.bottom_mm, 1e-6)
        return "lower_lung_zone" if share < 1 / 3 else "upper_lung_zone" if share > 2 / 3 else "middle_lung_zone"


def find_lungs(volume: Volume) -> Lungs | None:
    """The lungs of an axial chest CT; None where there are none of at least `LEAST_LUNG_ML`."""
    from scipy.ndimage import label

    steps = tuple(max(1, round(_GRID_MM / s)) for s in volume.spacing_mm)
    coarse = volume.values[:: steps[0], :: steps[1], :: steps[2]]
    spacing_mm = [s * step for s, step in zip(volume.spacing_mm, steps, strict=True)]
    found, _ = label(coarse < AIR_BELOW_HU)
    outside = np.unique(np.concatenate([found[:, edge].ravel() for edge in (0, -1)]))
    outside = np.union1d(outside, np.unique(np.concatenate([found[:, :, edge].ravel() for edge in (0, -1)])))
    sizes = np.bincount(found.ravel())
    sizes[np.union1d(outside, [0])] = 0
    if sizes.sum() * np.prod(spacing_mm) < LEAST_LUNG_ML * 1000:
        return None
    lung = np.isin(found, np.flatnonzero(sizes >= max(1, _LEAST_SHARE * sizes.max())))
    columns = np.flatnonzero(lung.any(axis=(0, 1)))
    middle = (columns[0] + columns[-1]) / 2
    left = np.arange(lung.shape[2]) > middle
    sides = [_closed(part, spacing_mm) for part in (lung & left, lung & ~left)]
    closed = (sides[0] > 0) | (sides[1] > 0)
    fine = _refined(volume.values, np.maximum(*sides), steps)
    slices = np.flatnonzero(closed.any(axis=(1, 2))) * steps[0]
    ends = [float((volume.affine @ (i, 0, 0, 1))[2]) for i in (slices[0], slices[-1])]
    return Lungs(fine, float((volume.affine @ (0, 0, middle * steps[2], 1))[0]), min(ends), max(ends))


def _closed(mask: Mask, spacing_mm: list[float]) -> NDArray[np.float32]:
    """Closing by distances: how far within the closed mask's surface each place lies, mm, about; negative outside."""
    from scipy.ndimage import distance_transform_edt

    if not mask.any():
        return np.full(mask.shape, -np.inf, np.float32)
    room = [int(np.ceil(CLOSING_MM / s)) + 1 for s in spacing_mm]
    # Beyond the first and the last slice the lung goes on: nothing is known there, and nothing may be eaten from there.
    wide = np.pad(mask, [(room[0], room[0]), (0, 0), (0, 0)], mode="edge")
    wide = np.pad(wide, [(0, 0), (room[1], room[1]), (room[2], room[2])])
    grown = distance_transform_edt(~wide, sampling=spacing_mm) <= CLOSING_MM
    left = distance_transform_edt(np.pad(grown, 1, mode="edge"), sampling=spacing_mm)[1:-1, 1:-1, 1:-1]
    inner = tuple(slice(r, r + n) for r, n in zip(room, mask.shape, strict=True))
    # To the middle of the nearest voxel beyond: the surface lies up to half a voxel before it, by its slope.
    return np.asarray(left[inner] - CLOSING_MM - _GRID_MM / 4, np.float32)


def _refined(values: NDArray[np.float32], depth_mm: NDArray[np.float32], steps: tuple[int, ...]) -> Mask:
    """The closed mask on the volume's own voxels: what lies within the surface, and air that touches it."""
    from scipy.ndimage import affine_transform

    known = np.nan_to_num(depth_mm, neginf=-CLOSING_MM)
    fine = affine_transform(known, [1 / step for step in steps], output_shape=values.shape, order=1, mode="nearest")
    return np.asarray((fine > 0) | ((fine > -_GRID_MM) & (values < AIR_BELOW_HU)))
