"""The gate for images unlike chest films: AUROC against eleven kinds of others, none of which it was fitted on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.films_data import Floats, medical_data, read_grey
from benchmarks.films_figures import told
from benchmarks.films_models import SIZE, loaded, pretrained
from core_model.weights import Weights
from verticals.bootstrap import bootstrap_interval
from verticals.medical.chest.heads import FilmHeads
from verticals.medical.chest.model import gate_features, look
from verticals.medical.ranking import auc
from verticals.medical.uncertainty import Gate
from verticals.medical.vision.pictures import to_picture
from verticals.medical.vision.tower import Tower

ACCEPTED = 0.98
NUM_OF_A_KIND = 60
Grey = NDArray[np.uint8]
Distances = NDArray[np.floating[Any]]


def features(tower: Tower, images: list[Grey]) -> Floats:
    """What the gate measures."""
    pictures = np.stack([to_picture(image, SIZE.side) for image in images])
    return gate_features(look(tower, pictures), pictures)


def doubt(tower: Tower, heads: FilmHeads, images: list[Grey]) -> Floats:
    """The baseline: how near the scores are to neither answer, mean of the kinds (Hendrycks 2017, arXiv:1610.02136)."""
    pictures = np.stack([to_picture(image, SIZE.side) for image in images])
    prob_NK = np.clip(heads.scores(look(tower, pictures)), 0, 1)
    return np.asarray(1 - np.maximum(prob_NK, 1 - prob_NK).mean(1), np.float64)


def others(films: list[Grey]) -> dict[str, list[Grey]]:
    """Images that are no upright frontal chest films, by kind."""
    data, draw = medical_data(), np.random.default_rng(0)
    covid = pd.read_csv(data / "covid-chestxray" / "metadata.csv")
    lateral = _covid(data, covid[covid["view"] == "L"]["filename"])
    slices = _covid(data, covid[covid["modality"] == "CT"]["filename"])
    smooth = [_scaled(_smooth(draw)) for _ in range(NUM_OF_A_KIND)]
    return {
        "fundus photograph (DRIVE)": _images(sorted((data / "drive").rglob("*.jpg"))),
        "fundus photograph (DIARETDB1)": _images(sorted((data / "diaretdb1").glob("*.jpg"))),
        "brain MR": _images(sorted((data / "brain-tumour-types" / "images").rglob("*.*"))),
        "CT crop of a nodule": _images(sorted((data / "lidc-nodule-compact" / "images").rglob("*.png"))),
        "chest CT slice": slices,
        "lateral chest film": lateral,
        "photograph": photographs(draw),
        "white noise": [draw.integers(0, 256, (128, 128)).astype(np.uint8) for _ in range(NUM_OF_A_KIND)],
        "smooth noise": smooth,
        "film lying on its side": [np.ascontiguousarray(np.rot90(film)) for film in films],
        "film upside down": [np.ascontiguousarray(film[::-1]) for film in films],
        "film inverted": [255 - film for film in films],
    }


def photographs(draw: np.random.Generator) -> list[Grey]:
    """Pieces of the two photographs that scikit-learn holds."""
    from sklearn.datasets import load_sample_images

    whole = [np.asarray(image.mean(-1), np.uint8) for image in load_sample_images().images]
    made = []
    for i in range(NUM_OF_A_KIND):
        image = whole[i % len(whole)]
        side = int(draw.integers(150, min(image.shape)))
        top, left = (int(draw.integers(0, size - side)) for size in image.shape)
        made.append(image[top : top + side, left : left + side])
    return made


def _smooth(draw: np.random.Generator) -> Floats:
    spectrum = np.fft.rfft2(draw.normal(size=(128, 128)))
    frequency = np.hypot(np.fft.fftfreq(128)[:, None], np.fft.rfftfreq(128)[None])
    return np.asarray(np.fft.irfft2(spectrum / (frequency + 0.01) ** 1.5))


def _scaled(image: Floats) -> Grey:
    low, high = image.min(), image.max()
    return np.asarray((image - low) / (high - low) * 255, np.uint8)


def _images(paths: list[Path]) -> list[Grey]:
    step = max(1, len(paths) // NUM_OF_A_KIND)
    return [read_grey(path) for path in paths[::step][:NUM_OF_A_KIND]]


def _covid(data: Path, names: pd.Series) -> list[Grey]:
    folder = data / "covid-chestxray" / "images"
    files = {path.stem: path for path in folder.iterdir()}
    found = [files[Path(str(name)).stem] for name in names if Path(str(name)).stem in files]
    return _images(found)


def main() -> None:
    """Print each kind's AUROC and the share that the gate stops; half of the kinds change nothing, for it saw none."""
    (films, _, said), tower = loaded(), Tower(SIZE, Weights(pretrained(), precision="int8"))
    train_rows, rows = films.folds[0]
    gate = Gate.fit(features(tower, [films.grey[row] for row in train_rows]), accepted=ACCEPTED)
    heads = said.heads[0]
    known = [films.grey[row] for row in rows]
    large = [films.grey[row] for row in rows if films.set_N[row] == 0][:NUM_OF_A_KIND]
    near, baseline = gate.distance(features(tower, known)), doubt(tower, heads, known)
    print(f"{len(known)} held-out films: {(near <= gate.limit).mean():.3f} pass (set for {ACCEPTED})")
    far_all, doubt_all = [], []
    for kind, images in others(large).items():
        far, unsure = gate.distance(features(tower, images)), doubt(tower, heads, images)
        far_all.append(far)
        doubt_all.append(unsure)
        stopped = (far > gate.limit).mean()
        print(f"  {kind:30s} n {len(images):3d}  AUROC {_auroc(near, far)}  stopped {stopped:.3f}")
    print(f"  all, gate      AUROC {_auroc(near, np.concatenate(far_all))}")
    print(f"  all, baseline  AUROC {_auroc(baseline, np.concatenate(doubt_all))}")
    _print_other_hospitals(tower, gate, near)


def _print_other_hospitals(tower: Tower, gate: Gate, near: Distances) -> None:
    """Frontal films as published by others: like ours or not, the gate decides."""
    data = medical_data()
    table = pd.read_csv(data / "covid-chestxray" / "metadata.csv")
    frontal = _covid(data, table[table["view"].isin(["PA", "AP", "AP Supine"])]["filename"])
    far = gate.distance(features(tower, frontal))
    passing = (far <= gate.limit).mean()
    print(f"  frontal films of covid-chestxray, n {len(far)}: {passing:.3f} pass, AUROC {_auroc(near, far)}")


def _auroc(near: Distances, far: Distances) -> str:
    labels = np.repeat((0.0, 1.0), (len(near), len(far)))
    rows = np.stack((labels, np.concatenate((near, far))), 1)

    def statistic(drawn: Floats) -> float:
        return auc(drawn[:, 0], drawn[:, 1])

    return told((statistic(rows), *bootstrap_interval(rows, statistic, draws=200)), 4)
