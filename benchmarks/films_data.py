"""Chest films for benchmarks: pictures, labels, boxes, folds that keep a patient's films together. Measures nothing.

TRIVIUM_DATA holds medical/nih-cxr (NIH ChestX-ray14, 522 films at 512 px, boxes and readings of the RSNA challenge)
and medical/nih1000-64px (NIH ChestX-ray14, 945 films at 64 px, 3 of which are in the first set too and are left out).
NIH's labels were mined from reports; where radiologists of the RSNA challenge read a film, their reading counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from benchmarks.setting import data_folder
from verticals.medical.vision.pictures import to_picture

KINDS = ("opacity", "effusion", "cardiomegaly", "abnormality")
OPACITIES = {"Infiltration", "Pneumonia", "Consolidation", "Edema", "Atelectasis", "Mass", "Nodule"}
SETS = ("nih-cxr", "nih1000-64px")
FOLDS = 5
Box = tuple[float, float, float, float]  # left, top, right, bottom, as shares of the side
Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Films:
    """N films.

    Attributes:
        grey: uint8, white highest; 512 or 64 pixels a side.
        labels_NK: 0 or 1.
        boxes: Of opacities; None: nobody drew any, though there may be some.
        group_N: The patient.
        set_N: Which of `SETS`.
        view_N: 1 for AP, 0 for PA, NaN where the set does not say.
    """

    grey: list[NDArray[np.uint8]]
    labels_NK: Floats
    boxes: list[tuple[Box, ...] | None]
    group_N: NDArray[np.int64]
    set_N: NDArray[np.int64]
    view_N: Floats

    def __len__(self) -> int:
        return len(self.grey)

    def only(self, rows: NDArray[np.int64]) -> Films:
        """Some of them."""
        return Films(
            [self.grey[row] for row in rows],
            self.labels_NK[rows],
            [self.boxes[row] for row in rows],
            self.group_N[rows],
            self.set_N[rows],
            self.view_N[rows],
        )

    def pixels(self, side: int) -> NDArray[np.float32]:
        """As the tower sees them, (N, S, S)."""
        return np.stack([to_picture(grey, side) for grey in self.grey])

    def lesions(self, cells: int) -> NDArray[np.float32]:
        """Share of each cell that a box covers, (N, cells, cells); NaN where nobody drew any."""
        return np.stack([lesion_map(boxes, cells) for boxes in self.boxes])

    @cached_property
    def folds(self) -> list[tuple[Rows, Rows]]:
        """(training rows, held-out rows), five times."""
        return list(grouped_folds(self.set_N * 2 + self.labels_NK[:, 0], self.group_N))


def grouped_folds(stratum_N: Floats, group_N: NDArray[np.int64]) -> Iterator[tuple[Rows, Rows]]:
    """Five folds, each patient in one, strata spread evenly."""
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    yield from splitter.split(stratum_N, stratum_N, group_N)


def lesion_map(boxes: tuple[Box, ...] | None, cells: int) -> NDArray[np.float32]:
    """Share of each cell that a box covers, (cells, cells); NaN where nobody drew any."""
    if boxes is None:
        return np.full((cells, cells), np.nan, np.float32)
    cover = np.zeros((cells, cells), np.float32)
    edges = np.arange(cells)
    for left, top, right, bottom in boxes:
        columns, rows = (
            np.clip(np.minimum(edges + 1, high * cells) - np.maximum(edges, low * cells), 0, 1)
            for low, high in ((left, right), (top, bottom))
        )
        cover = np.maximum(cover, np.outer(rows, columns).astype(np.float32))
    return cover


def medical_data() -> Path:
    """The folder of medical development data."""
    return data_folder("medical") / "medical"


def read_grey(path: Path) -> NDArray[np.uint8]:
    """An image file as grey."""
    return np.asarray(Image.open(path).convert("L"))


def load() -> Films:
    """Both sets."""
    folder = medical_data()
    first = pd.read_csv(folder / SETS[0] / "labels.csv")
    second = pd.read_csv(folder / SETS[1] / "labels.csv")
    second = second[~second["image"].isin(first["image"])]
    drawn = pd.read_csv(folder / SETS[0] / "boxes_512px.csv").query("label != 'Effusion'")
    table = pd.concat([first.assign(set=0), second.assign(set=1)], ignore_index=True)
    grey = [
        read_grey(folder / SETS[of] / "images" / (name if of else name.replace(".png", ".jpg")))
        for name, of in zip(table["image"], table["set"], strict=True)
    ]
    labels_NK = np.array([_labels(*row) for row in zip(table["nih_labels"], table["rsna_class"], strict=True)])
    boxes = {
        str(name): tuple((x / 512, y / 512, (x + w) / 512, (y + h) / 512) for x, y, w, h in rows.to_numpy())
        for name, rows in drawn.set_index("image")[["x", "y", "w", "h"]].groupby(level=0)
    }
    known = [
        boxes.get(name) if name in boxes else (() if not opacity else None)
        for name, opacity in zip(table["image"], labels_NK[:, 0], strict=True)
    ]
    view = np.asarray(table["view"].map({"AP": 1.0, "PA": 0.0}), np.float64)
    return Films(grey, labels_NK, known, table["patient"].to_numpy(), table["set"].to_numpy(), view)


def _labels(nih: str, reading: object) -> list[float]:
    told = set(nih.split("|"))
    opacity, abnormal = bool(told & OPACITIES), told != {"No Finding"}
    if isinstance(reading, str):
        opacity, abnormal = reading == "Lung Opacity", reading != "Normal"
    return [float(opacity), float("Effusion" in told), float("Cardiomegaly" in told), float(abnormal)]


def load_children() -> tuple[NDArray[np.uint8], Floats, NDArray[np.uint8], Floats]:
    """PneumoniaMNIST (Yang 2023, doi:10.1038/s41597-022-01721-8; CC BY 4.0): children's films at 28 px.

    Returns:
        Images and labels of train, then of val. There is no test split here.
    """
    with np.load(medical_data() / "pneumoniamnist" / "pneumoniamnist_trainval.npz") as kept:
        parts = [kept[f"{split}_{what}"] for split in ("train", "val") for what in ("images", "labels")]
    return parts[0], parts[1][:, 0].astype(float), parts[2], parts[3][:, 0].astype(float)
