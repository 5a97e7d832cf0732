"""Nodules in SYNTHETIC chests: sensitivity at false positives per scan, sizes against the truth, and what is shipped.

    python -m benchmarks.ct froc        sensitivity of our trees, of the core's experts, and of the blob detector alone
    python -m benchmarks.ct sizes       diameter and volume against the truth: bias and limits of agreement
    python -m benchmarks.ct ship        trains on the training chests and writes the packaged model

Chests of other seeds are trained on than tested on. The first command makes them (about ten minutes of one core) and
keeps what was seen of each; nothing was chosen on the test chests. 95 %: bootstrap over chests.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from benchmarks.setting import MODELS, machine
from verticals.medical.ct import froc, model
from verticals.medical.ct.lungs import find_lungs
from verticals.medical.ct.measure import measure
from verticals.medical.ct.phantom import Phantom, make_phantom
from verticals.medical.ct.training import MarkedScan, Observation, observe, train, tree_scorer

TRAIN, TEST = range(50), range(10_000, 10_050)
KEPT = MODELS / "ct"
SIZES_MM = ((3, 4), (4, 6), (6, 8), (8, 20.1))
_SIZED = ("true_mm", "mm", "true_mm3", "mm3", "solid", "pleura")
Floats = NDArray[np.float64]


def marked(chest: Phantom) -> MarkedScan:
    """A chest with its truth as training takes it."""
    centers = np.array([nodule.center_mm for nodule in chest.nodules]).reshape(-1, 3)
    return MarkedScan(chest.volume, centers, np.array([nodule.axes.mean_mm for nodule in chest.nodules]))


def seen(seed: int) -> dict[str, Floats]:
    """What is kept of a chest: its observation, and the measured and true sizes of the nodules that a candidate hit."""
    file = KEPT / f"{seed}.npz"
    if file.is_file():
        with np.load(file) as kept:
            return dict(kept)
    chest = make_phantom(seed)
    made = vars(observe(marked(chest))) | {"sizes": _sizes(chest)}
    KEPT.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(file, **made)
    return made


def _sizes(chest: Phantom) -> Floats:
    """(nodules, `_SIZED`): each measured from its true place on; nan: nothing was measured."""
    lungs = find_lungs(chest.volume)
    rows = []
    for true in chest.nodules:
        index = (np.linalg.inv(chest.volume.affine) @ (*true.center_mm, 1))[:3]
        found = None if lungs is None else measure(chest.volume, lungs.closed, index, true.axes.mean_mm)
        size = (found.axes.mean_mm, found.volume_mm3) if found else (np.nan, np.nan)
        kind = (float(true.density == "solid"), float(true.place == "pleura"))
        rows.append((true.axes.mean_mm, size[0], true.volume_mm3, size[1], *kind))
    return np.array(rows).reshape(-1, len(_SIZED))


def observations(seeds: Iterable[int]) -> list[Observation]:
    """Of each chest."""
    return [Observation(**{name: value for name, value in seen(seed).items() if name != "sizes"}) for seed in seeds]


if __name__ == "__main__":
    from itertools import zip_longest
    for s in [x for p in zip(TRAIN, TEST) for x in p]:
        t = time.process_time()
        m = seen(s)
        print(s, round(time.process_time() - t, 1), flush=True)
