"""A mask's outline as closed polylines along the edges of its pixels. Filled again, they give the same mask.

Points are (column, row) with pixel corners at whole numbers, as `evidence.Region` has them; the SEG export fills them
by the even-odd rule. A hole is filled: a nodule's mask has none.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Point = tuple[float, float]


def outlines(plane: NDArray[np.bool_]) -> list[tuple[Point, ...]]:
    """The outer outline of each 4-connected part of (rows, columns), its first point repeated at its end."""
    from scipy.ndimage import binary_fill_holes, label

    parts, count = label(plane)
    return [_around(binary_fill_holes(parts == i + 1)) for i in range(count)]


def _around(part: NDArray[np.bool_]) -> tuple[Point, ...]:
    """Walks with the part on the right hand. Where two edges leave a corner, it turns right: both are of one part."""
    padded = np.pad(part, 1)
    edges: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for row, column in np.argwhere(padded):
        y, x = int(row) - 1, int(column) - 1
        for away, start, step in (
            ((-1, 0), (x, y), (1, 0)),
            ((0, 1), (x + 1, y), (0, 1)),
            ((1, 0), (x + 1, y + 1), (-1, 0)),
            ((0, -1), (x, y + 1), (0, -1)),
        ):
            if not padded[row + away[0], column + away[1]]:
                edges.setdefault(start, []).append(step)
    first = min(edges)
    at, step, points = first, edges[first][0], [first]
    while True:
        at = (at[0] + step[0], at[1] + step[1])
        steps = edges[at]
        turned = min(steps, key=lambda new: _turn(step, new))
        if turned != step or at == first:
            points.append(at)
        steps.remove(turned)
        step = turned
        if at == first and len(points) > 1:
            return tuple((float(x), float(y)) for x, y in points)


def _turn(before: tuple[int, int], after: tuple[int, int]) -> int:
    """0: right, 1: straight on, 2: left, with rows going down."""
    cross = before[0] * after[1] - before[1] * after[0]
    return 1 - cross
