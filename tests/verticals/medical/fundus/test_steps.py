"""The fundus steps on synthetic photographs, in their order; each refuses with its reason."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from pydicom.dataset import Dataset

from benchmarks.retinas import Painted, paint, phantom
from verticals.medical.findings import Image, apply
from verticals.medical.fundus.landmarks import Eye, find_landmarks
from verticals.medical.fundus.lesions import find_candidates
from verticals.medical.fundus.picture import SIDE, Colour, find_field, to_retina
from verticals.medical.fundus.quality import grade_photograph
from verticals.medical.fundus.reader import FundusReader
from verticals.medical.fundus.steps import read
from verticals.medical.fundus.vessels import LineFilter


@cache
def _eye(eye: Eye) -> Colour:
    return phantom(np.random.default_rng(3), eye=eye)


def _header(laterality: str = "R") -> Dataset:
    made = Dataset()
    made.Modality, made.BodyPartExamined, made.SOPInstanceUID = "OP", "EYE", "1.2.3"
    made.ImageLaterality = laterality
    return made


def test_a_photograph_without_a_round_field_is_refused_by_the_first_step() -> None:
    reading = read(np.zeros((300, 300, 3), np.uint8), _header(), LineFilter())

    assert reading.refusal.startswith("quality: no round field")


def test_an_underexposed_photograph_is_rejected_and_not_read() -> None:
    reading = read((_eye("right") // 9).astype(np.uint8), _header(), LineFilter())

    assert reading.refusal.startswith("quality: ")
    assert reading.vessels is None


def test_a_good_photograph_is_not_rejected() -> None:
    assert grade_photograph(_eye("right")).verdict != "reject"


@pytest.mark.parametrize("eye", ["left", "right"])
def test_the_side_is_told_from_where_the_disc_lies(eye: Eye) -> None:
    photograph = _eye(eye)
    field = find_field(photograph)
    assert field is not None
    landmarks = find_landmarks(to_retina(photograph, field))

    assert landmarks is not None
    assert landmarks.eye == eye


@pytest.mark.parametrize(("laterality", "rule"), [("", "must be L or R"), ("B", "must be L or R"), ("L", "says left")])
def test_an_unknown_or_contradicted_side_ends_the_reading(laterality: str, rule: str) -> None:
    reading = read(_eye("right"), _header(laterality), LineFilter())

    assert rule in reading.refusal
    assert reading.grade is None
    assert not reading.candidates


def test_a_mirrored_photograph_contradicts_its_header() -> None:
    reading = read(_eye("right")[:, ::-1].copy(), _header("R"), LineFilter())

    assert "turned or mirrored" in reading.refusal


def test_without_a_validated_head_everything_before_grading_works() -> None:
    reading = read(_eye("right"), _header("R"), LineFilter())

    assert reading.refusal == ""
    assert reading.vessels is not None
    assert reading.vessels.any()
    assert reading.not_graded.startswith("no validated model")


@pytest.mark.parametrize(("kind", "width"), [("haemorrhage", 14.0), ("hard_exudate", 9.0), ("cotton_wool_spot", 24.0)])
def test_a_painted_lesion_becomes_a_candidate_of_its_kind(kind: str, width: float) -> None:
    photograph = _eye("right")
    field = find_field(photograph)
    assert field is not None
    plain = to_retina(photograph, field)
    vessels, landmarks = LineFilter().segment(plain), find_landmarks(plain)
    lesion = Painted(kind, SIDE / 2 - 120.0, SIDE / 2 + 160.0, width)  # type: ignore[arg-type]
    found = find_candidates(to_retina(paint(photograph, lesion), field), vessels, landmarks)

    near = [c for c in found if np.hypot(c.column - lesion.column, c.row - lesion.row) < width / 2 + 3]
    assert kind in [c.kind for c in near]


def test_the_reader_says_candidates_as_uncertain_with_side_and_region() -> None:
    lesion = Painted("hard_exudate", SIDE / 2 - 100.0, SIDE / 2 + 150.0, 9.0)
    photograph = paint(_eye("right"), lesion)
    image = Image(photograph[..., 1], _header("R"), colour=photograph)
    status, graph = apply(image, (FundusReader(LineFilter()),))

    assert status.status == "applied"
    assert "no validated model" in status.reason
    exudates = next(f for f in graph.findings if f.kind == "hard_exudate")
    assert (exudates.presence, exudates.side, exudates.site, exudates.prob) == ("uncertain", "right", "retina", None)
    left, top, right, bottom = exudates.regions[0].box
    assert left < lesion.column < right
    assert top < lesion.row < bottom


def test_the_reader_refuses_a_photograph_whose_side_is_not_known() -> None:
    photograph = _eye("right")
    status, graph = apply(Image(photograph[..., 1], _header(""), colour=photograph), (FundusReader(LineFilter()),))

    assert status.status == "no model available"
    assert "Image Laterality (0020,0062)" in status.reason
    assert not graph.findings
