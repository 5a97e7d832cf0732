"""Where in a lung a bright blob is: maxima of the Laplacian of Gaussian over place and scale. Ignores what the blob is.

The scale-normalised Laplacian (Lindeberg 1998, doi:10.1023/A:1008045108935) is taken as a difference of Gaussians
(Lowe 2004), in millimetres, whatever the spacing. What is outside the lungs is painted as lung, so that a nodule at the
pleura is a blob and the wall is none; what is denser than ground glass counts as ground glass, so that faint nodules
rank with solid ones. Shapes: S scales, V voxels.
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
LEAST_RESPONSE_HU = 20.0
MOST_BLOBS = 3000  # of a scan: those with the strongest answers
MOST = 300  # candidates of a scan: those of the blobs that are most like balls
LUNG_HU, TISSUE_HU, GLASS_HU = -860.0, 100.0, -500.0


@dataclass(frozen=True)
class Candidate:
    """A blob.

    Attributes:
        index: (slice, row, column) of its centre.
        diameter_mm: By its scale.
        response_hu: Its answer: what a detector of blobs alone would rank it by.
        responses_hu: Of every scale at its centre, (S,).
        roundness: How much of the steepest curvature is left in the flattest direction: 1 of a ball, 0 of a tube.
    """

    index: tuple[int, int, int]
    diameter_mm: float
    response_hu: float
    responses_hu: tuple[float, ...]
    roundness: float

    @property
    def dot_hu(self) -> float:
        """The answer, less the longer the blob is: of a vessel little is left (Li 2003, Med Phys 30:2040)."""
        return self.response_hu * self.roundness


def within_lungs(volume: Volume, closed: Mask, top_hu: float = TISSUE_HU) -> NDArray[np.float32]:
    """The values, no denser than `top_hu`, and lung wherever no lung is."""
    return np.where(closed, np.minimum(volume.values, top_hu), np.float32(LUNG_HU)).astype(np.float32)


def find_blobs(volume: Volume, closed: Mask, top_hu: float = GLASS_HU) -> list[Candidate]:
    """The strongest blobs in the lungs, strongest first; none twice. With `TISSUE_HU` this alone is the baseline."""
    from scipy.ndimage import maximum_filter

    if not closed.any():
        return []
    box = _box(closed, volume.spacing_mm)
    inside = closed[box]
    smooth_SV = _smoothed(within_lungs(volume, closed, top_hu)[box], volume.spacing_mm)
    answers_SV = [one - next_one for one, next_one in pairwise(smooth_SV)]
    found: list[tuple[float, int, tuple[int, int, int]]] = []
    for scale, answer_V in enumerate(answers_SV):
        peaks = (answer_V == maximum_filter(answer_V, 3)) & inside & (answer_V > LEAST_RESPONSE_HU)
        found += [(float(answer_V[z, y, x]), scale, (int(z), int(y), int(x))) for z, y, x in np.argwhere(peaks)]
    found.sort(key=lambda each: (-each[0], each[1:]))
    kept: list[tuple[float, int, tuple[int, int, int]]] = []
    places_mm, reach_mm = np.zeros((MOST_BLOBS, 3)), np.zeros(MOST_BLOBS)
    for each in found:
        place, num = np.array(each[2]) * volume.spacing_mm, len(kept)
        # The same blob answers at several scales: the strongest answer speaks for its whole ball.
        if (((places_mm[:num] - place) ** 2).sum(axis=1) < reach_mm[:num] ** 2).any():
            continue
        places_mm[num], reach_mm[num] = place, max(3.0, 0.5 * DIAMETERS_MM[each[1]])
        kept.append(each)
        if len(kept) == MOST_BLOBS:
            break
    round_B = _roundness(smooth_SV, kept, volume.spacing_mm)
    return [
        Candidate(
            index=(at[0] + box[0].start, at[1] + box[1].start, at[2] + box[2].start),
            diameter_mm=DIAMETERS_MM[scale],
            response_hu=response,
            responses_hu=tuple(float(answer[at]) for answer in answers_SV),
            roundness=float(roundness),
        )
        for (response, scale, at), roundness in zip(kept, round_B, strict=True)
    ]


def find_candidates(volume: Volume, closed: Mask) -> list[Candidate]:
    """The blobs that are most like balls, strongest first: what a classifier is asked about."""
    blobs = find_blobs(volume, closed)
    return sorted(blobs, key=lambda blob: (-blob.dot_hu, blob.index))[:MOST]


def _smoothed(values: NDArray[np.float32], spacing_mm: tuple[float, float, float]) -> list[NDArray[np.float32]]:
    """By each Gaussian; each is made from the last."""
    from scipy.ndimage import gaussian_filter

    made, before_mm = [values], 0.0
    for sigma_mm in SIGMAS_MM:
        more_mm = (sigma_mm**2 - before_mm**2) ** 0.5
        made.append(gaussian_filter(made[-1], [more_mm / s for s in spacing_mm], truncate=3.0, mode="nearest"))
        before_mm = sigma_mm
    return made[1:]


def _roundness(
    smooth_SV: Sequence[NDArray[np.float32]],
    blobs: Sequence[tuple[float, int, tuple[int, int, int]]],
    spacing_mm: tuple[float, float, float],
) -> Floats:
    """Least curvature through highest, (B,), of places that are bright in every direction; else 0."""
    if not blobs:
        return np.zeros(0)
    stacked_SV = np.stack(smooth_SV)
    scale_B, at_B3 = np.array([blob[1] for blob in blobs]), np.array([blob[2] for blob in blobs])
    near = [np.clip(at_B3[:, [a]] + (-1, 0, 1), 0, n - 1) for a, n in enumerate(stacked_SV.shape[1:])]
    block_B333 = stacked_SV[
        scale_B[:, None, None, None],
        near[0][:, :, None, None],
        near[1][:, None, :, None],
        near[2][:, None, None, :],
    ].astype(np.float64)
    hessian_B33 = np.empty((len(blobs), 3, 3))
    for a in range(3):
        line_B3 = np.moveaxis(block_B333, a + 1, 1)[:, :, 1, 1]
        hessian_B33[:, a, a] = (line_B3[:, 0] - 2 * line_B3[:, 1] + line_B3[:, 2]) / spacing_mm[a] ** 2
        for b in range(a + 1, 3):
            plane = np.moveaxis(block_B333, (a + 1, b + 1), (1, 2))[..., 1]
            mixed = plane[:, 2, 2] - plane[:, 0, 2] - plane[:, 2, 0] + plane[:, 0, 0]
            hessian_B33[:, a, b] = hessian_B33[:, b, a] = mixed / (4 * spacing_mm[a] * spacing_mm[b])
    low, _, high = np.linalg.eigvalsh(hessian_B33).T
    return np.where(high < 0, high / np.minimum(low, -1e-9), 0.0)


def _box(mask: Mask, spacing_mm: tuple[float, float, float]) -> tuple[slice, slice, slice]:
    """The mask's box with 6 mm around it."""
    cut = []
    for axis, spacing in enumerate(spacing_mm):
        there = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        room = int(np.ceil(6 / spacing))
        cut.append(slice(max(0, int(there[0]) - room), int(there[-1]) + room + 1))
    return cut[0], cut[1], cut[2]
