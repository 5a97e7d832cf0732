"""What lies at each distance from a candidate's middle, in numbers that stay when it is turned. Ignores who decides.

On spheres around the middle the density is split by degree (Kazhdan 2003, doi:10.2312/SGP/SGP03/156-165): a nodule has
little in any, one at a vessel's end most in the first, a vessel in the second, a fork in the third. Samples are taken
between the voxels themselves, so that a nodule of 3 mm is more than its grid. Shapes: C candidates, R rays, K spheres,
L degrees, M waves of a degree.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from verticals.medical.ct.candidates import LUNG_HU, Candidate
from verticals.medical.ct.lungs import Mask

Floats = NDArray[np.float64]

SPHERES_MM = (0.6, 1.2, 1.8, 2.4, 3.2, 4.0, 5.0, 6.5, 8.0, 10.0, 12.0)
_THICK_MM = (*(0.3,) * 6, *(0.7,) * 5)  # samples lie this far below, on and above each
_DEGREES = (1, 2, 3, 4, 6)
_PERCENTILES = (50, 75, 90)  # , of the rays by their density
_LENGTHS = (0.1, 0.5, 0.9)  # shares of the rays by their length
_RAYS = 128  # half of them opposite to the others
_HALF = 0.5  # of the middle's density: there a ray ends
_LEAST_HU = 30.0  # of contrast
_AROUND = slice(6, None)  # spheres by which the lung is told
_FEEDING = slice(5, 9)  # spheres that what feeds a nodule must pass
_NEAR = (4, 6)  # spheres that hold a small nodule
_AT_ONCE = 64  # candidates
NAMES = (
    *(
        f"sphere_{what}_{mm:g}mm"
        for mm in SPHERES_MM
        for what in ("hu", "mean", *(f"degree{n}" for n in _DEGREES), "dense", "outside", *map(str, _PERCENTILES))
    ),
    *("sphere_middle", "sphere_lung", *(f"half_{share:g}" for share in _LENGTHS), "half_least", "half_most"),
    *(f"{what}_{SPHERES_MM[k]:g}mm" for k in _NEAR for what in ("over_feeding", "within")),
)


def spheres(
    values: NDArray[np.float32], closed: Mask, spacing_mm: tuple[float, float, float], found: Sequence[Candidate]
) -> Floats:
    """(C, features), in the order of `NAMES`.

    Args:
        values: As `candidates.within_lungs` has them.
    """
    inside = closed.astype(np.float32)
    index = np.array([each.index for each in found]).reshape(-1, 3)
    parts = [index[i : i + _AT_ONCE] for i in range(0, len(index), _AT_ONCE)]
    rows = [_rows(values, inside, part, np.array(spacing_mm)) for part in parts]
    return np.concatenate(rows) if rows else np.zeros((0, len(NAMES)))


@cache
def _headings() -> Floats:
    """Evenly over a sphere (Vogel 1979), (R, 3), the second half opposite to the first."""
    turn = np.arange(_RAYS // 2) + 0.5
    z, angle = turn / (_RAYS // 2), turn * np.pi * (3 - 5**0.5)
    flat = np.sqrt(1 - z**2)
    half = np.stack((z, flat * np.sin(angle), flat * np.cos(angle)), 1)
    return np.concatenate((half, -half))


@cache
def _harmonics() -> list[NDArray[np.float32]]:
    """Of each degree what rays are projected on, (R, 2 * degree + 1): by the addition theorem, turned as it may be."""
    from scipy.special import eval_legendre

    heading_R3 = _headings()
    cosine_RR = (heading_R3 @ heading_R3.T).clip(-1, 1)
    made = []
    for n in _DEGREES:
        size, wave_RR = np.linalg.eigh(eval_legendre(n, cosine_RR) * (2 * n + 1) / _RAYS**2)
        made.append((wave_RR[:, -2 * n - 1 :] * np.sqrt(size[-2 * n - 1 :])).astype(np.float32))
    return made


def _rows(values: NDArray[np.float32], inside: NDArray[np.float32], index_C3: Floats, spacing_mm: Floats) -> Floats:
    from scipy.ndimage import map_coordinates

    distance_K3 = np.array(SPHERES_MM)[:, None] + np.array(_THICK_MM)[:, None] * (-1, 0, 1)
    away_RK33 = _headings()[:, None, None] * distance_K3[..., None] / spacing_mm
    place_3CRK3 = np.moveaxis(index_C3[:, None, None, None] + away_RK33, -1, 0)
    hu_CRK = map_coordinates(values, place_3CRK3, order=1, mode="nearest").mean(axis=-1)
    inside_CRK = map_coordinates(inside, place_3CRK3[..., 1], order=0, mode="nearest") > 0.5
    middle_C = 0.4 * hu_CRK[:, :, 0].mean(axis=1) + 0.6 * hu_CRK[:, :, 1].mean(axis=1)
    lung_C = _lung(hu_CRK[:, :, _AROUND], inside_CRK[:, :, _AROUND])
    contrast_C = np.maximum(middle_C - lung_C, _LEAST_HU)
    share_CRK = ((hu_CRK - lung_C[:, None, None]) / contrast_C[:, None, None]).astype(np.float32)
    power_CLK = np.stack([np.square(np.swapaxes(share_CRK, 1, 2) @ wave_RM).sum(axis=2) for wave_RM in _harmonics()], 1)
    dense_CRK = share_CRK > _HALF
    each_CnK = np.concatenate(
        (
            np.stack((hu_CRK.mean(axis=1), share_CRK.mean(axis=1)), 1),
            power_CLK,
            np.stack((dense_CRK.mean(axis=1), 1 - inside_CRK.mean(axis=1)), 1),
            np.moveaxis(np.percentile(share_CRK, _PERCENTILES, axis=1), 0, 1),
        ),
        axis=1,
    )
    per_sphere = np.swapaxes(each_CnK, 1, 2).reshape(len(index_C3), -1)
    return np.column_stack((per_sphere, middle_C, lung_C, *_lengths(dense_CRK), *_masses(share_CRK)))


def _lung(hu_CRK: Floats, inside_CRK: Mask) -> Floats:
    """How dense the lung around is: of what lies in it, what is denser than three tenths, (C,)."""
    around = np.where(inside_CRK, hu_CRK, np.inf).reshape(len(hu_CRK), -1)
    rank = (0.3 * np.isfinite(around).sum(axis=1)).astype(np.intp)
    found = np.take_along_axis(np.sort(around, axis=1), rank[:, None], 1)[:, 0]
    return np.where(np.isfinite(found), found, LUNG_HU)


def _lengths(dense_CRK: Mask) -> list[Floats]:
    """Of rays from the middle, mm: quantiles, and the shortest and longest way through."""
    ends = np.array((*SPHERES_MM, SPHERES_MM[-1] + 2))
    thin = np.concatenate((~dense_CRK, np.ones((*dense_CRK.shape[:2], 1), bool)), 2)
    length_CR = ends[thin.argmax(axis=2)]
    through = length_CR[:, : _RAYS // 2] + length_CR[:, _RAYS // 2 :]
    return [*np.quantile(length_CR, _LENGTHS, axis=1), through.min(axis=1), through.max(axis=1)]


def _masses(share_CRK: NDArray[np.float32]) -> list[Floats]:
    """Section, mm^2, and mass, mm^3, of what is dense near the middle over the least section further out.

    What feeds a nodule passes through the spheres around it: of a vessel as much as its own section, of a nodule less.
    """
    radius = np.array(SPHERES_MM)
    section_CK = share_CRK.clip(0).mean(axis=1) * 4 * np.pi * radius**2
    mass_CK = np.cumsum(section_CK * np.gradient(radius), axis=1)
    feeding_C = section_CK[:, _FEEDING].min(axis=1) + 0.5
    return [part for k in _NEAR for part in (section_CK[:, k] / feeding_C, mass_CK[:, k] / feeding_C)]
