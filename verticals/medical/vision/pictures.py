"""A picture as the tower sees it: square, small, of mean 0 and variance 1; and the way back to the film's own pixels.

Ignores files: what comes in is grey, white highest, as `geometry.render` gives it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Grey = NDArray[np.uint8]
Picture = NDArray[np.float32]


@dataclass(frozen=True)
class Frame:
    """How a film lies in its square: shares of the square's side.

    Attributes:
        rows, columns: Of the film.
    """

    rows: int
    columns: int

    @property
    def side(self) -> int:
        """Of the square, in the film's pixels."""
        return max(self.rows, self.columns)

    def to_film(self, column: float, row: float) -> tuple[float, float]:
        """A place in the square, 0-1 from its upper left corner, as the film's (column, row), cut to the film."""
        left, top = (self.side - self.columns) / 2, (self.side - self.rows) / 2
        return (
            float(np.clip(column * self.side - left, 0, self.columns)),
            float(np.clip(row * self.side - top, 0, self.rows)),
        )


def to_picture(grey: Grey, side: int) -> Picture:
    """A film of (rows, columns), uint8, padded to a square with its darkest value, as fp32 of (side, side).

    Grey values are cut at the 1st and 99th percentile, so that a marker or a black border does not set the scale.
    """
    share = np.cumsum(np.bincount(grey.ravel(), minlength=256)) / grey.size
    low, high = np.searchsorted(share, (0.01, 0.99))
    cut = np.clip(grey, np.uint8(low), np.uint8(high))
    rows, columns = cut.shape
    longest = max(rows, columns)
    top, left = (longest - rows) // 2, (longest - columns) // 2
    padding = ((top, longest - rows - top), (left, longest - columns - left))
    square = Image.fromarray(np.pad(cut, padding, constant_values=np.uint8(low)))
    small = np.asarray(square.resize((side, side), Image.Resampling.BOX), np.float32)
    return np.asarray((small - small.mean()) / (small.std() + 1e-6), np.float32)
