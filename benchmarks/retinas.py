"""Synthetic fundus photographs, and lesions painted on any background: known truth for tests and figures. SYNTHETIC.

A phantom has a round field, a disc, a fovea and branching vessels; it looks like no patient's eye.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from verticals.medical.fundus.landmarks import DISC_RADIUS, FOVEA_DISTANCE, Eye
from verticals.medical.fundus.lesions import LesionKind
from verticals.medical.fundus.picture import DIAMETER, SIDE, Colour, Floats, Mask

Draw = np.random.Generator
_COLOURS: dict[LesionKind, tuple[float, float, float]] = {  # what a lesion adds, as a share of the background
    "microaneurysm": (-0.15, -0.40, -0.35),
    "haemorrhage": (-0.25, -0.50, -0.45),
    "hard_exudate": (0.20, 0.55, 0.10),
    "cotton_wool_spot": (0.20, 0.40, 0.45),
}
_EDGES: dict[LesionKind, float] = {
    "microaneurysm": 0.8,
    "haemorrhage": 1.0,
    "hard_exudate": 0.7,
    "cotton_wool_spot": 3.0,
}
# Kind, number and pixels across, by grade: the signs that the ICDR scale counts, in caricature.
_SIGNS: dict[int, tuple[tuple[LesionKind, int, float], ...]] = {
    0: (),
    1: (("microaneurysm", 5, 5),),
    2: (("microaneurysm", 8, 5), ("haemorrhage", 5, 11), ("hard_exudate", 8, 7)),
    3: (("microaneurysm", 12, 5), ("haemorrhage", 24, 13), ("hard_exudate", 10, 7), ("cotton_wool_spot", 4, 20)),
    4: (("haemorrhage", 45, 20), ("hard_exudate", 30, 9), ("cotton_wool_spot", 10, 22)),
}


@dataclass(frozen=True)
class Painted:
    """A lesion's truth: kind, centre and width in pixels of what it was painted on."""

    kind: LesionKind
    column: float
    row: float
    width: float


def phantom(draw: Draw, *, eye: Eye = "right") -> Colour:
    """A photograph without lesions, (S, S, 3), of the given eye, upright."""
    return phantom_and_vessels(draw, eye=eye)[0]


def phantom_and_vessels(draw: Draw, *, eye: Eye = "right") -> tuple[Colour, Mask]:
    """The same, and where its vessels are, (S, S)."""
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    away = 1 if eye == "right" else -1
    disc = (SIDE / 2 + away * (0.62 + 0.1 * draw.random()) * DIAMETER / 2, SIDE / 2 + draw.uniform(-25, 25))
    fovea = (disc[0] - away * FOVEA_DISTANCE, disc[1] + 15)
    light = 0.62 + 0.05 * draw.random() - 0.12 * np.hypot(x - SIDE / 2, y - SIDE / 2) / (SIDE / 2)
    light -= 0.12 * np.exp(-((x - fovea[0]) ** 2 + (y - fovea[1]) ** 2) / (2 * 28**2))
    light += ndimage.gaussian_filter(draw.normal(0, 1, (SIDE, SIDE)), 6) * 0.05
    rgb = light[..., None] * np.array((1.25, 0.72, 0.40))
    glow = 1 / (1 + np.exp((np.hypot(x - disc[0], y - disc[1]) - DISC_RADIUS) / 2))
    rgb += glow[..., None] * np.array((0.22, 0.30, 0.20))
    depth = vessel_tree(draw, disc, away)
    rgb *= 1 - depth[..., None] * np.array((0.20, 0.45, 0.35))
    rgb += draw.normal(0, 0.004, rgb.shape)
    outside = np.hypot(x - SIDE / 2, y - SIDE / 2) > DIAMETER / 2
    rgb[outside] = 0
    return np.asarray(np.clip(np.rint(rgb * 255), 0, 255), np.uint8), (depth > 0.5) & ~outside


def vessel_tree(draw: Draw, disc: tuple[float, float], away: int) -> Floats:
    """Depth of blood, (S, S), 0-1: arcades that leave the disc up and down and bend about the fovea."""
    depth = np.zeros((SIDE, SIDE))
    for up in (-1, 1):
        for width in (4.5, 3.5, 3.0):
            _grow(draw, depth, disc, up * np.pi / 2 + draw.normal(0, 0.25), -away * up * 0.006, width)
        _grow(draw, depth, disc, up * np.pi / 2 + away * up * -0.6, away * up * 0.006, 3.0)
    return np.asarray(np.clip(ndimage.gaussian_filter(depth, 0.6), 0, 1))


def _grow(draw: Draw, depth: Floats, start: tuple[float, float], angle: float, bend: float, width: float) -> None:
    x, y = start
    for step in range(300):
        x, y = x + np.cos(angle), y + np.sin(angle)
        if not (2 < x < SIDE - 3 and 2 < y < SIDE - 3):
            return
        angle += bend + draw.normal(0, 0.02)
        reach = int(np.ceil(width))
        rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
        r, c = np.clip(rows + int(y), 0, SIDE - 1), np.clip(columns + int(x), 0, SIDE - 1)
        depth[r, c] = np.maximum(depth[r, c], np.clip(width / 2 + 0.5 - np.hypot(rows, columns), 0, 1))
        if width > 1.6 and step > 30 and draw.random() < 0.012:
            _grow(draw, depth, (x, y), angle + draw.choice((-1, 1)) * 0.7, -bend, width * 0.65)


def paint(photograph: Colour, lesion: Painted, *, strength: float = 1.0) -> Colour:
    """One lesion on a background; `strength` scales its contrast."""
    rows, columns = photograph.shape[:2]
    y, x = np.mgrid[:rows, :columns] + 0.5
    scale = min(rows, columns) / SIDE
    outside = (np.hypot(x - lesion.column, y - lesion.row) - lesion.width / 2) / (_EDGES[lesion.kind] * scale)
    shape = 1 / (1 + np.exp(np.minimum(outside, 50)))
    made = photograph * (1 + strength * shape[..., None] * np.array(_COLOURS[lesion.kind]))
    return np.asarray(np.clip(np.rint(made), 0, 255), np.uint8)


def graded_phantom(draw: Draw, grade: int, *, eye: Eye = "right") -> Colour:
    """A phantom with the signs of an ICDR grade painted on it."""
    photograph = phantom(draw, eye=eye)
    for kind, number, width in _SIGNS[grade]:
        for _ in range(number):
            radius, angle = DIAMETER / 2 * 0.75 * np.sqrt(draw.random()), draw.uniform(0, 2 * np.pi)
            place = (float(SIDE / 2 + radius * np.cos(angle)), float(SIDE / 2 + radius * np.sin(angle)))
            photograph = paint(photograph, Painted(kind, *place, width * draw.uniform(0.8, 1.2)))
    return photograph
