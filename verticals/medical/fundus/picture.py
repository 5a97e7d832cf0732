"""A colour photograph of the back of an eye, brought to one size: its round field centred. Ignores what it shows.

A field of 45 degrees is some 13.3 mm of retina, so one pixel here is about 25 micrometres.
Shapes: S side of the square.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

Colour = NDArray[np.uint8]  # (rows, columns, 3), RGB
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

DIAMETER = 540  # pixels across the field, as in DRIVE (Staal 2004)
SIDE = 576
_DARK = 12  # of 255: what lies outside the field is darker, in red as in green
_LEAST_SHARE = 0.15  # of the photograph that a field covers
_SMALL = 512  # the field is looked for at this size
_FAR = 0.02  # of the radius: an edge point farther from the circle is not of its edge


@dataclass(frozen=True)
class Field:
    """The circle that the camera shows; columns and rows of the photograph, the centre of the first pixel at 0.5."""

    column: float
    row: float
    radius: float


@dataclass(frozen=True)
class Retina:
    """A photograph at the working size.

    Attributes:
        rgb: (S, S, 3), 0-1; black outside the field.
        inside: (S, S): in the field, and in the photograph.
        field: Where the field lies in the photograph.
    """

    rgb: Floats
    inside: Mask
    field: Field

    @property
    def green(self) -> Floats:
        """(S, S), 0-1: the channel with the most contrast between blood and retina."""
        return np.asarray(self.rgb[..., 1])

    def to_photograph(self, column: float, row: float) -> tuple[float, float]:
        """A place of the working square in the photograph's own pixels."""
        scale = 2 * self.field.radius / DIAMETER
        return self.field.column + (column - SIDE / 2) * scale, self.field.row + (row - SIDE / 2) * scale

    def from_photograph(self, column: float, row: float) -> tuple[float, float]:
        """The other way."""
        scale = DIAMETER / (2 * self.field.radius)
        return (column - self.field.column) * scale + SIDE / 2, (row - self.field.row) * scale + SIDE / 2


def find_field(rgb: Colour) -> Field | None:
    """The round field: a circle through the edge of what is lit; None where nothing round enough is lit."""
    step = max(1.0, max(rgb.shape[:2]) / _SMALL)
    size = (round(rgb.shape[1] / step), round(rgb.shape[0] / step))
    small = np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.BOX))
    lit = ndimage.binary_opening(small.max(2) > _DARK, iterations=2)
    parts, count = ndimage.label(lit)
    if not count:
        return None
    biggest = int(np.argmax(np.bincount(parts.ravel())[1:])) + 1
    lit = np.asarray(ndimage.binary_fill_holes(parts == biggest))
    if lit.mean() < _LEAST_SHARE:
        return None
    return _circle(lit, rgb.shape[1] / size[0], rgb.shape[0] / size[1])


def to_retina(rgb: Colour, field: Field) -> Retina:
    """Bring a photograph to the working size."""
    scale = 2 * field.radius / DIAMETER
    left, top = field.column - SIDE / 2 * scale, field.row - SIDE / 2 * scale
    box = (left, top, left + SIDE * scale, top + SIDE * scale)
    made = _cut(Image.fromarray(rgb), box)
    height, width = rgb.shape[:2]
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    inside = np.hypot(x - SIDE / 2, y - SIDE / 2) < DIAMETER / 2 - 2
    inside &= (x * scale + left > scale) & (x * scale + left < width - scale)
    inside &= (y * scale + top > scale) & (y * scale + top < height - scale)
    return Retina(made * inside[..., None], inside, field)


def onto_photograph(values: Floats, field: Field, shape: tuple[int, ...]) -> Floats:
    """What was said of each place of the working square, (S, S), at the photograph's own pixels, (rows, columns)."""
    scale = DIAMETER / (2 * field.radius)
    rows = (np.arange(shape[0]) + 0.5 - field.row) * scale + SIDE / 2 - 0.5
    columns = (np.arange(shape[1]) + 0.5 - field.column) * scale + SIDE / 2 - 0.5
    return np.asarray(ndimage.map_coordinates(values, np.meshgrid(rows, columns, indexing="ij"), order=1))


def _cut(photograph: Image.Image, box: tuple[float, float, float, float]) -> Floats:
    """A box that may reach beyond the photograph, (S, S, 3), 0-1; reduced without aliasing."""
    border = int(max(0, -box[0], -box[1], box[2] - photograph.width, box[3] - photograph.height)) + 2
    wide = Image.new("RGB", (photograph.width + 2 * border, photograph.height + 2 * border))
    wide.paste(photograph, (border, border))
    moved = (box[0] + border, box[1] + border, box[2] + border, box[3] + border)
    cut = wide.resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=moved)
    return np.asarray(cut, np.float64) / 255


def _circle(lit: Mask, per_column: float, per_row: float) -> Field | None:
    """Least squares (Kasa 1976) through the edge that is not the photograph's own; again without notches."""
    edge = lit & ~ndimage.binary_erosion(lit, border_value=1)
    edge[:2], edge[-2:], edge[:, :2], edge[:, -2:] = False, False, False, False
    rows, columns = np.nonzero(edge)
    if len(rows) < _SMALL // 4:  # the edge lies outside the photograph: the field is what is lit
        return _whole(lit, per_column, per_row)
    x, y = (columns + 0.5) * per_column, (rows + 0.5) * per_row
    kept = np.ones(len(x), bool)
    for _ in range(4):
        system = np.stack((x[kept], y[kept], np.ones(kept.sum())), 1)
        (a, b, c), *_rest = np.linalg.lstsq(system, x[kept] ** 2 + y[kept] ** 2, rcond=None)
        column, row = a / 2, b / 2
        radius = float(np.sqrt(max(c + column**2 + row**2, 1)))
        off = np.abs(np.hypot(x - column, y - row) - radius)
        kept = off < max(_FAR * radius, float(np.quantile(off, 0.6)))
    extent = max(np.ptp(x), np.ptp(y))
    if not 0.4 * extent < radius < 1.5 * extent:
        return _whole(lit, per_column, per_row)
    return Field(float(column), float(row), radius)


def _whole(lit: Mask, per_column: float, per_row: float) -> Field:
    """What is lit, where no edge of a circle is seen."""
    rows, columns = np.nonzero(lit)
    width, height = (np.ptp(columns) + 1) * per_column, (np.ptp(rows) + 1) * per_row
    centre = (columns.min() + columns.max() + 1) / 2 * per_column, (rows.min() + rows.max() + 1) / 2 * per_row
    return Field(float(centre[0]), float(centre[1]), float(max(width, height) / 2))


def blurred(image: NDArray[Any], sigma: float, inside: Mask) -> Floats:
    """Gaussian mean of what is in the field only: what lies outside has no weight. (S, S), or (S, S, channels)."""
    within = inside.reshape(*inside.shape, *[1] * (image.ndim - 2))
    weight, total = (
        ndimage.gaussian_filter(one, sigma, truncate=3, axes=(0, 1))
        for one in (within.astype(np.float64), np.where(within, image, 0.0))
    )
    return np.asarray(total / np.maximum(weight, 1e-3))


def evened(channel: Floats, inside: Mask, *, sigma: float = 25) -> Floats:
    """Contrast against the surroundings, in local standard deviations; 0 outside the field (Foracchia 2005).

    Args:
        channel: (S, S), or several, (S, S, channels).
    """
    mean = blurred(channel, sigma, inside)
    spread = np.sqrt(np.maximum(blurred((channel - mean) ** 2, 2 * sigma, inside), 1e-8))
    within = inside.reshape(*inside.shape, *[1] * (channel.ndim - 2))
    return np.where(within, (channel - mean) / np.maximum(spread, 1e-3), 0.0)
