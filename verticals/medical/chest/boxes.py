"""From the tower's lesion map to boxes. Ignores what a lesion is.

Shapes: G patches a side of the map, P cells a side after it is refined.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Map = NDArray[np.floating[Any]]
CELLS = 32
MAX_BOXES = 4


@dataclass(frozen=True)
class BoxRule:
    """When a peak becomes a box, and how far it reaches.

    Attributes:
        floor: Least probability of a peak, 0-1.
        reach: A box holds the neighbouring cells down to this share of its peak.
    """

    floor: float
    reach: float


@dataclass(frozen=True)
class FoundBox:
    """Edges as shares of the square's side, and the peak's probability."""

    left: float
    top: float
    right: float
    bottom: float
    peak: float

    @property
    def center(self) -> tuple[float, float]:
        """(column, row)."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2


def find_boxes(logits_GG: Map, rule: BoxRule) -> list[FoundBox]:
    """Boxes around the peaks, highest first."""
    return list(_grow(1 / (1 + np.exp(-refined(logits_GG))), rule))


def refined(map_GG: Map) -> Map:
    """The map at (P, P)."""
    fine = Image.fromarray(np.asarray(map_GG, np.float32)).resize((CELLS, CELLS), Image.Resampling.BILINEAR)
    return np.asarray(fine, np.float64)


def highest(map_GG: Map) -> tuple[float, float]:
    """Where a map is highest: (column, row), shares of the side."""
    row, column = np.unravel_index(refined(map_GG).argmax(), (CELLS, CELLS))
    return (float(column) + 0.5) / CELLS, (float(row) + 0.5) / CELLS


def _grow(map_PP: Map, rule: BoxRule) -> Iterator[FoundBox]:
    """A peak is higher than its eight neighbours: the slope that is left of a higher one is none."""
    around = np.pad(map_PP, 1, constant_values=-1.0)
    shifted = [around[i : i + CELLS, j : j + CELLS] for i in range(3) for j in range(3)]
    open_PP = (map_PP >= np.max(shifted, axis=0)) & (map_PP >= rule.floor)
    for _ in range(MAX_BOXES):
        if not open_PP.any():
            return
        row, column = np.unravel_index(np.where(open_PP, map_PP, -1).argmax(), map_PP.shape)
        peak = float(map_PP[row, column])
        cells = _connected(map_PP >= peak * rule.reach, (int(row), int(column)))
        rows, columns = np.nonzero(cells)
        open_PP &= ~cells
        yield FoundBox(
            columns.min() / CELLS, rows.min() / CELLS, (columns.max() + 1) / CELLS, (rows.max() + 1) / CELLS, peak
        )


def _connected(inside_PP: NDArray[np.bool_], start: tuple[int, int]) -> NDArray[np.bool_]:
    """The cells that `start` reaches, sharing edges."""
    reached_PP = np.zeros_like(inside_PP)
    reached_PP[start] = True
    while True:
        grown_PP = reached_PP.copy()
        grown_PP[1:] |= reached_PP[:-1]
        grown_PP[:-1] |= reached_PP[1:]
        grown_PP[:, 1:] |= reached_PP[:, :-1]
        grown_PP[:, :-1] |= reached_PP[:, 1:]
        grown_PP &= inside_PP
        if (grown_PP == reached_PP).all():
            return reached_PP
        reached_PP = grown_PP
