"""Where the optic disc and the fovea are, and so which eye it is. Ignores headers.

In an upright photograph the disc lies nasally: on the right of a right eye's, on the left of a left eye's. A photograph
that is turned half round or mirrored looks like the other eye, which is why a stated side is held against it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import ndimage

from verticals.medical.fundus.filters import ORIENTATIONS, line_responses
from verticals.medical.fundus.picture import DIAMETER, SIDE, Floats, Mask, Retina, blurred, evened

Eye = Literal["left", "right"]
Place = tuple[float, float]  # column, row of the working square

# A disc is some 1.8 mm wide, the fovea lies 15.5 degrees from it and a little lower (Jonas 2015), in a field of 45.
DISC_RADIUS = 32
FOVEA_DISTANCE = 186
_FOVEA_REACH, _FOVEA_ABOVE, _FOVEA_BELOW = 50, 25, 65
_RIM = 8  # pixels beside the field's edge that are not looked at
# Chosen by hand on overlays of DRIVE and DIARETDB1, no other set: the disc is a bright spot that steep vessels leave.
_SPOT, _SURROUNDINGS, _VESSELS = 10, 45, 16
_LEAST_LINE = 0.15
LEAST_SCORE = 4.0  # standard deviations, brightness and vessels together
MIDDLE = 0.15  # of the field's radius: a disc nearer to the middle of the field tells no side


@dataclass(frozen=True)
class Landmarks:
    """What was found.

    Attributes:
        disc: Its centre.
        score: How far brightness and vessels there stand out together, in standard deviations.
        fovea: The darkest place where the fovea should be; None: it should be outside the photograph.
        eye: As an upright photograph would have it; None: the disc lies in the middle.
    """

    disc: Place
    score: float
    fovea: Place | None
    eye: Eye | None


def find_landmarks(retina: Retina) -> Landmarks | None:
    """The disc, then the fovea beside it; None where no place looks like a disc."""
    score = disc_score(retina)
    row, column = (int(i) for i in np.unravel_index(score.argmax(), score.shape))
    best = float(score[row, column])
    if best < LEAST_SCORE:
        return None
    disc = (column + 0.5, row + 0.5)
    off = (disc[0] - SIDE / 2) / (DIAMETER / 2)
    eye: Eye | None = None if abs(off) < MIDDLE else "right" if off > 0 else "left"
    return Landmarks(disc, best, None if eye is None else _fovea(retina, disc, eye), eye)


def disc_score(retina: Retina) -> Floats:
    """Brightness of a spot and density of steep vessels, (S, S), in standard deviations; -inf near the rim."""
    inside = retina.inside
    core = np.asarray(ndimage.binary_erosion(inside, iterations=_RIM))
    light = retina.rgb[..., :2].mean(-1)
    spot = blurred(light, _SPOT, inside) - blurred(light, _SURROUNDINGS, inside)
    lines = np.maximum(line_responses(evened(retina.green, inside)).max(0) - _LEAST_LINE, 0)
    sixth = ORIENTATIONS // 6
    steep = lines[2 * sixth : 4 * sixth + 1].max(0)
    flat = np.roll(lines, sixth, 0)[: 2 * sixth + 1].max(0)
    vessels = blurred(steep - flat / 2, _VESSELS, inside)
    return np.where(core, _standard(spot, core) + _standard(vessels, core), -np.inf)


def _standard(image: Floats, core: Mask) -> Floats:
    values = image[core]
    return np.asarray(np.clip((image - values.mean()) / (values.std() + 1e-9), -3, 5))


def _fovea(retina: Retina, disc: Place, eye: Eye) -> Place | None:
    away = -1 if eye == "right" else 1
    column = round(disc[0] + away * FOVEA_DISTANCE)
    left, right = max(column - _FOVEA_REACH, 0), min(column + _FOVEA_REACH, SIDE)
    top, bottom = max(round(disc[1]) - _FOVEA_ABOVE, 0), min(round(disc[1]) + _FOVEA_BELOW, SIDE)
    window = (slice(top, bottom), slice(left, right))
    if right <= left or not retina.inside[window].all():
        return None
    dark = blurred(retina.green, _SPOT, retina.inside) - blurred(retina.green, _SURROUNDINGS, retina.inside)
    row, at = np.unravel_index(dark[window].argmin(), dark[window].shape)
    return left + float(at) + 0.5, top + float(row) + 0.5
