"""Where in a lung a bright blob is: maxima of the Laplacian of Gaussian over place and scale. Ignores what the blob is.

The scale-normalised Laplacian (Lindeberg 1998, doi:10.1023/A:1008045108935) is taken as a difference of Gaussians
(Lowe 2004), in millimetres, whatever the spacing. What is outside the lungs is painted as lung, so that a nodule at the
pleura is a blob and the wall is none; what is denser than ground glass counts as ground glass, so that faint nodules
rank with solid ones. Shapes: S scales, V voxels, B blobs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verticals.medical.ct.lungs import Mask
from verticals.medical.series import Volume

Floats = NDArray[np.floating[Any]]

RATIO = 1.45  # between neighbouring standard deviations
SIGMAS_MM = tuple(0.8 * RATIO**k for k in range(7))
# A ball's answer is strongest at the scale of its radius / sqrt(3).
DIAMETERS_MM = tuple(2 * (3 * a * b) ** 0.5 for a, b in pairwise(SIGMAS_MM))
LEAST_RESPONSE_HU = 15.0
MOST_BLOBS = 30_000  # of a scan: those with the strongest answers
LUNG_HU, TISSUE_HU, GLASS_HU = -860.0, 100.0, -500.0
_SAME, _SAME_MM = 1.2, (6.0, 15.0)  # of a mark's diameter, and limits: nearer marks are of the same thing
_APART = 0.3  # of a blob's diameter: nearer is the same blob
_LEAST_APART_MM = 1.5
LOOK_NAMES = (
    *(f"answer_{d:.0f}mm" for d in DIAMETERS_MM),
    *(f"{what}_{sigma:.1f}mm" for sigma in SIGMAS_MM for what in ("density", "steepest", "middle", "flattest")),
    *("scale", "depth", "noise", "gap"),
)


@dataclass(frozen=True)
class Candidate:
    """A blob.

    Attributes:
        index: (slice, row, column) of its centre, between voxels.
        diameter_mm: By its scale.
        response_hu: Its answer: what a detector of blobs alone would rank it by.
        roundness: How much of the steepest curvature is left in the flattest direction: 1 of a ball, 0 of a tube.
        look: What the detector saw of it at every scale, in the order of `LOOK_NAMES`.
    """

    index: tuple[float, float, float]
    diameter_mm: float
    response_hu: float
    roundness: float
    look: tuple[float, ...]

    @property
    def dot_hu(self) -> float:
        """The answer, less the longer the blob is: of a vessel little is left (Li 2003, Med Phys 30:2040)."""
        return self.response_hu * self.roundness


def within_lungs(volume: Volume, closed: Mask, top_hu: float = TISSUE_HU) -> NDArray[np.float32]:
    """The values, no denser than `top_hu`, and lung wherever no lung is."""
    return np.where(closed, np.minimum(volume.values, top_hu), np.float32(LUNG_HU)).astype(np.float32)


def find_blobs(volume: Volume, closed: Mask, top_hu: float = GLASS_HU) -> list[Candidate]:
    """The strongest blobs in the lungs, strongest first; none twice. With `TISSUE_HU` this alone is the baseline."""
    from scipy.ndimage import distance_transform_edt, maximum_filter

    if not closed.any():
        return []
    box = _box(closed, volume.spacing_mm)
    inside, spacing = closed[box], np.array(volume.spacing_mm)
    values = within_lungs(volume, closed, top_hu)[box]
    smooth_SV = np.stack(_smoothed(values, volume.spacing_mm))
    answers_SV = smooth_SV[:-1] - smooth_SV[1:]
    peaks_SV = [(a == maximum_filter(a, 3)) & inside & (a > LEAST_RESPONSE_HU) for a in answers_SV]
    at_B4 = np.argwhere(np.stack(peaks_SV))
    answer_B = answers_SV[tuple(at_B4.T)]
    # The same blob answers at several scales: the strongest answer speaks for what is around its middle.
    reach_B = np.maximum(_LEAST_APART_MM, _APART * np.array(DIAMETERS_MM)[at_B4[:, 0]])
    at_B4 = at_B4[strongest(at_B4[:, 1:] * spacing, answer_B, reach_B)[:MOST_BLOBS]]
    if not len(at_B4):
        return []
    scale_B, place_B3 = at_B4[:, 0], at_B4[:, 1:]
    depth_B = distance_transform_edt(inside, sampling=spacing)[tuple(place_B3.T)]
    noise = 1.48 * float(np.median(np.abs((values - smooth_SV[0])[inside])))
    curved_BS3 = np.stack([_curvatures(one_V, place_B3, spacing) for one_V in smooth_SV], 1)
    answer_BS, density_BS = (
        np.stack([one_V[tuple(place_B3.T)] for one_V in many], 1) for many in (answers_SV, smooth_SV)
    )
    look_BF = _look(answer_BS, density_BS, curved_BS3, (scale_B, depth_B, noise, spacing[0]))
    low_B, _, high_B = curved_BS3[np.arange(len(at_B4)), scale_B].T
    round_B = np.where(high_B < 0, high_B / np.minimum(low_B, -1e-9), 0.0)
    index_B3 = place_B3 + _between(answers_SV, at_B4) + [cut.start for cut in box]
    return [
        Candidate(
            index=(float(z), float(y), float(x)),
            diameter_mm=DIAMETERS_MM[scale],
            response_hu=float(answer_BS[i, scale]),
            roundness=float(round_B[i]),
            look=tuple(look_BF[i].tolist()),
        )
        for i, ((z, y, x), scale) in enumerate(zip(index_B3, scale_B, strict=True))
    ]


def _look(answer_BS: Floats, density_BS: Floats, curved_BS3: Floats, rest: Sequence[Any]) -> Floats:
    """In the order of `LOOK_NAMES`, (B, names); curvatures are in HU at every scale."""
    curved_BS3 = curved_BS3 * np.square(SIGMAS_MM)[:, None]
    seen = np.concatenate((density_BS[..., None], curved_BS3), 2).reshape(len(answer_BS), -1)
    return np.column_stack((answer_BS, seen, *(np.broadcast_to(one, len(answer_BS)) for one in rest)))


def strongest(places_mm: Floats, scores: Floats, reach_mm: Floats) -> NDArray[np.intp]:
    """Of each place the one with the highest score, best first: it speaks for what lies within its reach."""
    from scipy.spatial import cKDTree

    if not len(scores):
        return np.zeros(0, np.intp)
    near = cKDTree(places_mm).query_ball_point(places_mm, reach_mm)
    kept, waits = [], np.ones(len(scores), bool)
    for i in np.argsort(-scores, kind="stable"):
        if waits[i]:
            kept.append(i)
            waits[near[i]] = False
    return np.array(kept)


def mark_reach_mm(diameters_mm: Floats) -> Floats:
    """How far marks of one thing lie apart at most, by the scale of the stronger."""
    return np.asarray(np.clip(_SAME * diameters_mm, *_SAME_MM))


def _smoothed(values: NDArray[np.float32], spacing_mm: tuple[float, float, float]) -> list[NDArray[np.float32]]:
    """By each Gaussian; each is made from the last."""
    from scipy.ndimage import gaussian_filter

    made, before_mm = [values], 0.0
    for sigma_mm in SIGMAS_MM:
        more_mm = (sigma_mm**2 - before_mm**2) ** 0.5
        made.append(gaussian_filter(made[-1], [more_mm / s for s in spacing_mm], truncate=3.0, mode="nearest"))
        before_mm = sigma_mm
    return made[1:]


def _curvatures(smooth_V: NDArray[np.float32], place_B3: NDArray[np.int64], spacing: Floats) -> Floats:
    """Eigenvalues of the Hessian at places, (B, 3), lowest first, HU / mm^2."""
    block_B333 = _blocks(smooth_V, place_B3)
    hessian_B33 = np.empty((len(place_B3), 3, 3))
    for a in range(3):
        line_B3 = np.moveaxis(block_B333, a + 1, 1)[:, :, 1, 1]
        hessian_B33[:, a, a] = (line_B3[:, 0] - 2 * line_B3[:, 1] + line_B3[:, 2]) / spacing[a] ** 2
        for b in range(a + 1, 3):
            plane = np.moveaxis(block_B333, (a + 1, b + 1), (1, 2))[..., 1]
            mixed = plane[:, 2, 2] - plane[:, 0, 2] - plane[:, 2, 0] + plane[:, 0, 0]
            hessian_B33[:, a, b] = hessian_B33[:, b, a] = mixed / (4 * spacing[a] * spacing[b])
    return np.asarray(np.linalg.eigvalsh(hessian_B33))


def _between(answers_SV: NDArray[np.float32], at_B4: NDArray[np.int64]) -> Floats:
    """How far from a peak's voxel its answer is highest, in voxels, (B, 3): the top of a parabola along each axis."""
    made_B3 = np.zeros((len(at_B4), 3))
    for scale in np.unique(at_B4[:, 0]):
        rows = at_B4[:, 0] == scale
        block_B333 = _blocks(answers_SV[scale], at_B4[rows, 1:])
        for a in range(3):
            before, here, after = np.moveaxis(block_B333, a + 1, 0)[:, :, 1, 1]
            bend = before - 2 * here + after
            made_B3[rows, a] = np.where(bend < 0, (before - after) / (2 * np.minimum(bend, -1e-6)), 0.0)
    return made_B3.clip(-0.5, 0.5)


def _blocks(values_V: NDArray[np.float32], place_B3: NDArray[np.int64]) -> Floats:
    """The 27 voxels around each place, (B, 3, 3, 3); those at the volume's edge are said again."""
    z, y, x = (np.clip(place_B3[:, [a]] + (-1, 0, 1), 0, n - 1) for a, n in enumerate(values_V.shape))
    return np.asarray(values_V[z[:, :, None, None], y[:, None, :, None], x[:, None, None, :]], np.float64)


def _box(mask: Mask, spacing_mm: tuple[float, float, float]) -> tuple[slice, slice, slice]:
    """The mask's box with 6 mm around it."""
    cut = []
    for axis, spacing in enumerate(spacing_mm):
        there = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        room = int(np.ceil(6 / spacing))
        cut.append(slice(max(0, int(there[0]) - room), int(there[-1]) + room + 1))
    return cut[0], cut[1], cut[2]
