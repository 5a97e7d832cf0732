"""Regions as masks, annotations, key objects and captures: what is drawn is what the graph says, on the right frame."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from highdicom.seg import Segmentation
from pydicom import dcmread
from pydicom.dataset import Dataset

from verticals.medical.evidence import EvidenceGraph
from verticals.medical.export import capture, key_objects, presentation, segmentation
from verticals.medical.export.key_frames import drawn, key_frames
from verticals.medical.export.objects import tracking_uid
from verticals.medical.export.segmentation import fill
from verticals.medical.report import Report
from verticals.medical.schemas import NOTICE
from verticals.medical.study_probes import report_with, study


def box(image: Dataset, left: float, top: float, right: float, bottom: float, *, frame: int = 1) -> dict[str, Any]:
    points = ((left, top), (right, top), (right, bottom), (left, bottom), (left, top))
    return {"sop_instance_uid": image.SOPInstanceUID, "frame": frame, "shape": "polyline", "points": points}


def report_of(*regions: list[dict[str, Any]], kind: str = "nodule", presence: str = "present") -> Report:
    """One finding for each list of regions."""
    findings = [
        {"finding_id": f"f{i + 1}", "kind": kind, "presence": presence, "regions": found, "model": "m@1"}
        for i, found in enumerate(regions)
    ]
    return report_with(EvidenceGraph.model_validate({"findings": findings}), "FINAL")


def read(content: bytes) -> Dataset:
    return dcmread(io.BytesIO(content))


# --- masks -----------------------------------------------------------------------------------------------------------


def test_a_mask_holds_the_pixels_whose_centre_lies_inside() -> None:
    square = fill(((1.0, 2.0), (4.0, 2.0), (4.0, 4.0), (1.0, 4.0), (1.0, 2.0)), 6, 6)
    triangle = fill(((0.0, 0.0), (4.0, 0.0), (0.0, 4.0), (0.0, 0.0)), 4, 4)

    assert square.sum() == 6
    assert square[2:4, 1:4].all()
    assert [int(row.sum()) for row in triangle] == [3, 2, 1, 0]


def test_a_mask_ends_at_the_image_and_an_outline_may_be_hollow() -> None:
    beyond = fill(((-3.0, -3.0), (2.0, -3.0), (2.0, 99.0), (-3.0, 99.0), (-3.0, -3.0)), 4, 4)
    twice = ((0.0, 0.0), (4.0, 0.0), (4.0, 4.0), (0.0, 4.0), (0.0, 0.0))

    assert beyond[:, :2].all()
    assert beyond.sum() == 8
    assert fill(twice + twice[1:], 8, 8).sum() == 1  # even-odd: what is gone round twice is outside


def test_a_mask_of_less_than_a_pixel_is_one_pixel() -> None:
    assert np.argwhere(fill(((3.1, 2.1), (3.2, 2.1), (3.2, 2.2), (3.1, 2.1)), 6, 6)).tolist() == [[2, 3]]


def test_segments_are_the_filled_outlines_of_their_findings() -> None:
    images = study("CT", 0)
    report = report_of([box(images[1], 5, 5, 20, 20), box(images[2], 6, 6, 18, 18)], [box(images[1], 10, 10, 30, 30)])

    (content,) = segmentation.to_dicom(report, images)

    seg = Segmentation.from_dataset(read(content))
    masks = seg.get_pixels_by_source_instance([image.SOPInstanceUID for image in images[1:3]])
    assert masks.shape == (2, 64, 64, 2)
    assert masks[..., 0].sum(axis=(1, 2)).tolist() == [15 * 15, 12 * 12]
    assert masks[..., 1].sum(axis=(1, 2)).tolist() == [20 * 20, 0]
    assert seg.ContentDescription == NOTICE
    described = seg.SegmentSequence
    assert [(s.TrackingID, s.TrackingUID) for s in described] == [
        (name, tracking_uid(report, name)) for name in ("f1", "f2")
    ]
    assert described[0].SegmentedPropertyTypeCodeSequence[0].CodeValue == "27925004"
    assert described[0].SegmentationAlgorithmIdentificationSequence[0].AlgorithmVersion == "1"


def test_frames_without_a_place_in_space_get_a_segmentation_each() -> None:
    images = study("OP, frames", 0)
    report = report_of(
        [box(images[0], 5, 5, 20, 20, frame=1), box(images[0], 5, 5, 25, 20, frame=3)], kind="haemorrhage"
    )

    made = [read(content) for content in segmentation.to_dicom(report, images)]

    sources = [m.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence[0] for m in made]
    assert [s.ReferencedFrameNumber for s in sources] == [1, 3]
    assert {s.ReferencedSOPClassUID for s in sources} == {images[0].SOPClassUID}
    assert [int(m.pixel_array.sum()) for m in made] == [15 * 15, 20 * 15]


def test_frames_of_a_volume_share_one_segmentation() -> None:
    images = study("CT, frames", 0)
    report = report_of([box(images[0], 5, 5, 20, 20, frame=2), box(images[0], 5, 5, 20, 20, frame=3)])

    (content,) = segmentation.to_dicom(report, images)

    seg = Segmentation.from_dataset(read(content))
    assert seg.NumberOfFrames == 2
    masks = seg.get_pixels_by_source_frame(images[0].SOPInstanceUID, [1, 2, 3], ignore_spatial_locations=True,
                                           assert_missing_frames_are_empty=True)  # fmt: skip
    assert masks.sum(axis=(1, 2, 3)).tolist() == [0, 225, 225]


def test_a_long_name_of_a_model_is_cut_to_what_an_attribute_holds() -> None:
    images = study("CR", 0)
    report = report_of([box(images[0], 5, 5, 20, 20)])
    finding = report.evidence.findings[0].model_copy(update={"model": "m" * 90 + "@" + "1" * 20})
    (content,) = segmentation.to_dicom(replace(report, evidence=EvidenceGraph(findings=(finding,))), images)

    identified = read(content).SegmentSequence[0].SegmentationAlgorithmIdentificationSequence[0]
    assert (identified.AlgorithmName, identified.AlgorithmVersion) == ("m" * 64, "1" * 20)


def test_a_point_is_no_mask() -> None:
    images = study("CR", 0)
    point = {"sop_instance_uid": images[0].SOPInstanceUID, "shape": "point", "points": ((9.0, 9.0),)}

    assert segmentation.to_dicom(report_of([point]), images) == []
    assert len(presentation.to_dicom(report_of([point]), images)) == 1


# --- presentation states ---------------------------------------------------------------------------------------------


def test_annotations_are_the_outlines_with_the_finding_s_name_and_the_notice() -> None:
    images = study("MR", 0)
    report = report_of([box(images[3], 5, 5, 20, 20.5)], presence="uncertain")

    (content,) = presentation.to_dicom(report, images)

    state = read(content)
    (annotation,) = state.GraphicAnnotationSequence
    (graphic,) = annotation.GraphicObjectSequence
    assert annotation.ReferencedImageSequence[0].ReferencedSOPInstanceUID == images[3].SOPInstanceUID
    assert (graphic.GraphicType, graphic.GraphicAnnotationUnits) == ("POLYLINE", "PIXEL")
    assert list(graphic.GraphicData) == [5, 5, 20, 5, 20, 20.5, 5, 20.5, 5, 5]
    assert graphic.TrackingUID == tracking_uid(report, "f1")
    assert [t.UnformattedTextValue for t in annotation.TextObjectSequence] == ["f1 nodule, uncertain", NOTICE]


@pytest.mark.parametrize(("seed", "shape"), [(0, "IDENTITY"), (1, "INVERSE")])
def test_a_monochrome1_film_is_shown_inverted(seed: int, shape: str) -> None:
    images = study("DX", seed)

    state = read(presentation.to_dicom(report_of([box(images[0], 5, 5, 20, 20)]), images)[0])

    assert state.PresentationLUTShape == shape
    assert state.SoftcopyVOILUTSequence[0].WindowWidth > 1  # the film has none of its own


@pytest.mark.parametrize("kind", ["CT", "MR"])
def test_frames_of_one_object_keep_the_window_that_their_groups_state(kind: str) -> None:
    slices, images = study(kind, 0), study(f"{kind}, frames", 0)

    (content,) = presentation.to_dicom(report_of([box(images[0], 5, 5, 20, 20, frame=2)]), images)

    (window,) = read(content).SoftcopyVOILUTSequence
    assert (window.WindowCenter, window.WindowWidth) == (slices[0].WindowCenter, slices[0].WindowWidth)


def test_a_photograph_gets_a_colour_state_with_a_profile() -> None:
    images = study("OP", 0)

    state = read(presentation.to_dicom(report_of([box(images[0], 5, 5, 20, 20)], kind="haemorrhage"), images)[0])

    assert state.SOPClassUID.name == "Color Softcopy Presentation State Storage"
    assert state.ICCProfile[36:40] == b"acsp"


# --- key objects and captures ----------------------------------------------------------------------------------------


def test_the_key_frame_of_a_finding_is_that_of_its_largest_region() -> None:
    images = study("CT", 0)
    regions = [box(image, 5, 5, 10 + 5 * i, 20) for i, image in enumerate(images[:3])]

    assert key_frames(report_of(regions, [regions[2]])) == [(images[2].SOPInstanceUID, 1)]


def test_key_objects_name_the_images_with_findings_and_no_other() -> None:
    images = study("CT", 0)
    report = report_of([box(images[2], 5, 5, 20, 20)], [box(images[0], 5, 5, 20, 20)])

    document = read(key_objects.to_dicom(report, images)[0])

    named = [
        i.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for i in document.ContentSequence if i.ValueType == "IMAGE"
    ]
    assert named == [images[2].SOPInstanceUID, images[0].SOPInstanceUID]
    assert document.ConceptNameCodeSequence[0].CodeMeaning == "Of Interest"
    assert any(NOTICE in i.get("TextValue", "") for i in document.ContentSequence)


@pytest.mark.parametrize("kind", ["CR", "OP, frames"])
def test_a_capture_has_the_region_burned_in_and_says_so(kind: str) -> None:
    images = study(kind, 0)
    report = report_of([box(images[0], 30, 30, 60, 60)], kind="opacity" if kind == "CR" else "haemorrhage")

    (content,) = capture.to_dicom(report, images)

    made = read(content)
    plain = drawn(images[0], 1, ())
    changed = np.argwhere((made.pixel_array != plain).any(axis=-1))
    step = made.Rows // images[0].Rows
    assert (made.BurnedInAnnotation, list(made.ImageType[:2])) == ("YES", ["DERIVED", "SECONDARY"])
    assert NOTICE in made.DerivationDescription
    assert made.SourceImageSequence[0].ReferencedSOPInstanceUID == images[0].SOPInstanceUID
    assert changed[:, 1].min() == pytest.approx(30 * step, abs=2 * step)
    assert changed[:, 0].max() == pytest.approx(60 * step, abs=2 * step)


@pytest.mark.parametrize("kind", ["CT", "MR"])
def test_a_frame_of_several_is_drawn_as_the_image_of_one_frame_that_it_was(kind: str) -> None:
    slices, (volume,) = study(kind, 0), study(f"{kind}, frames", 0)
    places = [
        list(frame.PlanePositionSequence[0].ImagePositionPatient) for frame in volume.PerFrameFunctionalGroupsSequence
    ]

    for image in slices:
        frame = places.index(list(image.ImagePositionPatient)) + 1
        assert np.array_equal(drawn(volume, frame, []), drawn(image, 1, []))
