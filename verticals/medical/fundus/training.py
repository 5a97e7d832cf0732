"""Trains the grading head from a folder of graded photographs, and validates it on patients it has not seen.

The folder is APTOS- or EyePACS-shaped: one CSV with a column of file names and one of grades 0-4, and the photographs
beside it or in a folder below it. A patient's photographs stay on one side: the name up to "_left" or "_right".
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from verticals.bootstrap import grouped_interval
from verticals.contract import InvalidInput, NotFound, Progress
from verticals.medical.fundus.grading import GRADES, LEAST_KAPPA, GradingHead, features
from verticals.medical.fundus.landmarks import find_landmarks
from verticals.medical.fundus.lesions import find_candidates
from verticals.medical.fundus.picture import Colour, Floats, find_field, to_retina
from verticals.medical.fundus.steps import Segmenter
from verticals.origin import sha256_of_arrays

NAME_COLUMNS = ("id_code", "image", "file", "filename")
GRADE_COLUMNS = ("diagnosis", "level", "label", "grade")
SUFFIXES = ("", ".jpeg", ".jpg", ".png")
LEAST_OF_GRADE = 10  # photographs of each grade that training needs
HELD_OUT = 0.3
DRAWS = 1000
SEED = 20261130
_MAX_PIXELS = 64 * 2**20
_PENALTY = 0.05
_STEPS = len(GRADES) - 1

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Graded:
    """Photographs with grades; rows are photographs.

    Attributes:
        features_NF: What `grading.features` says of each.
        grade_N: ICDR, 0-4.
        patient_N: By name.
        skipped: Photographs that show no field.
    """

    features_NF: Floats
    grade_N: Ints
    patient_N: NDArray[np.str_]
    skipped: int = 0


def read_folder(folder: Path, segmenter: Segmenter, progress: Progress) -> Graded:
    """Look at every photograph that the CSV names.

    Raises:
        NotFound: no CSV, or a photograph that it names is not there.
        InvalidInput: columns or grades that are none, or a file that is no photograph.
    """
    listed, seen, skipped = _listed(folder), [], 0
    for at, (path, grade, patient) in enumerate(listed):
        progress("medical: looking at fundus photographs", at / len(listed))
        if (described := describe(open_photograph(path), segmenter)) is None:
            skipped += 1
        else:
            seen.append((described, grade, patient))
    if not seen:
        raise InvalidInput("must hold photographs that show a round field", field="DIR", value=str(folder))
    vectors, grades, patients = zip(*seen, strict=True)
    return Graded(np.stack(vectors), np.array(grades), np.array(patients), skipped)


def describe(photograph: Colour, segmenter: Segmenter) -> Floats | None:
    """The features of one photograph; None where no field is seen. Side and quality do not matter in training."""
    if (field := find_field(photograph)) is None:
        return None
    retina = to_retina(photograph, field)
    vessels = segmenter.segment(retina)
    return features(retina, vessels, find_candidates(retina, vessels, find_landmarks(retina)))


def open_photograph(path: Path) -> Colour:
    """A JPEG or PNG file, upright as stored, (rows, columns, 3).

    Raises:
        InvalidInput: no picture, or one that is too large.
    """
    try:
        with Image.open(path) as picture:
            if picture.width * picture.height > _MAX_PIXELS:
                raise InvalidInput(f"must have at most {_MAX_PIXELS} pixels", field="photograph", value=path.name)
            return np.asarray(picture.convert("RGB"))
    except (OSError, Image.DecompressionBombError):
        raise InvalidInput("must be a JPEG or PNG picture", field="photograph", value=path.name) from None


def train_dr(graded: Graded, *, trained_on: str, draws: int = DRAWS) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Fit on most patients, measure on the others, then fit on all.

    Returns:
        (files, card) for the registry; the head grades only if the lower bound of its kappa reaches `LEAST_KAPPA`.
    Raises:
        InvalidInput: too few photographs of a grade to fit and to measure.
    """
    counts = np.bincount(graded.grade_N, minlength=len(GRADES))
    if counts.min() < LEAST_OF_GRADE:
        raise InvalidInput(
            f"must hold at least {LEAST_OF_GRADE} photographs of each grade 0 to 4",
            field="DIR",
            value=", ".join(f"{n} of grade {grade}" for grade, n in enumerate(counts)),
        )
    held_rows = _held_out(graded)
    fitted = fit(graded.features_NF[~held_rows], graded.grade_N[~held_rows])
    given = np.array([fitted.grade(row) for row in graded.features_NF[held_rows]])
    true, patients = graded.grade_N[held_rows], graded.patient_N[held_rows]
    kappa = with_interval(quadratic_kappa, true, given, patients, draws=draws)
    enabled = kappa[1] >= LEAST_KAPPA
    card = {
        "trained_on": trained_on,
        "data": {"features and grades": sha256_of_arrays((graded.features_NF, graded.grade_N))},
        "command": "trivium medical train-dr DIR",
        "licence": "As the photographs'.",
        "recipe": f"trivium medical train-dr; {len(true)} photographs of {len(set(patients))} patients held out",
        "metrics": {"quadratic kappa": kappa},
        "limits": (
            f"{'Enabled' if enabled else 'NOT enabled, it grades nothing'}: the interval's lower bound of quadratic "
            f"kappa is {kappa[1]:.2f}, the bar {LEAST_KAPPA}. Validated on this folder's own patients alone; other "
            "cameras and people were not seen. Research software, not a medical device."
        ),
    }
    head = replace(fit(graded.features_NF, graded.grade_N), card=card)
    return head.to_files(), card


def fit(features_NF: Floats, grade_N: Ints) -> GradingHead:
    """Four logistic regressions; where each cuts is chosen on folds inside these photographs, by kappa."""
    from sklearn.model_selection import StratifiedKFold

    out_NK = np.zeros((len(grade_N), _STEPS))
    for train, rows in StratifiedKFold(3, shuffle=True, random_state=SEED).split(features_NF, grade_N):
        out_NK[rows] = _lines(features_NF[train], grade_N[train]).at_least(features_NF[rows])
    return replace(_lines(features_NF, grade_N), cut_K=_best_cuts(out_NK, grade_N))


def _lines(features_NF: Floats, grade_N: Ints) -> GradingHead:
    from sklearn.linear_model import LogisticRegression

    mean_F, scale_F = features_NF.mean(0), features_NF.std(0) + 1e-9
    weights, biases = [], []
    for step in range(1, _STEPS + 1):
        line = LogisticRegression(C=_PENALTY, max_iter=1000).fit((features_NF - mean_F) / scale_F, grade_N >= step)
        weights.append(line.coef_[0])
        biases.append(float(line.intercept_[0]))
    return GradingHead(mean_F, scale_F, np.array(weights), np.array(biases), np.full(_STEPS, 0.5), {"metrics": {}})


def _best_cuts(prob_NK: Floats, grade_N: Ints) -> Floats:
    """Cuts of each step in turn, twice over, for the highest kappa."""
    cuts = np.full(_STEPS, 0.5)
    for _ in range(2):
        for step in range(_STEPS):
            tried = []
            for cut in np.arange(0.05, 0.75, 0.05):
                here = np.where(np.arange(_STEPS) == step, cut, cuts)
                given = np.cumprod(prob_NK >= here, axis=1).sum(1)
                tried.append((quadratic_kappa(grade_N, given), float(cut)))
            cuts[step] = max(tried)[1]
    return cuts


def quadratic_kappa(true_N: Ints, given_N: Ints) -> float:
    """Cohen's kappa with quadratic weights (Cohen 1968), -1 to 1; 0 where either never varies."""
    size = len(GRADES)
    seen = np.bincount(true_N * size + given_N, minlength=size**2).reshape(size, size) / len(true_N)
    weight = (np.arange(size)[:, None] - np.arange(size)) ** 2
    chance = float((weight * np.outer(seen.sum(1), seen.sum(0))).sum())
    return 1 - float((weight * seen).sum()) / chance if chance > 0 else 0.0


def with_interval(
    metric: Callable[[Ints, Ints], float], true_N: Ints, given_N: Ints, patient_N: Sequence[str] | NDArray[np.str_],
    *, draws: int = DRAWS,
) -> list[float]:  # fmt: skip
    """Value and 95 % interval, low and high, by drawing patients with replacement."""
    interval = grouped_interval(lambda rows: metric(true_N[rows], given_N[rows]), patient_N, draws, SEED)
    return [metric(true_N, given_N), *interval]


def _held_out(graded: Graded) -> NDArray[np.bool_]:
    """Three tenths of the patients, drawn within each patient's worst grade, so that no grade is left out."""
    draw = np.random.default_rng(SEED)
    patients, group_N = np.unique(graded.patient_N, return_inverse=True)
    worst = np.array([graded.grade_N[group_N == g].max() for g in range(len(patients))])
    held = np.zeros(len(patients), bool)
    for grade in range(len(GRADES)):
        members = draw.permutation(np.flatnonzero(worst == grade))
        held[members[: max(1, round(HELD_OUT * len(members)))]] = True
    return np.asarray(held[group_N])


def _listed(folder: Path) -> list[tuple[Path, int, str]]:
    """(photograph, grade, patient) of each row."""
    tables = sorted(folder.glob("*.csv"))
    if len(tables) != 1:
        raise NotFound(
            "must be a folder with exactly one .csv of file names and grades", field="DIR", value=str(folder)
        )
    with tables[0].open(newline="", encoding="utf-8-sig") as source:
        rows = list(csv.DictReader(source))
    columns = set(rows[0]) if rows else set()
    names, grades = ([c for c in known if c in columns] for known in (NAME_COLUMNS, GRADE_COLUMNS))
    if not names or not grades:
        raise InvalidInput(
            f"must have a column {' or '.join(NAME_COLUMNS)} and a column {' or '.join(GRADE_COLUMNS)}",
            field=tables[0].name,
        )
    places = {path.name: path for path in sorted(folder.rglob("*")) if path.is_file()}
    made = []
    for line, row in enumerate(rows, start=2):
        name, told = str(row[names[0]]), str(row[grades[0]])
        if told not in {str(grade) for grade in range(len(GRADES))}:
            raise InvalidInput("must be an ICDR grade, 0 to 4", field=f"{tables[0].name}, line {line}", value=told[:20])
        found = next((places[name + suffix] for suffix in SUFFIXES if name + suffix in places), None)
        if found is None:
            raise NotFound("names a photograph that is not in the folder", field=f"{tables[0].name}, line {line}")
        patient = found.stem.removesuffix("_left").removesuffix("_right")
        made.append((found, int(told), patient))
    return made
