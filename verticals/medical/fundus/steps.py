"""One fundus photograph, step by step: quality, field and side, vessels, candidates, grade; each may refuse.

The first refusal ends the reading, and names its step. Ignores DICOM files, reports and training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from verticals.medical.fundus import quality, side
from verticals.medical.fundus.grading import features
from verticals.medical.fundus.landmarks import Eye, Landmarks, find_landmarks
from verticals.medical.fundus.lesions import Candidate, find_candidates
from verticals.medical.fundus.picture import Colour, Mask, Retina, find_field, to_retina
from verticals.medical.schemas import QualityCheck

NO_GRADER = "no validated model: no grading head has passed validation on this installation (trivium medical train-dr)."


class Segmenter(Protocol):
    """Tells vessels from the rest: `vessels.LineFilter` or `vessels.VesselNet`."""

    @property
    def name_and_version(self) -> str: ...

    def segment(self, retina: Retina) -> Mask:
        """(S, S)."""


class Grader(Protocol):
    """A validated grading head: `grading.GradingHead`."""

    @property
    def name_and_version(self) -> str: ...

    def probabilities(self, features_F: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of ICDR grades 0 to 4."""

    def grade(self, features_F: NDArray[np.float64]) -> int:
        """ICDR grade, 0 to 4."""


@dataclass(frozen=True)
class Reading:
    """How far the reading came, and what was found until there.

    Attributes:
        refusal: Of a step before grading; "" where all passed.
        grade: ICDR 0-4; None: not graded, for the reason in `not_graded`.
    """

    checks: tuple[QualityCheck, ...] = ()
    retina: Retina | None = None
    landmarks: Landmarks | None = None
    eye: Eye | None = None
    vessels: Mask | None = None
    candidates: tuple[Candidate, ...] = ()
    refusal: str = ""
    grade: int | None = None
    grade_prob: Mapping[int, float] | None = None
    not_graded: str = NO_GRADER


def read(photograph: Colour, header: Dataset, segmenter: Segmenter, grader: Grader | None = None) -> Reading:
    """All steps in their order."""
    field = find_field(photograph)
    if field is None:
        return _stop("quality: no round field of view is seen; is it a fundus photograph?")
    retina = to_retina(photograph, field)
    checks = tuple(quality.assess(retina))
    if bad := [check.reason for check in checks if check.verdict == "reject"]:
        return _stop(f"quality: {' '.join(bad)}", checks=checks, retina=retina)
    landmarks, eye = find_landmarks(retina), side.stated_eye(header)
    if why := side.refusal(eye, landmarks):
        return _stop(why, checks=checks, retina=retina, landmarks=landmarks)
    vessels = segmenter.segment(retina)
    candidates = tuple(find_candidates(retina, vessels, landmarks))
    made = Reading(checks, retina, landmarks, eye, vessels, candidates)
    return made if grader is None else _graded(made, grader)


def _graded(reading: Reading, grader: Grader) -> Reading:
    assert reading.retina is not None
    assert reading.vessels is not None
    seen = features(reading.retina, reading.vessels, reading.candidates)
    prob = {grade: float(p) for grade, p in enumerate(grader.probabilities(seen))}
    return replace(reading, grade=grader.grade(seen), grade_prob=prob, not_graded="")


def _stop(
    why: str,
    *,
    checks: tuple[QualityCheck, ...] = (),
    retina: Retina | None = None,
    landmarks: Landmarks | None = None,
) -> Reading:
    return Reading(checks, retina, landmarks, refusal=why, not_graded=f"not graded: {why}")
