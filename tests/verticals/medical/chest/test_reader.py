"""The chest reader: says what is validated, where, on which side; refuses other views, strangers, and the rest.

A stand-in gives the readings, so that each is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from verticals.medical.chest.boxes import FoundBox
from verticals.medical.chest.model import FilmReading, KindReading
from verticals.medical.chest.reader import ChestReader, is_validated
from verticals.medical.evidence import Finding
from verticals.medical.findings import Found, Image, apply
from verticals.medical.uncertainty import Answer
from verticals.medical.vision.pictures import Frame, Grey

GOOD = {"auc": [0.8, 0.75, 0.85], "coverage_present": 0.9, "coverage_absent": 0.9}
POOR = {"auc": [0.72, 0.64, 0.8], "coverage_present": 0.9, "coverage_absent": 0.9}
LOWER_LEFT_OF_IMAGE = FoundBox(0.15, 0.55, 0.35, 0.75, 0.8)


@dataclass
class FakeModel:
    """Gives every film the reading that it was made with."""

    sets: Mapping[str, tuple[Answer, ...]]
    boxes: tuple[FoundBox, ...] = ()
    strangeness: float = 0.5
    figures: Mapping[str, Any] = field(default_factory=lambda: {"opacity": GOOD, "effusion": GOOD})

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(self.sets)

    @property
    def card(self) -> Mapping[str, Any]:
        return {"figures": self.figures}

    def read(self, grey: Grey) -> FilmReading:
        kinds = {kind: KindReading(0.8, answers) for kind, answers in self.sets.items()}
        return FilmReading(self.strangeness, kinds, self.boxes, Frame(*grey.shape), np.ones((8, 8)))


def image(**header: Any) -> Image:
    dataset = Dataset()
    dataset.Modality, dataset.BodyPartExamined, dataset.ViewPosition = "DX", "CHEST", "PA"
    dataset.SOPInstanceUID, dataset.PatientOrientation = "1.2.3", ["L", "F"]
    for keyword, value in header.items():
        setattr(dataset, keyword, value)
    return Image(np.zeros((100, 100), np.uint8), dataset)


def read(model: FakeModel, **header: Any) -> Found:
    return ChestReader(model, "chest 1").find(image(**header))


def opacity(**header: Any) -> Finding:
    return read(FakeModel({"opacity": ("present",)}, (LOWER_LEFT_OF_IMAGE,)), **header).graph.findings[0]


def test_a_box_becomes_a_finding_with_site_side_and_region() -> None:
    found = opacity()

    assert (found.kind, found.presence, found.site, found.side) == ("opacity", "present", "lower_lung_zone", "right")
    assert found.regions[0].box == pytest.approx((15, 55, 35, 75))
    assert (found.prob, found.confidence_set, found.model) == (0.8, ("present",), "chest 1")


def test_the_side_is_the_patients_and_untold_without_orientation() -> None:
    assert opacity(PatientOrientation=["R", "F"]).side == "left"
    assert opacity(PatientOrientation=None).side is None


def test_a_set_of_both_or_of_none_is_a_doubt() -> None:
    graph = read(FakeModel({"opacity": ("present", "absent"), "effusion": ()})).graph

    assert [finding.presence for finding in graph.findings] == ["uncertain", "uncertain"]


def test_what_is_absent_has_no_place() -> None:
    (finding,) = read(FakeModel({"opacity": ("absent",)}, (LOWER_LEFT_OF_IMAGE,))).graph.findings

    assert (finding.presence, finding.site, finding.regions) == ("absent", None, ())


def test_a_kind_that_is_not_validated_is_not_said() -> None:
    model = FakeModel({"opacity": ("present",), "effusion": ("present",)}, figures={"opacity": GOOD, "effusion": POOR})

    found = read(model)

    assert [finding.kind for finding in found.graph.findings] == ["opacity"]
    assert "Not validated: pleural effusion." in found.scope


def test_no_validated_kind_is_no_model() -> None:
    model = FakeModel({"opacity": ("present",)}, figures={"opacity": POOR})

    status, graph = apply(image(), [ChestReader(model, "chest 1")])

    assert status.status == "no model available"
    assert "passed validation" in status.reason
    assert graph.findings == ()


@pytest.mark.parametrize("change", [{"auc": [0.8, 0.69, 0.9]}, {"coverage_present": 0.86}, {"coverage_absent": 0.8}])
def test_validation_needs_the_lower_bound_and_both_coverages(change: dict[str, Any]) -> None:
    assert is_validated(GOOD)
    assert not is_validated(GOOD | change)


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ({"ViewPosition": "LL"}, "View Position"),
        ({"ImageLaterality": "L"}, "Laterality"),
        ({"PatientOrientation": ["A", "F"]}, "Patient Orientation"),
        ({"PatientOrientation": ["F", "R"]}, "Patient Orientation"),
    ],
)
def test_a_header_that_tells_of_another_view_is_refused(header: dict[str, Any], why: str) -> None:
    found = read(FakeModel({"opacity": ("present",)}), **header)

    assert why in found.refusal
    assert found.graph.findings == ()


def test_a_stranger_is_refused_with_the_reason() -> None:
    status, graph = apply(image(), [ChestReader(FakeModel({"opacity": ("present",)}, strangeness=1.4), "chest 1")])

    assert (status.status, status.model, graph.findings) == ("no model available", None, ())
    assert "out of distribution" in status.reason
    assert "1.40 times" in status.reason


@pytest.mark.parametrize(("modality", "part"), [("CT", "CHEST"), ("DX", "HAND"), ("CR", "UNKNOWN")])
def test_other_studies_have_no_model(modality: str, part: str) -> None:
    status, _ = apply(image(Modality=modality, BodyPartExamined=part), [ChestReader(FakeModel({}), "chest 1")])

    assert "No validated findings model" in status.reason
