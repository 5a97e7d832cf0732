"""Training the grading head on synthetic lesions: it learns, is measured on other patients, and is held to a bar."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import cohen_kappa_score

from benchmarks.retinas import graded_phantom
from tests.verticals.medical.fundus.one_model import OneModel
from verticals.contract import InvalidInput, NotFound
from verticals.medical.fundus.grading import FILE, LEAST_KAPPA, NAME, GradingHead
from verticals.medical.fundus.registered import fundus_reader
from verticals.medical.fundus.training import Graded, describe, quadratic_kappa, read_folder, train_dr, with_interval
from verticals.medical.fundus.vessels import LineFilter


def _silent(_text: str, _share: float | None = None) -> None:
    pass


def _graded(*, signal: float, number: int = 40) -> Graded:
    draw = np.random.default_rng(1)
    grades = np.repeat(np.arange(5), number)
    vectors = draw.normal(0, 1, (len(grades), 6))
    vectors[:, 0] += signal * grades
    patients = np.array([f"p{i // 2}" for i in range(len(grades))])
    return Graded(vectors, grades, patients)


@cache
def _seen(grade: int, seed: int) -> tuple[float, ...]:
    described = describe(graded_phantom(np.random.default_rng(seed), grade), LineFilter())
    assert described is not None
    return tuple(described)


def test_kappa_is_scikit_learns() -> None:
    draw = np.random.default_rng(0)
    true, given = draw.integers(0, 5, (2, 200))

    assert quadratic_kappa(true, given) == pytest.approx(cohen_kappa_score(true, given, weights="quadratic"))


def test_the_interval_is_wider_when_a_patient_has_many_photographs() -> None:
    draw = np.random.default_rng(0)
    true = np.repeat(draw.integers(0, 5, 30), 10)
    given = np.clip(true + np.repeat(draw.integers(-1, 2, 30), 10), 0, 4)
    alone = with_interval(quadratic_kappa, true, given, np.arange(300).astype(str))
    together = with_interval(quadratic_kappa, true, given, np.repeat(np.arange(30), 10).astype(str))

    assert together[2] - together[1] > alone[2] - alone[1]


def test_a_head_that_passes_the_bar_grades_and_names_its_version(tmp_path: Path) -> None:
    files, card = train_dr(_graded(signal=3), trained_on="synthetic", draws=200)
    reader = fundus_reader(OneModel(NAME, tmp_path, files))  # type: ignore[arg-type]

    assert card["metrics"]["quadratic kappa"][1] >= LEAST_KAPPA
    assert reader.grader is not None
    assert reader.grader.name_and_version == f"{NAME} 1-abc"
    assert reader.grader.grade(np.array([12.0, 0, 0, 0, 0, 0])) == 4
    assert reader.grader.probabilities(np.zeros(6)).sum() == pytest.approx(1)


def test_a_head_below_the_bar_is_kept_but_never_grades(tmp_path: Path) -> None:
    files, card = train_dr(_graded(signal=0.1), trained_on="synthetic", draws=200)
    reader = fundus_reader(OneModel(NAME, tmp_path, files))  # type: ignore[arg-type]

    assert card["metrics"]["quadratic kappa"][1] < LEAST_KAPPA
    assert card["limits"].startswith("NOT enabled")
    assert reader.grader is None


def test_too_few_photographs_of_a_grade_are_refused() -> None:
    with pytest.raises(InvalidInput, match="at least 10 photographs of each grade"):
        train_dr(_graded(signal=1, number=9), trained_on="synthetic")


def test_a_damaged_head_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("{}")

    with pytest.raises(ValueError, match=r"files: no readable medical\.fundus_grade"):
        GradingHead.load({FILE: tmp_path / FILE}, NAME)


def test_painted_lesions_raise_what_the_head_sees() -> None:
    healthy, severe = _seen(0, 5), _seen(3, 5)

    assert sum(severe[:20]) > sum(healthy[:20]) + 5


@pytest.mark.parametrize(
    ("name_column", "grade_column", "suffix"), [("id_code", "diagnosis", ".png"), ("image", "level", ".jpeg")]
)
def test_aptos_and_eyepacs_folders_are_read(tmp_path: Path, name_column: str, grade_column: str, suffix: str) -> None:
    (tmp_path / "images").mkdir()
    photograph = Image.fromarray(graded_phantom(np.random.default_rng(5), 0))
    for name in ("7_left", "7_right"):
        photograph.save(tmp_path / "images" / f"{name}{suffix}")
    (tmp_path / "train.csv").write_text(f"{name_column},{grade_column}\n7_left,0\n7_right,2\n")
    graded = read_folder(tmp_path, LineFilter(), _silent)

    assert graded.grade_N.tolist() == [0, 2]
    assert set(graded.patient_N) == {"7"}


@pytest.mark.parametrize(
    ("text", "error", "rule"),
    [
        ("id_code,diagnosis\nx,0\n", NotFound, "not in the folder"),
        ("id_code,diagnosis\nx,5\n", InvalidInput, "must be an ICDR grade"),
        ("name,diagnosis\nx,0\n", InvalidInput, "must have a column"),
    ],
)
def test_a_folder_that_is_wrong_is_refused(tmp_path: Path, text: str, error: type[Exception], rule: str) -> None:
    (tmp_path / "train.csv").write_text(text)

    with pytest.raises(error, match=rule):
        read_folder(tmp_path, LineFilter(), _silent)
