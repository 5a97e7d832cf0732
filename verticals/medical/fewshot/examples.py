"""Labelled images out of a ZIP archive: which teach and which validate, patients apart. Ignores how they are learned.

Beside the images lies labels.csv: `file,label,patient[,split]`; label 1 or "present", 0 or "absent"; split "train" or
"validation". Without the column, half of the patients validate. Errors name a line of labels.csv, never a file or
a patient. Nothing of an image is kept but what the encoder sees of it.
Shapes: B images, S pixels a side.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from verticals.contract import InvalidInput, Progress, TooLarge, TriviumError, UploadedFile
from verticals.medical.archives import Members, unpacking
from verticals.medical.fewshot.images import Scope, read_grey
from verticals.medical.vision.pictures import Grey, Picture, to_picture

LABELS = "labels.csv"
COLUMNS = ("file", "label", "patient")
# Patients with and patients without the finding that each side needs. From 20 on, a set fitted to four fifths of
# the validation images may rule an answer out (`uncertainty.conformal_limit`).
LEAST = {"train": 10, "validation": 20}
MOST = {"train": 200, "validation": 1000}  # images; with more, train a model of its own
_ANSWERS = {"1": 1, "present": 1, "0": 0, "absent": 0}
_MAX_TABLE_BYTES = 2**20
_SEED = 20261130
_WHERE = "labels.csv, line {}"
Split = Literal["train", "validation"]


@dataclass(frozen=True)
class Row:
    """One line of labels.csv; `line` counts from 1, the header's."""

    line: int
    file: str
    label: int
    patient: str
    split: Split | None

    @property
    def where(self) -> str:
        """For an error's field."""
        return _WHERE.format(self.line)


@dataclass(frozen=True)
class Examples:
    """Images that an encoder may see, with what is known of them.

    Attributes:
        pictures_BSS: As the tower takes them.
        labels_B: 1 present, 0 absent.
        sha256: Of pixels, labels, patients and sides: the same data give the same model.
    """

    pictures_BSS: NDArray[np.float32]
    labels_B: NDArray[np.float64]
    patient_B: NDArray[np.str_]
    split_B: NDArray[np.str_]
    sha256: str

    def only(self, split: Split) -> Examples:
        """Those of one side."""
        rows = self.split_B == split
        return Examples(
            self.pictures_BSS[rows], self.labels_B[rows], self.patient_B[rows], self.split_B[rows], self.sha256
        )

    def num_patients(self, label: int) -> int:
        """Patients with an image of this label."""
        return len(set(self.patient_B[self.labels_B == label]))


def read_examples(upload: UploadedFile, scope: Scope, *, side: int, progress: Progress) -> Examples:
    """Read and check the whole archive.

    Args:
        scope: What modality and body part the images are said to be of; a DICOM header must agree.
        side: Pixels a side of the encoder's pictures.

    Raises:
        UnsupportedMedia: no ZIP archive, or a file that is no image. TooLarge: too many bytes, files or images.
        InvalidInput: the labels or an image break a rule.
    """
    with unpacking(upload) as members:
        folder = _folder(members)
        rows, entries = split_patients(_rows(members, folder)), members.by_name
        pictures: list[Picture] = []
        hashes: dict[str, int] = {}
        for at, row in enumerate(rows):
            progress("medical: reading labelled images", at / len(rows))
            grey = _grey(members.read(entries[folder + row.file]), row, scope)
            sha256 = hashlib.sha256(repr(grey.shape).encode() + grey.tobytes()).hexdigest()
            if first := hashes.get(sha256):
                raise InvalidInput(
                    f"the same pixels as in line {first}: an image may stand once, on one side",
                    field=row.where,
                    remedy="Leave one of the two out.",
                )
            hashes[sha256] = row.line
            pictures.append(to_picture(grey, side))
    told_rows = sorted(zip(hashes, ((r.label, r.patient, r.split) for r in rows), strict=True))
    return Examples(
        np.stack(pictures),
        np.array([row.label for row in rows], np.float64),
        np.array([row.patient for row in rows]),
        np.array([row.split for row in rows]),
        hashlib.sha256(repr(told_rows).encode()).hexdigest(),
    )


def _grey(content: bytes | TriviumError, row: Row, scope: Scope) -> Grey:
    """The image of a row; what is wrong with it is told by its line."""
    try:
        if isinstance(content, TriviumError):
            raise content
        return read_grey(content, scope)
    except TriviumError as error:
        rule = f"{error.field or 'file'}: {error.rule}"
        raise type(error)(rule, field=row.where, value=error.value, remedy=error.remedy) from None


def split_patients(rows: Sequence[Row]) -> list[Row]:
    """Each row with its side; where none is stated, patients are drawn within their class.

    Raises:
        InvalidInput: a patient on both sides, or a side with too few patients of a class.
        TooLarge: too many images on a side.
    """
    sides = _drawn(rows) if rows[0].split is None else {}
    made = [Row(r.line, r.file, r.label, r.patient, r.split or sides[r.patient]) for r in rows]
    first: dict[str, Row] = {}
    for row in made:
        if first.setdefault(row.patient, row).split != row.split:
            raise InvalidInput(
                f"the patient of line {first[row.patient].line} must not be on the other side too", field=row.where
            )
    for split, most in MOST.items():
        mine = [row for row in made if row.split == split]
        if len(mine) > most:
            raise TooLarge(f"must have at most {most} images for {split}", field=LABELS, value=len(mine))
        for label, name in ((1, "present"), (0, "absent")):
            found = len({row.patient for row in mine if row.label == label})
            if found < LEAST[split]:
                raise InvalidInput(
                    f"must have images of at least {LEAST[split]} patients with label {name} for {split}",
                    field=LABELS,
                    value=found,
                    remedy="Add images of more patients.",
                )
    return made


def _drawn(rows: Sequence[Row]) -> dict[str, Split]:
    """Half of the patients of each class validate, and as many as that needs; a patient with both labels has it."""
    worst = dict.fromkeys(sorted({row.patient for row in rows}), 0)
    for row in rows:
        worst[row.patient] = max(worst[row.patient], row.label)
    draw, sides = np.random.default_rng(_SEED), dict[str, Split]()
    for label in (0, 1):
        members = draw.permutation([patient for patient, known in worst.items() if known == label]).tolist()
        num = max(len(members) // 2, LEAST["validation"])
        sides |= {patient: "validation" if i < num else "train" for i, patient in enumerate(members)}
    return sides


def _folder(members: Members) -> str:
    """Where labels.csv lies, with a slash at its end, or "".

    Raises:
        InvalidInput: there is none, or several.
    """
    found = [name for name in members.by_name if PurePosixPath(name).name == LABELS]
    if len(found) != 1:
        raise InvalidInput(
            f"must hold exactly one {LABELS}",
            field="file",
            value=len(found),
            remedy=f"Put {LABELS} with the columns {', '.join(COLUMNS)} beside the images.",
        )
    return found[0].removesuffix(LABELS)


def _rows(members: Members, folder: str) -> list[Row]:
    names = {name.removeprefix(folder) for name in members.by_name if name.startswith(folder)} - {LABELS}
    rows = [_row(line, fields, names) for line, fields in _table(members, folder + LABELS)]
    if not rows:
        raise InvalidInput("must name at least one image", field=LABELS)
    lines: dict[str, int] = {}
    for row in rows:
        if first := lines.get(row.file):
            raise InvalidInput(f"names the file of line {first} again", field=row.where)
        lines[row.file] = row.line
    if unnamed := len(members.entries) - 1 - len(rows):
        raise InvalidInput("must name every file of the archive", field=LABELS, value=f"{unnamed} without a label")
    return rows


def _table(members: Members, name: str) -> list[tuple[int, dict[str, Any]]]:
    """(line, fields) of each row."""
    content = members.read(members.by_name[name])
    if isinstance(content, TriviumError):
        raise content
    if len(content) > _MAX_TABLE_BYTES:
        raise TooLarge(f"must be at most {_MAX_TABLE_BYTES} bytes", field=LABELS, value=len(content))
    try:
        table = csv.DictReader(io.StringIO(content.decode("utf-8-sig")), strict=True)
        rows = [(table.line_num, fields) for fields in table]
        columns = list(table.fieldnames or [])
    except (UnicodeDecodeError, csv.Error):
        raise InvalidInput("must be a CSV table in UTF-8", field=LABELS) from None
    if sorted(columns) not in (sorted(COLUMNS), sorted((*COLUMNS, "split"))):
        raise InvalidInput(f"must have the columns {', '.join(COLUMNS)} and, if wanted, split", field=LABELS)
    return rows


def _row(line: int, fields: dict[str, Any], names: set[str]) -> Row:
    """One row, each of its values checked."""
    told = {name: (value or "").strip() for name, value in fields.items() if isinstance(name, str)}
    where = _WHERE.format(line)
    if len(told) < len(fields) or not told["patient"]:
        raise InvalidInput("must have a value in each column, and no more", field=where)
    if told["file"] not in names:
        raise InvalidInput("must name a file of the archive, as seen from labels.csv", field=where)
    if told["label"] not in _ANSWERS:
        raise InvalidInput(f"label must be one of {', '.join(_ANSWERS)}", field=where)
    split = told.get("split")
    if split is not None and split not in LEAST:
        raise InvalidInput(f"split must be one of {', '.join(LEAST)}", field=where)
    return Row(line, told["file"], _ANSWERS[told["label"]], told["patient"], split)  # type: ignore[arg-type]  # above
