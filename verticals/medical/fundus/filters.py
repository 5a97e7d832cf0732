"""What lines and blobs answer to: Gaussian derivatives and oriented line filters at several widths. Ignores meaning.

Dark on bright is positive. Shapes: S side, O orientations.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from verticals.medical.fundus.picture import SIDE, Floats, Retina, evened

LINES = ((1.2, 6.0), (1.8, 8.0), (2.8, 11.0), (4.2, 15.0))  # sigma across, sigma along
ORIENTATIONS = 12
_PAD = 640  # a length that the Fourier transform likes, with a border against wrapping


def curvatures(image: Floats, sigma: float) -> tuple[Floats, Floats]:
    """Eigenvalues of the Hessian, larger first, times sigma squared (Lindeberg 1998)."""
    xx, xy, yy = (ndimage.gaussian_filter(image, sigma, order=o, truncate=3) for o in ((0, 2), (1, 1), (2, 0)))
    mean, spread = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    return sigma**2 * (mean + spread), sigma**2 * (mean - spread)


def line_responses(image: Floats) -> NDArray[np.float32]:
    """Oriented line filters, (lines, O, S, S) (Chaudhuri 1989's matched filter, as a second derivative)."""
    spectrum = fft.rfft2(image.astype(np.float32), (_PAD, _PAD))
    made = np.empty((len(LINES), ORIENTATIONS, SIDE, SIDE), np.float32)
    for i, kernels_O in enumerate(_line_spectra()):
        for o, kernel in enumerate(kernels_O):
            made[i, o] = fft.irfft2(spectrum * kernel, (_PAD, _PAD))[:SIDE, :SIDE]
    return made


def lineness(retina: Retina) -> Floats:
    """The strongest line filter of any width and orientation, (S, S): the classical vessel filter."""
    strongest = line_responses(evened(retina.green, retina.inside)).max((0, 1))
    return np.where(retina.inside, strongest, 0.0).astype(np.float64)


@cache
def _line_spectra() -> list[list[NDArray[np.complex64]]]:
    half = 40
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float64)
    made = []
    for across, along in LINES:
        kernels = []
        for o in range(ORIENTATIONS):
            angle = np.pi * o / ORIENTATIONS
            u, v = x * np.cos(angle) + y * np.sin(angle), -x * np.sin(angle) + y * np.cos(angle)
            kernel = (v**2 / across**2 - 1) * np.exp(-(v**2) / (2 * across**2) - u**2 / (2 * along**2))
            kernel -= kernel.mean()
            wide = np.zeros((_PAD, _PAD))
            wide[: 2 * half + 1, : 2 * half + 1] = kernel / np.abs(kernel).sum()
            kernels.append(fft.rfft2(np.roll(wide, (-half, -half), (0, 1))).astype(np.complex64))
        made.append(kernels)
    return made
