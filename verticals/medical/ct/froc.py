"""Sensitivity for nodules against false positives per scan (FROC), as LUNA16 has it. Ignores what found them.

A mark is a hit if it lies within a nodule's radius of its centre; a second hit of the same nodule is neither hit nor
false positive. CPM: mean sensitivity at 1/8, 1/4, 1/2, 1, 2, 4 and 8 false positives per scan (Setio 2017,
doi:10.1016/j.media.2017.06.015). 95 %: bootstrap over scans.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

RATES = (1 / 8, 1 / 4, 1 / 2, 1.0, 2.0, 4.0, 8.0)
DRAWS = 1000
_MISSED = -np.inf


@dataclass(frozen=True)
class ScanMarks:
    """One scan's marks against its truth.

    Attributes:
        false_scores: Of marks that hit nothing.
        hit_scores: Of each nodule the best mark that hit it; -inf: none did.
        diameters_mm: Of each nodule.
    """

    false_scores: Floats
    hit_scores: Floats
    diameters_mm: Floats


def match(marks_mm: Floats, scores: Floats, centers_mm: Floats, diameters_mm: Floats) -> ScanMarks:
    """Marks, (M, 3), against nodules, (N, 3)."""
    hits = is_hit(marks_mm, centers_mm, diameters_mm)
    best = np.where(hits, scores[:, None], _MISSED).max(axis=0, initial=_MISSED)
    return ScanMarks(scores[~hits.any(axis=1)], best, np.asarray(diameters_mm, dtype=np.float64))


def is_hit(marks_mm: Floats, centers_mm: Floats, diameters_mm: Floats) -> NDArray[np.bool_]:
    """Whether a mark lies within a nodule's radius, (M, N)."""
    away = np.linalg.norm(marks_mm.reshape(-1, 1, 3) - centers_mm.reshape(1, -1, 3), axis=2)
    return np.asarray(away <= np.asarray(diameters_mm).reshape(1, -1) / 2)


def threshold_at(scans: Sequence[ScanMarks], rate: float) -> float:
    """The lowest score above which there are at most `rate` false positives per scan."""
    return float(_thresholds(scans, (rate,))[0])


def _thresholds(scans: Sequence[ScanMarks], rates: Sequence[float]) -> Floats:
    wrong = np.sort(np.concatenate([scan.false_scores for scan in scans]))[::-1]
    allowed = [int(rate * len(scans)) for rate in rates]
    return np.array([wrong[i] if i < len(wrong) else _MISSED for i in allowed])


def sensitivities(scans: Sequence[ScanMarks]) -> Floats:
    """At each of `RATES`, (7,); nan without a nodule."""
    best = np.concatenate([scan.hit_scores for scan in scans])
    if not best.size:
        return np.full(len(RATES), np.nan)
    return np.asarray((best[:, None] > _thresholds(scans, RATES)).mean(axis=0))


def cpm(scans: Sequence[ScanMarks]) -> float:
    """The mean of `sensitivities`."""
    return float(sensitivities(scans).mean())


def of_size(scans: Sequence[ScanMarks], low_mm: float, high_mm: float) -> list[ScanMarks]:
    """The same scans and false positives with the nodules of a range of size alone."""
    kept = [(scan.diameters_mm >= low_mm) & (scan.diameters_mm < high_mm) for scan in scans]
    return [
        ScanMarks(scan.false_scores, scan.hit_scores[keep], scan.diameters_mm[keep])
        for scan, keep in zip(scans, kept, strict=True)
    ]


def with_interval(
    scans: Sequence[ScanMarks], figure: Callable[[Sequence[ScanMarks]], float | Floats], *, draws: int = DRAWS
) -> tuple[Floats, Floats, Floats]:
    """A figure and its 95 % interval: whole scans are drawn again."""
    draw = np.random.default_rng(0)
    again = [figure([scans[i] for i in draw.integers(0, len(scans), len(scans))]) for _ in range(draws)]
    low, high = np.nanpercentile(np.array(again), (2.5, 97.5), axis=0)
    return np.asarray(figure(scans)), np.asarray(low), np.asarray(high)
