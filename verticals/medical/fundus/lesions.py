"""Lesion candidates: dark and bright spots off the vessels and the disc, told apart by size, edge and colour.

Candidates, no diagnoses: their limits were chosen by hand, and no set with outlined lesions was at hand to validate
them. A vessel curves in one direction only, a spot in both: the weaker curvature is the measure (Lindeberg 1998).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from verticals.medical.fundus.filters import curvatures
from verticals.medical.fundus.landmarks import DISC_RADIUS, Landmarks
from verticals.medical.fundus.picture import Floats, Mask, Retina, blurred
from verticals.medical.fundus.vessels import long_parts

LesionKind = Literal["microaneurysm", "haemorrhage", "hard_exudate", "cotton_wool_spot"]
KINDS: tuple[LesionKind, ...] = ("microaneurysm", "haemorrhage", "hard_exudate", "cotton_wool_spot")

WIDTHS = (1.2, 1.8, 2.7, 4.0, 6.0, 9.0)  # sigma; a spot of radius r answers most at r / sqrt(2)
LEAST_DARK, LEAST_BRIGHT = 4.5, 8.0  # of the field's own scatter of curvature
LEAST_CONTRAST = 0.05  # against the surroundings' green
MICROANEURYSM = 6.0  # pixels across: up to 125 micrometres (ETDRS 1991), and the camera's blur
COTTON_WOOL = 14.0  # pixels across: a soft, whitish spot is larger than a third of a millimetre
_WHITISH = 0.45  # contrast in blue over contrast in green: an exudate is yellow
_ROUND = 0.65  # weaker over stronger curvature; most crossings of vessels have less
_WIDE = 2.7  # sigma: what is smaller and on a vessel is part of it
_DISC_REACH = 1.7  # disc radii: the disc's own edge and rim are bright and dark spots
_FOVEA_REACH = 35  # pixels: the fovea is a wide dark spot itself
_RIM = 10
_MOST = 400  # of one photograph, the strongest


@dataclass(frozen=True)
class Candidate:
    """One spot.

    Attributes:
        column, row: Its centre, in the working square.
        width: Across, in pixels of the working square.
        score: Curvature over the field's own scatter; higher is surer, and no probability.
    """

    kind: LesionKind
    column: float
    row: float
    width: float
    score: float


def find_candidates(
    retina: Retina,
    vessels: Mask,
    landmarks: Landmarks | None,
    *,
    least_dark: float = LEAST_DARK,
    least_bright: float = LEAST_BRIGHT,
) -> list[Candidate]:
    """Spots off the vessels and the disc, strongest first."""
    lines = np.asarray(ndimage.binary_dilation(long_parts(vessels)))
    around = blurred(retina.green, 20, retina.inside & ~lines)
    bright = _contrast(np.where(lines, around, retina.green), around, retina.inside)
    dark = -_contrast(retina.green, around, retina.inside)
    blue = _contrast(retina.rgb[..., 2], blurred(retina.rgb[..., 2], 20, retina.inside & ~lines), retina.inside)
    allowed = np.asarray(ndimage.binary_erosion(retina.inside, iterations=_RIM)) & _off_disc(retina, landmarks)
    made: list[Candidate] = []
    for is_dark, image, where, least_score in (
        (True, dark, allowed, least_dark),
        (False, bright, allowed & ~lines, least_bright),
    ):
        for column, row, sigma, score in _spots(-image, where, least_score):
            if image[row, column] < LEAST_CONTRAST or (lines[row, column] and not _is_round(image, column, row, sigma)):
                continue
            width = 2 * np.sqrt(2) * sigma
            if is_dark and width > MICROANEURYSM and _is_fovea(landmarks, column, row):
                continue
            whitish = blue[row, column] > _WHITISH * bright[row, column]
            made.append(
                Candidate(_kind(width, is_dark=is_dark, whitish=whitish), column + 0.5, row + 0.5, float(width), score)
            )
    return sorted(made, key=lambda spot: -spot.score)[:_MOST]


def outline(spot: Candidate, *, corners: int = 12) -> list[tuple[float, float]]:
    """A closed polygon around a spot, in the working square."""
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    radius = spot.width / 2 + 1
    points = [(float(spot.column + radius * np.cos(a)), float(spot.row + radius * np.sin(a))) for a in angles]
    return [*points, points[0]]


def _contrast(channel: Floats, around: Floats, inside: Mask) -> Floats:
    """Against the retina around, without vessels: else the light between two of them would look like a bright spot."""
    return blurred(channel, 0.7, inside) / np.maximum(around, 0.02) - 1


def _is_round(image: Floats, column: int, row: int, sigma: float) -> bool:
    """Whether a wide spot curves both ways alike: where the vessel mask has it, it may be a lesion all the same."""
    if sigma < _WIDE:
        return False
    reach = int(4 * sigma) + 2
    top, left = max(row - reach, 0), max(column - reach, 0)
    patch = -image[top : row + reach + 1, left : column + reach + 1]
    stronger, weaker = (float(c[row - top, column - left]) for c in curvatures(patch, sigma))
    return weaker > _ROUND * stronger


def _kind(width: float, *, is_dark: bool, whitish: bool) -> LesionKind:
    if is_dark:
        return "microaneurysm" if width <= MICROANEURYSM else "haemorrhage"
    return "cotton_wool_spot" if width >= COTTON_WOOL and whitish else "hard_exudate"


def _is_fovea(landmarks: Landmarks | None, column: int, row: int) -> bool:
    if landmarks is None or landmarks.fovea is None:
        return False
    return bool(np.hypot(column - landmarks.fovea[0], row - landmarks.fovea[1]) < _FOVEA_REACH)


def _off_disc(retina: Retina, landmarks: Landmarks | None) -> Mask:
    if landmarks is None:
        return np.ones(retina.inside.shape, bool)
    y, x = np.mgrid[: retina.inside.shape[0], : retina.inside.shape[1]] + 0.5
    return np.asarray(np.hypot(x - landmarks.disc[0], y - landmarks.disc[1]) > _DISC_REACH * DISC_RADIUS)


def _spots(image: Floats, where: Mask, least_score: float) -> Sequence[tuple[int, int, float, float]]:
    """(column, row, sigma, score) of dark spots: peaks of the weaker curvature over place and width."""
    stack = np.stack([_spotness(image, sigma, where) for sigma in WIDTHS])
    peaks: NDArray[np.bool_] = (stack == ndimage.maximum_filter(stack, size=(3, 5, 5))) & (stack >= least_score)
    found = sorted(zip(*np.nonzero(peaks), strict=True), key=lambda at: -stack[at])
    kept: list[tuple[int, int, float, float]] = []
    for level, row, column in found[: 3 * _MOST]:
        sigma = WIDTHS[level]
        if all(np.hypot(column - c, row - r) > np.sqrt(2) * max(sigma, s) for c, r, s, _ in kept):
            kept.append((int(column), int(row), sigma, float(stack[level, row, column])))
    return kept


def _spotness(image: Floats, sigma: float, where: Mask) -> Floats:
    """The weaker curvature over its scatter in the field; 0 where no lesion is looked for."""
    weaker = curvatures(image, sigma)[1]
    scatter = 1.4826 * float(np.median(np.abs(weaker[where] - np.median(weaker[where])))) if where.any() else 1.0
    return np.where(where, np.maximum(weaker, 0) / max(scatter, 1e-6), 0.0)
