"""Photographs on their way in: colour DICOM in every layout, JPEG and PNG wrapped, and the side enforced."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.pixels import convert_color_space

from benchmarks.retinas import phantom
from verticals.contract import InvalidInput
from verticals.medical import ingest
from verticals.medical.fundus.photograph import to_dicom


def _png(rgb: np.ndarray[Any, np.dtype[np.uint8]]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, format="PNG")
    return buffer.getvalue()


def _small() -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 255, (12, 16, 3)).astype(np.uint8)


def _object(rgb: np.ndarray[Any, np.dtype[np.uint8]]) -> Dataset:
    return dcmread(io.BytesIO(to_dicom(_png(rgb), "R")))


def _bytes(dataset: Dataset) -> bytes:
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


def test_a_wrapped_picture_is_read_back_pixel_by_pixel() -> None:
    received = ingest.read(to_dicom(_png(_small()), "L"))

    assert received.modality == "OP"
    assert received.dataset.ImageLaterality == "L"
    np.testing.assert_array_equal(received.stored[0], _small())


def test_the_same_picture_of_the_same_eye_is_the_same_object_and_of_the_other_another() -> None:
    left, again, right = (_object_uid(side) for side in ("L", "L", "R"))

    assert left == again != right


def _object_uid(side: str) -> str:
    return str(dcmread(io.BytesIO(to_dicom(_png(_small()), side))).SOPInstanceUID)


def test_a_picture_without_its_side_is_refused() -> None:
    with pytest.raises(InvalidInput, match="must be L or R"):
        to_dicom(_png(_small()), None)


def test_a_cut_picture_is_refused() -> None:
    with pytest.raises(InvalidInput, match="must be a whole JPEG or PNG picture"):
        to_dicom(_png(_small())[:60], "L")


def test_planes_are_brought_together() -> None:
    dataset = _object(_small())
    dataset.PlanarConfiguration = 1
    dataset.PixelData = np.moveaxis(_small(), 2, 0).tobytes()
    received = ingest.read(_bytes(dataset))

    np.testing.assert_array_equal(received.stored[0], _small())
    assert received.dataset.PlanarConfiguration == 0


def test_luminance_and_chrominance_become_rgb() -> None:
    dataset = _object(_small())
    dataset.PhotometricInterpretation = "YBR_FULL"
    dataset.PixelData = convert_color_space(_small(), "RGB", "YBR_FULL").tobytes()
    received = ingest.read(_bytes(dataset))

    assert np.abs(received.stored[0].astype(int) - _small()).max() <= 2
    assert received.dataset.PhotometricInterpretation == "RGB"


@pytest.mark.parametrize(
    ("keyword", "value", "rule"),
    [
        ("PhotometricInterpretation", "MONOCHROME2", "PhotometricInterpretation"),
        ("PlanarConfiguration", 2, "PlanarConfiguration"),
        ("SamplesPerPixel", 2, "SamplesPerPixel"),
        ("Rows", 13, "PixelData"),
    ],
)
def test_a_colour_image_whose_header_is_wrong_is_refused(keyword: str, value: object, rule: str) -> None:
    dataset = _object(_small())
    setattr(dataset, keyword, value)

    with pytest.raises(InvalidInput) as caught:
        ingest.read(_bytes(dataset))
    assert str(caught.value.field).startswith(rule)


def test_a_photograph_becomes_a_study_with_candidates_or_their_absence_and_its_side(desk: Any) -> None:
    study = desk.ingest(_png(phantom(np.random.default_rng(3), eye="right")), laterality="R", origin="synthetic")

    assert (study.modality, study.image.photometric) == ("OP", "RGB")
    assert study.findings_status.status == "applied"
    assert "no validated model" in study.findings_status.reason
    assert all(finding.side == "right" for finding in study.report.evidence.findings)
    shown = Image.open(io.BytesIO(desk.call("render", study_id=study.study_id).content))
    assert shown.mode == "RGB"


def test_a_photograph_of_the_other_eye_is_kept_but_not_interpreted(desk: Any) -> None:
    study = desk.ingest(_png(phantom(np.random.default_rng(3), eye="right")), laterality="L", origin="synthetic")

    assert study.findings_status.status == "no model available"
    assert "says left" in study.findings_status.reason


def test_a_side_that_contradicts_the_header_is_refused(desk: Any) -> None:
    with pytest.raises(InvalidInput, match="must not contradict Image Laterality"):
        desk.ingest(to_dicom(_png(_small()), "R"), laterality="L")


def test_a_side_for_a_ct_is_refused(desk: Any, ct: bytes) -> None:
    with pytest.raises(InvalidInput, match="is for photographs of an eye"):
        desk.ingest(ct, laterality="L")


def test_a_photograph_that_waited_for_a_person_is_taken_in_with_what_was_masked(desk: Any) -> None:
    dataset = dcmread(io.BytesIO(to_dicom(_png(phantom(np.random.default_rng(3))), "R")))
    dataset.BurnedInAnnotation = "YES"
    with pytest.raises(InvalidInput) as caught:
        desk.ingest(_bytes(dataset))
    place = {"left": 0, "top": 0, "right": 9, "bottom": 9}
    fields = {"held_id": caught.value.value, "name": "Dr. A. Reader", "attest": True, "masks": [place]}
    released = desk.call("release_held", **fields)

    assert desk.call("get_study", study_id=released.study_id).image.photometric == "RGB"
