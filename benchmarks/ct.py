"""Nodules in SYNTHETIC chests: sensitivity at false positives per scan, sizes against the truth, and what is shipped.

    python -m benchmarks.ct froc        sensitivity of our trees, of the core's experts, and of the blob detector alone
    python -m benchmarks.ct sizes       diameter and volume against the truth: bias and limits of agreement
    python -m benchmarks.ct chosen      the same as the first on the chests that choices were made on
    python -m benchmarks.ct ship        trains on the training chests and writes the packaged model

Chests of other seeds are trained on than tested on, and hold more nodules than those, that there is more to learn from;
those tested on hold 0 to 7. The first command makes them and keeps what was seen of each; nothing was chosen on the
test chests, of which half had been read once before by another model. 95 %: bootstrap over chests.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import sys
import tempfile
import time
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.ct_experts import expert_scorer
from benchmarks.lineage import record
from benchmarks.setting import MODELS, machine
from verticals.medical.ct import candidates, features, first_look, froc, lungs, measure, model, phantom, spheres
from verticals.medical.ct.training import (
    MarkedScan,
    Observation,
    Scorer,
    fit_first_look,
    observe,
    train,
    tree_scorer,
)

FIRST, TRAIN = range(20), range(66)  # of the trees that look first, and of those that judge
CHOSEN = range(30_000, 30_018)  # choices were made on these
READ_BEFORE, NEW = range(10_000, 10_032), range(10_032, 10_064)
TEST = range(READ_BEFORE.start, NEW.stop)
NODULES = {**dict.fromkeys(TRAIN, 20), **dict.fromkeys(CHOSEN, 7)}  # of other chests as many as are drawn
KEPT = MODELS / "ct"  # one folder below for each version of what looks
SIZES_MM = ((3, 4), (4, 6), (6, 8), (8, 20.1))
_SIZED = ("true_mm", "mm", "true_mm3", "mm3", "solid", "pleura")
Floats = NDArray[np.float64]


def marked(chest: phantom.Phantom) -> MarkedScan:
    """A chest with its truth as training takes it."""
    centers = np.array([nodule.center_mm for nodule in chest.nodules]).reshape(-1, 3)
    return MarkedScan(chest.volume, centers, np.array([nodule.axes.mean_mm for nodule in chest.nodules]))


def seen(seed: int) -> dict[str, Floats]:
    """What is kept of a chest: its observation, and its nodules' sizes."""
    file = kept_folder() / f"{seed}.npz"
    if file.is_file():
        with np.load(file) as kept:
            return dict(kept)
    chest = phantom.make_phantom(seed, num_nodules=NODULES.get(seed))
    made = vars(observe(marked(chest))) | ({"sizes": _sizes(chest)} if seed not in TRAIN else {})
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=file.parent, suffix=".npz", delete=False) as part:
        np.savez_compressed(part, **made)
    Path(part.name).rename(file)
    return made


@cache
def kept_folder() -> Path:
    """Of this version of phantom, lungs, candidates, features and measure."""
    looks = (phantom, lungs, candidates, first_look, spheres, features, measure)
    read = "".join(inspect.getsource(part) for part in looks) + first_look.FILE.read_text("utf-8")
    return KEPT / hashlib.sha256(read.encode()).hexdigest()[:10]


def _sizes(chest: phantom.Phantom) -> Floats:
    """(nodules, `_SIZED`): each measured from its true place on; nan: nothing was measured."""
    both = lungs.find_lungs(chest.volume)
    rows = []
    for true in chest.nodules:
        index = (np.linalg.inv(chest.volume.affine) @ (*true.center_mm, 1))[:3]
        found = None if both is None else measure.measure(chest.volume, both.closed, index, true.axes.mean_mm)
        size = (found.axes.mean_mm, found.volume_mm3) if found else (np.nan, np.nan)
        kind = (float(true.density == "solid"), float(true.place == "pleura"))
        rows.append((true.axes.mean_mm, size[0], true.volume_mm3, size[1], *kind))
    return np.array(rows).reshape(-1, len(_SIZED))


def observations(seeds: Iterable[int]) -> list[Observation]:
    """Of each chest."""
    return [Observation(**{name: value for name, value in seen(seed).items() if name != "sizes"}) for seed in seeds]


def show(name: str, scans: list[froc.ScanMarks]) -> None:
    """A row of the table: sensitivity at each rate, and the CPM with its interval."""
    rates = " | ".join(f"{value:.3f}" for value in froc.sensitivities(scans))
    value, low, high = froc.with_interval(scans, froc.cpm)
    print(f"| {name} | {rates} | {value:.3f} [{low:.3f}, {high:.3f}] |")


def run_froc() -> None:
    """Each detector on the chests that were read before, on new ones, and on all."""
    scorers = _scorers()
    for name, seeds in (("read before", READ_BEFORE), ("new", NEW), ("all", TEST)):
        print(f"\n{name}: seeds {seeds.start}-{seeds.stop - 1}")
        _table(scorers, seeds)


def run_chosen() -> None:
    """Each detector on the chests that choices were made on."""
    _table(_scorers(), CHOSEN)


def _scorers() -> dict[str, Scorer]:
    learned = observations(TRAIN)
    print(f"{len(TRAIN)} chests trained on with {sum(len(o.diameters_mm) for o in learned)} nodules")
    return {"core's experts": expert_scorer(learned), "trees (shipped)": tree_scorer(learned)}


def _table(scorers: dict[str, Scorer], seeds: range) -> None:
    """Sensitivity at 1/8 to 8 false positives per scan of each detector, and of ours by size, density and place."""
    tested = observations(seeds)
    print(f"{len(tested)} chests, {sum(len(o.diameters_mm) for o in tested)} nodules")
    print(f"| | {' | '.join(f'{rate:g}' for rate in froc.RATES)} | CPM [95 %] |\n|---|{'---|' * 8}")
    show("blob detector alone", [one.blob_marks for one in tested])
    made = {name: [one.marks(score(one.features_CF)) for one in tested] for name, score in scorers.items()}
    for name, marks in made.items():
        show(name, marks)
    ours = made["trees (shipped)"]
    for low, high in SIZES_MM:
        show(f"trees, {low} to {int(high)} mm", froc.of_size(ours, low, high))
    kinds = [seen(seed)["sizes"] for seed in seeds]
    for name, column, wanted in (("solid", 4, 1), ("ground glass", 4, 0), ("at the pleura", 5, 1)):
        kept = [kind[:, column] == wanted for kind in kinds]
        parts = [
            froc.ScanMarks(m.false_scores, m.hit_scores[k], m.diameters_mm[k]) for m, k in zip(ours, kept, strict=True)
        ]
        show(f"trees, {name}", parts)
    for name, others in (("blobs", [one.blob_marks for one in tested]), ("experts", made["core's experts"])):
        gain, least, most = _difference(ours, others)
        print(f"trees less {name}: CPM {gain:+.3f} [{least:+.3f}, {most:+.3f}]")
    held = np.concatenate([marks.hit_scores > -np.inf for marks in ours])
    print(f"a candidate lies in {held.mean():.3f} of the nodules: no ranking can find more")


def _difference(ours: list[froc.ScanMarks], others: list[froc.ScanMarks]) -> tuple[float, float, float]:
    """CPM less the other's, chests drawn in pairs."""
    draw, again = np.random.default_rng(0), []
    for _ in range(froc.DRAWS):
        rows = draw.integers(0, len(ours), len(ours))
        again.append(froc.cpm([ours[i] for i in rows]) - froc.cpm([others[i] for i in rows]))
    low, high = np.percentile(again, (2.5, 97.5))
    return froc.cpm(ours) - froc.cpm(others), float(low), float(high)


def run_sizes() -> None:
    """Bias and 95 % limits of agreement of diameter and volume with the truth, test chests (Bland and Altman 1986)."""
    rows = np.concatenate([seen(seed)["sizes"] for seed in TEST])
    measured = rows[np.isfinite(rows[:, 1])]
    print(f"measured {len(measured)} of {len(rows)}; error of the mean diameter in mm, of the volume in % of the truth")
    groups = {"all": slice(None), "solid": measured[:, 4] == 1, "ground glass": measured[:, 4] == 0}
    groups |= {"in the open or at a vessel": measured[:, 5] == 0, "at the pleura": measured[:, 5] == 1}
    groups |= {f"{low} to {int(high)} mm": (measured[:, 0] >= low) & (measured[:, 0] < high) for low, high in SIZES_MM}
    print("| | nodules | diameter: bias, limits (mm) | volume: bias, limits (%) |\n|---|---|---|---|")
    for name, rows_of in groups.items():
        part = measured[rows_of]
        diameter, volume = part[:, 1] - part[:, 0], 100 * (part[:, 3] / part[:, 2] - 1)
        print(f"| {name} | {len(part)} | {_agreement(diameter)} | {_agreement(volume)} |")


def _agreement(error: Floats) -> str:
    bias, spread = float(error.mean()), 1.96 * float(error.std(ddof=1))
    return f"{bias:+.2f}, {bias - spread:+.2f} to {bias + spread:+.2f}"


def run_ship() -> None:
    """Trains on the training chests and writes the packaged model with its card and figures of the test chests."""
    first = fit_first_look(marked(phantom.make_phantom(seed, num_nodules=NODULES[seed])) for seed in FIRST)
    first_look.FILE.write_bytes(first_look.to_file(first))
    learned, tested = observations(TRAIN), observations(TEST)
    files, card = train(learned, lambda *_: None, trained_on="", licence="Apache-2.0")
    score = tree_scorer(learned)
    marks = [one.marks(score(one.features_CF)) for one in tested]
    figure, low, high = (float(value) for value in froc.with_interval(marks, froc.cpm))
    num_nodules = sum(len(one.diameters_mm) for one in learned)
    card |= {
        "name": model.NAME,
        "trained_on": f"SYNTHETIC: {len(learned)} chests with {num_nodules} nodules, verticals/medical/ct/phantom.py, "
        f"seeds {TRAIN.start}-{TRAIN.stop - 1}; first look: seeds {FIRST.start}-{FIRST.stop - 1}",
        "recipe": f"{card['recipe']}; python -m benchmarks.ct ship",
        "measured_on": f"SYNTHETIC: {len(tested)} chests, seeds {TEST.start}-{TEST.stop - 1}; 95 % over chests",
        "use": "Research software, not a medical device.",
        "limits": "Research model, trained on synthetic phantoms only; not validated on patients. It has never seen a "
        "real lung: no emphysema, fibrosis, consolidation, effusion, motion, contrast, metal or real airways. Solid "
        "and ground-glass nodules of 3 to 20 mm; part-solid ones were never drawn. Its score is no probability. "
        "What it does not mark may be there.",
    }
    card["metrics"] |= {"cpm": [figure, low, high]}
    files[model.CARD] = (json.dumps(card, indent=2) + "\n").encode()
    for name, content in files.items():
        (model.FOLDER / name).write_bytes(content)
    record("verticals/medical/ct/card.json")
    for name, content in files.items():
        print(f"{name}: {len(content):,} bytes")


COMMANDS = {"froc": run_froc, "chosen": run_chosen, "sizes": run_sizes, "ship": run_ship}


def main() -> None:
    """Run one command."""
    if len(sys.argv) != 2 or sys.argv[1] not in COMMANDS:
        sys.exit(f"WHAT: must be one of {', '.join(COMMANDS)}.")
    start = time.process_time()
    COMMANDS[sys.argv[1]]()
    print(f"SYNTHETIC chests. {time.process_time() - start:.0f} s of processor time; {machine()}")


if __name__ == "__main__":
    main()
