"""Is the image good enough to read? Six measured checks with stated limits per modality, and learned defects.

Defects are scored by a model of the modality, where there is one (`defects.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from verticals.medical.schemas import Quality, QualityCheck, QualityVerdict

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Limit:
    """Where a measure starts to warn and to reject. Chosen by hand, tried on phantoms; not validated."""

    warn_at: float
    reject_at: float
    says: str

    @property
    def higher_is_better(self) -> bool:
        return self.warn_at > self.reject_at


_SIZE = "{value:.0f} pixels on the shorter side"
_BLANK = "{value:.0%} of the pixels hold one value"
_LEVELS = "{value:.0f} grey levels between the 1st and 99th percentile"
_CLIP = "{value:.1%} of the pixels are at the brightest value"
_SHARP = "sharpness {value:.2f} (1 minus Crete's blur)"
_NOISE = "noise is {value:.1%} of the range of values"

_PROJECTION = {
    "size": Limit(512, 128, _SIZE),
    "blank": Limit(0.60, 0.95, _BLANK),
    "contrast": Limit(64, 16, _LEVELS),
    "clipping": Limit(0.05, 0.30, _CLIP),
    "sharpness": Limit(0.30, 0.15, _SHARP),
    "noise": Limit(0.05, 0.15, _NOISE),
}
# From .5 on, 2 % of good images would warn too, by defect; what was learned never rejects by itself.
DEFECT = Limit(0.5, 1.01, "a score of {value:.2f} that the image is spoilt so")
LIMITS: dict[str, dict[str, Limit]] = {
    "CR": _PROJECTION,
    "DX": _PROJECTION,
    "CT": _PROJECTION | {"size": Limit(256, 64, _SIZE), "blank": Limit(0.70, 0.95, _BLANK)},
    "MR": _PROJECTION | {"size": Limit(128, 48, _SIZE), "blank": Limit(0.70, 0.95, _BLANK)},
    "OP": _PROJECTION,  # grey ones, such as angiograms; those in colour have limits of their own
}


def assess(
    frame: Array,
    modality: str,
    *,
    inverted: bool = False,
    warnings: list[str] | None = None,
    defects: Mapping[str, float] | None = None,
) -> Quality:
    """Measure one frame of stored values, (rows, columns), padding included.

    Args:
        inverted: MONOCHROME1, where the lowest value is the brightest.
        warnings: Told by earlier steps; they make the verdict at least "warn".
        defects: Score by defect, 0-1, of a model for such images.
    """
    measured = measure(-frame.astype(np.float64) if inverted else frame.astype(np.float64))
    learned = {f"{name} (learned)": value for name, value in (defects or {}).items()}
    limits = LIMITS[modality] | dict.fromkeys(learned, DEFECT)
    measured |= learned
    return summary([judge(name, measured[name], limit) for name, limit in limits.items()], warnings)


def summary(checks: list[QualityCheck], warnings: list[str] | None = None) -> Quality:
    """The worst verdict of the checks, and its reasons."""
    told = [check.reason for check in checks if check.verdict != "accept"] + (warnings or [])
    order: tuple[QualityVerdict, ...] = ("reject", "warn", "accept")
    verdicts: list[QualityVerdict] = [c.verdict for c in checks] + (["warn"] if warnings else [])
    return Quality(
        verdict=min(verdicts, key=order.index),
        score=min(score(c.value, Limit(c.warn_at, c.reject_at, "")) for c in checks),
        reasons=told,
        checks=checks,
    )


def measure(frame: Array) -> dict[str, float]:
    """The six measures of one frame in float64, brightest value highest."""
    low, high = np.percentile(frame, (1, 99))
    levels, counts = np.unique(frame, return_counts=True)
    spread = float(high - low)
    scaled = np.clip((frame - low) / spread, 0, 1) if spread else np.zeros_like(frame)
    return {
        "size": float(min(frame.shape)),
        "blank": float(counts.max() / frame.size),
        "contrast": float(np.count_nonzero((levels >= low) & (levels <= high))),
        "clipping": float(counts[-1] / frame.size),
        "sharpness": 1 - blur(scaled),
        "noise": noise_sigma(scaled),
    }


def blur(image: Array) -> float:
    """Perceptual blur, 0 sharp to 1 blurred: how little blurring again changes (Crete 2007, doi:10.1117/12.702790)."""
    worst = 0.0
    for axis in (0, 1):
        again = box_mean(image, 9, axis)
        before, after = (np.abs(np.diff(x, axis=axis)) for x in (image, again))
        total = float(before.sum())
        worst = max(worst, 1.0 if total == 0 else 1 - float(np.maximum(before - after, 0).sum()) / total)
    return worst


def box_mean(image: Array, width: int, axis: int) -> Array:
    """Mean over `width` pixels along `axis`, edges repeated."""
    pad = [(0, 0), (0, 0)]
    pad[axis] = (width // 2 + 1, width // 2)
    sums = np.cumsum(np.pad(image, pad, mode="edge"), axis=axis)
    n = image.shape[axis]
    return np.asarray((np.take(sums, range(width, width + n), axis) - np.take(sums, range(n), axis)) / width)


def noise_sigma(image: Array) -> float:
    """Standard deviation of the noise (Immerkaer 1996, doi:10.1006/cviu.1996.0060); the median leaves edges out."""
    if min(image.shape) < 3:
        return 0.0
    x = image
    laplacian = (
        x[:-2, :-2]
        + x[:-2, 2:]
        + x[2:, :-2]
        + x[2:, 2:]
        - 2 * (x[:-2, 1:-1] + x[2:, 1:-1] + x[1:-1, :-2] + x[1:-1, 2:])
    ) + 4 * x[1:-1, 1:-1]
    return float(np.median(np.abs(laplacian)) / 0.6745 / 6)


def judge(name: str, value: float, limit: Limit) -> QualityCheck:
    """A measured value beside its limit, and the sentence that says so; a value at a limit is still within it."""
    sign = 1 if limit.higher_is_better else -1
    verdict: QualityVerdict = "accept"
    if sign * value < sign * limit.reject_at:
        verdict = "reject"
    elif sign * value < sign * limit.warn_at:
        verdict = "warn"
    edge = (
        "" if verdict == "accept" else f"; {verdict} at {limit.reject_at if verdict == 'reject' else limit.warn_at:g}"
    )
    return QualityCheck(
        name=name,
        value=value,
        warn_at=limit.warn_at,
        reject_at=limit.reject_at,
        higher_is_better=limit.higher_is_better,
        verdict=verdict,
        reason=f"{name.capitalize()}: {limit.says.format(value=value)}{edge}.",
    )


def score(value: float, limit: Limit) -> float:
    """0 at the reject limit, 0.5 at the warn limit, 1 as far beyond it again."""
    return float(np.clip(0.5 * (value - limit.reject_at) / (limit.warn_at - limit.reject_at), 0, 1))
