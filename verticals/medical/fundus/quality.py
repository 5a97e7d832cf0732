"""Is a fundus photograph good enough to read? Field, exposure, sharpness, evenness, noise. Ignores what it shows.

Each measure has a limit chosen by hand, tried on DRIVE and ten photographs of DIARETDB1, spoilt on purpose; no weights.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from verticals.medical.fundus.picture import DIAMETER, Colour, Floats, Mask, Retina, blurred, find_field, to_retina
from verticals.medical.quality import Limit, judge, summary
from verticals.medical.schemas import Quality, QualityCheck

LIMITS: dict[str, Limit] = {
    "field size": Limit(400, 200, "{value:.0f} pixels across the field"),
    "field seen": Limit(0.75, 0.60, "{value:.0%} of the field's circle lies in the photograph"),
    "darkness": Limit(0.20, 0.08, "median brightness of the field {value:.2f}"),
    "glare": Limit(0.05, 0.25, "{value:.1%} of the field is overexposed"),
    "contrast": Limit(0.012, 0.006, "vessels stand out by {value:.3f}"),
    "sharpness": Limit(0.385, 0.35, "detail changes over 1 pixel by {value:.2f} of what it changes over 3"),
    "noise": Limit(0.012, 0.030, "noise is {value:.3f} of full brightness"),
    "shadow": Limit(0.08, 0.30, "{value:.0%} of the field is in the dark"),
}


def grade_photograph(photograph: Colour, *, warnings: list[str] | None = None) -> Quality:
    """Verdict and reasons; without a round field there is nothing to measure, and it is rejected."""
    field = find_field(photograph)
    if field is None:
        return summary([judge("field seen", 0.0, LIMITS["field seen"])], warnings)
    return summary(assess(to_retina(photograph, field)), warnings)


def assess(retina: Retina) -> list[QualityCheck]:
    """One check for each limit."""
    measured = measure(retina)
    return [judge(name, measured[name], limit) for name, limit in LIMITS.items()]


def measure(retina: Retina) -> dict[str, float]:
    """The measures, by name."""
    inside = np.asarray(ndimage.binary_erosion(retina.inside, iterations=6))
    light = retina.rgb.max(-1)[inside]
    green = retina.green
    noise = _noise(green, inside)
    return {
        "field size": 2 * retina.field.radius,
        "field seen": float(retina.inside.sum() / (np.pi * DIAMETER**2 / 4)),
        "darkness": float(np.median(light)),
        "glare": float((green[inside] > 0.90).mean()),
        "contrast": _detail(green, inside, 1.6, 4.0),
        "sharpness": _sharpness(green, inside, noise),
        "noise": noise,
        "shadow": _shadow(retina, inside),
    }


def _detail(green: Floats, inside: Mask, low: float, high: float) -> float:
    """Root mean square of what lies between two Gaussians, relative to local brightness."""
    band = blurred(green, low, inside) - blurred(green, high, inside)
    return float(np.sqrt(np.mean((band / (blurred(green, 12, inside) + 0.05))[inside] ** 2)))


def _noise(green: Floats, inside: Mask) -> float:
    """Standard deviation of white noise (Immerkaer 1996), by the median, so that vessels do not count."""
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]])
    return float(np.median(np.abs(ndimage.convolve(green, kernel))[inside]) / (6 * 0.6745))


def _sharpness(green: Floats, inside: Mask, noise: float) -> float:
    """Change over 1 pixel as a share of change over 3, along the worse axis: a third where only slow ones are left."""
    worst = 1.0
    for image, mask in ((green, inside), (green.T, inside.T)):
        near, far = (
            float(np.mean((image[:, lag:] - image[:, :-lag])[mask[:, lag:] & mask[:, :-lag]] ** 2)) - 2 * noise**2
            for lag in (1, 3)
        )
        worst = min(worst, float(np.sqrt(max(near, 0.0) / max(far, 1e-9))))
    return worst


def _shadow(retina: Retina, inside: Mask) -> float:
    """Share of the field that has less than a fifth of the light of its bright parts."""
    wide = blurred(retina.rgb[..., :2].mean(-1), 15, retina.inside)[inside]
    return float((wide < 0.2 * np.quantile(wide, 0.95)).mean())
