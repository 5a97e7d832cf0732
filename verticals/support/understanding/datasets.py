"""Banking77 and GoEmotions from the development data. Ignores training; the product never reads them.

Both are CC BY 4.0: Casanueva 2020 (arXiv:2003.04807) and Demszky 2020 (arXiv:2005.00547).
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from verticals.contract import Unavailable


@dataclass(frozen=True)
class LabelledTexts:
    """Texts, and for each the labels that hold.

    Attributes:
        names: C of them.
        target_NC: 1 where a label holds, fp32; at least one a row.
    """

    texts: list[str]
    names: tuple[str, ...]
    target_NC: NDArray[np.float32]

    @property
    def labels(self) -> NDArray[np.int64]:
        """Index of each text's first label, (N,)."""
        return np.asarray(self.target_NC.argmax(1), np.int64)


def load_banking(data_dir: Path | None, split: str) -> LabelledTexts:
    """Banking77, "train" (10,003) or "test" (3,080), one of 77 intents each.

    Raises:
        Unavailable: the data is not mounted.
    """
    path = _find(data_dir, f"support/banking77/{split}.csv")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = tuple(sorted({row["category"] for row in rows}))
    return LabelledTexts(
        [row["text"] for row in rows], names, _one_hot([[names.index(row["category"])] for row in rows], len(names))
    )


def load_goemotions(data_dir: Path | None, split: str) -> LabelledTexts:
    """GoEmotions, "train" (43,410) or "dev" (5,426), one or more of 27 emotions or neutral each.

    Raises:
        Unavailable: the data is not mounted.
    """
    path = _find(data_dir, f"support/goemotions/{split}.tsv")
    names = tuple((path.parent / "labels.txt").read_text("utf-8").split())
    rows = [line.split("\t") for line in path.read_text("utf-8").splitlines()]
    marks = [[int(i) for i in row[1].split(",")] for row in rows]
    return LabelledTexts([row[0] for row in rows], names, _one_hot(marks, len(names)))


def _find(data_dir: Path | None, name: str) -> Path:
    if data_dir is None or not (data_dir / name).is_file():
        raise Unavailable(f"{name} is not mounted", field="data_dir", remedy="Set TRIVIUM_DATA to the data's folder.")
    return data_dir / name


def _one_hot(marks: list[list[int]], num_labels: int) -> NDArray[np.float32]:
    target_NC = np.zeros((len(marks), num_labels), np.float32)
    for row, mark in zip(target_NC, marks, strict=True):
        row[mark] = 1
    return target_NC
