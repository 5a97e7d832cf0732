"""Learns to tell nodules from other blobs, from scans whose nodules are marked. Ignores where scans come from.

Trees (LightGBM, one setting, one thread, one seed: the same scans give the same trees) over `features`. Figures are of
scans held out in turn; the level above which a candidate is shown is theirs too. Shapes as in `features.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from verticals.contract import InvalidInput, Progress
from verticals.medical.ct import froc
from verticals.medical.ct.candidates import TISSUE_HU, find_blobs, mark_reach_mm, strongest
from verticals.medical.ct.features import NAMES, features
from verticals.medical.ct.first_look import NAMES as LOOK_NAMES
from verticals.medical.ct.first_look import find_candidates, looks
from verticals.medical.ct.lungs import find_lungs
from verticals.medical.ct.model import NoduleModel, to_files
from verticals.medical.series import Volume
from verticals.origin import sha256_of_arrays

if TYPE_CHECKING:
    import lightgbm as lgb

Floats = NDArray[np.float64]

FOLDS = 5
ROUNDS = 250
FIRST_ROUNDS = 150
SHOWN_RATE = 1.0  # false positives per held-out scan among the candidates that are shown
LEAST_NODULES = 10
NODULE_WEIGHT = 10.0  # of a nodule's candidates together; another candidate weighs 1
PARAMS: Mapping[str, Any] = {
    "objective": "binary",
    "learning_rate": 0.05,
    "num_leaves": 15,
    "min_data_in_leaf": 8,
    "feature_fraction": 0.6,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 2.0,
    "seed": 1,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbose": -1,
}
Scorer = Callable[[Floats], Floats]  # (C, F) to (C,)


@dataclass(frozen=True)
class MarkedScan:
    """A scan and its nodules: centres in patient coordinates, (N, 3), mm; diameters, (N,), mm."""

    volume: Volume
    centers_mm: Floats
    diameters_mm: Floats


@dataclass(frozen=True)
class Observation:
    """What training keeps of a scan.

    Attributes:
        features_CF: Of the candidates.
        places_mm: Theirs, (C, 3), patient coordinates.
        blobs_mm: Of every blob, (B, 3), and
        responses_B: its answer: the baseline.
        sizes_C, sizes_B: Diameters of candidates and blobs by their scale, mm.
        centers_mm, diameters_mm: Of the nodules.
    """

    features_CF: Floats
    places_mm: Floats
    sizes_C: Floats
    blobs_mm: Floats
    responses_B: Floats
    sizes_B: Floats
    centers_mm: Floats
    diameters_mm: Floats

    @property
    def labels(self) -> Floats:
        """1 where a candidate hits a nodule, (C,)."""
        hits = froc.is_hit(self.places_mm, self.centers_mm, self.diameters_mm)
        return np.asarray(hits.any(axis=1), dtype=np.float64)

    @property
    def weights(self) -> Floats:
        """What each candidate counts for in training, (C,): every nodule alike, however many lie in it."""
        return _weights(froc.is_hit(self.places_mm, self.centers_mm, self.diameters_mm))

    def marks(self, scores: Floats) -> froc.ScanMarks:
        """The candidates with these scores against the truth."""
        return self._match(self.places_mm, scores, self.sizes_C)

    @property
    def blob_marks(self) -> froc.ScanMarks:
        """The blob detector alone against the truth."""
        return self._match(self.blobs_mm, self.responses_B, self.sizes_B)

    def _match(self, places_mm: Floats, scores: Floats, sizes_mm: Floats) -> froc.ScanMarks:
        rows = strongest(places_mm, scores, mark_reach_mm(sizes_mm))
        return froc.match(places_mm[rows], scores[rows], self.centers_mm, self.diameters_mm)


def observe(scan: MarkedScan) -> Observation:
    """Candidates of a scan and what is measured around them; none where no lung is found."""
    lungs = find_lungs(scan.volume)
    found = [] if lungs is None else find_candidates(scan.volume, lungs.closed)
    alone = [] if lungs is None else find_blobs(scan.volume, lungs.closed, TISSUE_HU)
    return Observation(
        features_CF=np.zeros((0, len(NAMES))) if lungs is None else features(scan.volume, lungs.closed, found),
        places_mm=to_patient(scan.volume, [each.index for each in found]),
        sizes_C=np.array([each.diameter_mm for each in found]),
        blobs_mm=to_patient(scan.volume, [each.index for each in alone]),
        responses_B=np.array([each.response_hu for each in alone]),
        sizes_B=np.array([each.diameter_mm for each in alone]),
        centers_mm=np.asarray(scan.centers_mm, dtype=np.float64).reshape(-1, 3),
        diameters_mm=np.asarray(scan.diameters_mm, dtype=np.float64),
    )


def to_patient(volume: Volume, index: Sequence[tuple[float, float, float]]) -> Floats:
    """(slice, row, column) to (x, y, z) in mm, (n, 3)."""
    places = np.array(index, dtype=np.float64).reshape(-1, 3)
    return np.asarray(places @ volume.affine[:3, :3].T + volume.affine[:3, 3])


def fit_trees(scans: Sequence[Observation]) -> lgb.Booster:
    """Trees of all candidates of these scans."""
    rows = np.concatenate([scan.features_CF for scan in scans])
    labels = np.concatenate([scan.labels for scan in scans])
    return _trees(rows, labels, np.concatenate([scan.weights for scan in scans]), NAMES, ROUNDS)


def fit_first_look(scans: Iterable[MarkedScan]) -> lgb.Booster:
    """Trees of all blobs of these scans, for `first_look.FILE`."""
    rows, hits = [], []
    for scan in scans:
        lungs = find_lungs(scan.volume)
        blobs = [] if lungs is None else find_blobs(scan.volume, lungs.closed)
        places_mm = to_patient(scan.volume, [blob.index for blob in blobs])
        rows.append(looks(blobs))
        hits.append(froc.is_hit(places_mm, scan.centers_mm, scan.diameters_mm))
    labels = np.concatenate([each.any(axis=1) for each in hits]).astype(np.float64)
    return _trees(
        np.concatenate(rows), labels, np.concatenate([_weights(each) for each in hits]), LOOK_NAMES, FIRST_ROUNDS
    )


def _weights(hits_CN: NDArray[np.bool_]) -> Floats:
    """Of candidates by which nodules they hit, (C,)."""
    share = (hits_CN * NODULE_WEIGHT / np.maximum(hits_CN.sum(axis=0), 1)).max(axis=1, initial=0)
    return np.where(hits_CN.any(axis=1), share, 1.0)


def _trees(rows_CF: Floats, labels: Floats, weights: Floats, names: Sequence[str], rounds: int) -> lgb.Booster:
    import lightgbm as lgb

    data = lgb.Dataset(rows_CF, labels, weight=weights, feature_name=list(names))
    return lgb.train(dict(PARAMS), data, num_boost_round=rounds)


def tree_scorer(scans: Sequence[Observation]) -> Scorer:
    """Trees as a function."""
    return NoduleModel(fit_trees(scans), threshold=-np.inf).scores


def held_out(
    scans: Sequence[Observation], fit: Callable[[Sequence[Observation]], Scorer] = tree_scorer
) -> list[froc.ScanMarks]:
    """Marks of each scan by what learned from the other folds' scans."""
    made: dict[int, froc.ScanMarks] = {}
    for fold in range(FOLDS):
        out = range(fold, len(scans), FOLDS)
        score = fit([scan for i, scan in enumerate(scans) if i % FOLDS != fold])
        made |= {i: scans[i].marks(score(scans[i].features_CF)) for i in out}
    return [made[i] for i in range(len(scans))]


def train(
    scans: Sequence[Observation], progress: Progress, *, trained_on: str, licence: str
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """(files, card) of a model that learned from these scans.

    Raises:
        InvalidInput: fewer than `LEAST_NODULES` nodules were hit by a candidate, or fewer scans than folds.
    """
    hit = int(sum(scan.labels.sum() > 0 for scan in scans))
    num_nodules = sum(len(scan.diameters_mm) for scan in scans)
    if len(scans) < FOLDS or hit < FOLDS or num_nodules < LEAST_NODULES:
        raise InvalidInput(
            f"must hold at least {FOLDS} scans with a nodule that can be found, and {LEAST_NODULES} nodules",
            field="DIR",
            value=f"{len(scans)} scans, {num_nodules} nodules",
        )
    progress("Held-out figures", 0.0)
    marks = held_out(scans)
    figure, low, high = froc.with_interval(marks, froc.cpm, draws=200)
    blob, blob_low, blob_high = froc.with_interval([scan.blob_marks for scan in scans], froc.cpm, draws=200)
    progress("Training", 0.8)
    trees = fit_trees(scans)
    card = {
        "trained_on": trained_on,
        "data": {
            "candidates and labels": sha256_of_arrays(a for scan in scans for a in (scan.features_CF, scan.labels))
        },
        "command": "trivium medical train-nodules DIR",
        "licence": licence,
        "recipe": f"LightGBM, {ROUNDS} trees of {PARAMS['num_leaves']} leaves over {len(NAMES)} features, seed 1",
        "metrics": {
            "cpm_held_out": [float(figure), float(low), float(high)],
            "cpm_blobs_alone": [float(blob), float(blob_low), float(blob_high)],
        },
        "limits": "Never validated on patients. It learned of these scans alone; what it does not mark may be there.",
    }
    facts = {"threshold": froc.threshold_at(marks, SHOWN_RATE), "shown_rate": SHOWN_RATE, "features": list(NAMES)}
    return to_files(trees, facts), card
