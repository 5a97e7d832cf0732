"""Series: a regular one becomes the volume that it is; every irregular one is refused with tag, value and rule."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from pydicom.dataset import Dataset

from tests.verticals.medical.slices import AXIAL, COLUMNS, ROWS, ct_series, ct_slice, enhanced_ct, values
from verticals.contract import InvalidInput, TooLarge
from verticals.medical import series
from verticals.medical.deidentify import Pseudonyms, deidentify
from verticals.medical.ingest import read
from verticals.medical.probes import to_bytes

OBLIQUE = [0.6, 0.8, 0, 0, 0, -1]  # a coronal plane turned about the body's axis


def test_slices_in_any_order_make_the_volume_in_hounsfield_units() -> None:
    slices = ct_series(5)

    volume = series.assemble([slices[i] for i in (3, 0, 4, 1, 2)])

    assert (volume.values.shape, volume.units, volume.values.dtype) == ((5, ROWS, COLUMNS), "HU", np.float32)
    assert volume.spacing_mm == pytest.approx((2.5, 0.5, 0.75))
    assert np.array_equal(volume.values, np.stack([values(i) - 1000 for i in range(5)]))
    assert volume.slices == tuple((each.SOPInstanceUID, 1) for each in slices)
    assert volume.affine @ [2, 3, 4, 1] == pytest.approx([-10 + 4 * 0.75, -20 + 3 * 0.5, 30 + 2 * 2.5, 1])


def test_an_oblique_series_keeps_its_place_in_the_patient() -> None:
    volume = series.assemble(ct_series(3, orientation=OBLIQUE))

    normal = np.cross(OBLIQUE[:3], OBLIQUE[3:])
    expected = np.array([-10, -20, 30]) + 2 * 2.5 * normal + 0.5 * np.array(OBLIQUE[3:]) + 0.75 * np.array(OBLIQUE[:3])
    assert (volume.affine @ [2, 1, 1, 1])[:3] == pytest.approx(expected)


def test_an_enhanced_object_makes_the_same_volume_as_its_slices() -> None:
    plain, enhanced = series.assemble(ct_series(4)), series.assemble([enhanced_ct(4)])

    assert np.array_equal(enhanced.values, plain.values)
    assert np.array_equal(enhanced.affine, plain.affine)
    assert [frame for _uid, frame in enhanced.slices] == [4, 3, 2, 1]


def test_reading_and_de_identifying_changes_nothing_of_the_volume() -> None:
    for images in (ct_series(4), [enhanced_ct(4)]):
        before = series.assemble(images)

        received = [read(to_bytes(image)).dataset for image in images]
        clean = [deidentify(each, Pseudonyms(b"k" * 32))[0] for each in received]
        for each in clean:
            each.file_meta = images[0].file_meta
        after = series.assemble(clean)

        assert np.array_equal(after.values, before.values)
        assert np.array_equal(after.affine, before.affine)
        assert after.frame_of_reference_uid != before.frame_of_reference_uid


def test_each_slice_is_scaled_by_its_own_rescale() -> None:
    slices = ct_series(3)
    slices[1].RescaleSlope = 2

    volume = series.assemble(slices)

    assert np.array_equal(volume.values[1], values(1) * 2 - 1000)


def test_spacing_comes_from_positions_not_from_slice_thickness() -> None:
    slices = ct_series(3, gap_mm=1.25)
    for each in slices:
        each.SliceThickness, each.SpacingBetweenSlices = 5, 5

    assert series.assemble(slices).spacing_mm[0] == pytest.approx(1.25)


def _set(keyword: str, value: object, index: int = 2) -> Callable[[list[Dataset]], None]:
    return lambda slices: setattr(slices[index], keyword, value)


def _without(keyword: str, index: int = 2) -> Callable[[list[Dataset]], None]:
    return lambda slices: delattr(slices[index], keyword)


def _shear(slices: list[Dataset]) -> None:
    for i, each in enumerate(slices):
        each.ImagePositionPatient[1] += 0.4 * i


def _uneven(slices: list[Dataset]) -> None:
    slices[2].ImagePositionPatient[2] += 0.3


def _replace(slices: list[Dataset]) -> None:
    slices[3] = ct_slice(2)


IRREGULAR: list[tuple[str, Callable[[list[Dataset]], object], str]] = [
    ("missing slice", lambda s: s.pop(2), r"ImagePositionPatient \(0020,0032\).*1 slice is missing after.*32\.5"),
    ("two missing slices", lambda s: [s.pop(2), s.pop(2)], r"2 slices are missing after"),
    ("doubled slice", _replace, r"ImagePositionPatient \(0020,0032\): must differ: two slices are at one place"),
    ("uneven spacing", _uneven, r"must be evenly spaced by 2\.5 mm: the next is 2\.8 mm after"),
    ("mixed orientation", _set("ImageOrientationPatient", [0, 1, 0, 0, 0, -1]), r"\(0020,0037\): must be the same"),
    ("turned a little", _set("ImageOrientationPatient", [0.9999, 0.0141, 0, -0.0141, 0.9999, 0]), r"\(0020,0037\)"),
    ("mixed rows", _set("Rows", 5), r"Rows \(0028,0010\): must be the same .* \(got 5\)"),
    ("mixed columns", _set("Columns", 6), r"Columns \(0028,0011\): must be the same"),
    ("mixed spacing", _set("PixelSpacing", [0.5, 0.7]), r"PixelSpacing \(0028,0030\): must be the same"),
    ("two frames of reference", _set("FrameOfReferenceUID", "1.9"), r"FrameOfReferenceUID \(0020,0052\): must be the"),
    ("two series", _set("SeriesInstanceUID", "1.9"), r"SeriesInstanceUID \(0020,000e\): must be the same"),
    ("mixed photometry", _set("PhotometricInterpretation", "MONOCHROME1"), r"\(0028,0004\): must be the same"),
    ("no frame of reference", _without("FrameOfReferenceUID"), r"FrameOfReferenceUID \(0020,0052\): is required"),
    ("no spacing", _without("PixelSpacing"), r"PixelSpacing \(0028,0030\): is required \(PS3\.3 C\.7\.6\.2\)"),
    ("no position", _without("ImagePositionPatient"), r"ImagePositionPatient \(0020,0032\): is required"),
    ("no orientation", _without("ImageOrientationPatient"), r"ImageOrientationPatient \(0020,0037\): is required"),
    ("no rescale", _without("RescaleSlope"), r"RescaleSlope \(0028,1053\): is required"),
    ("other units", _set("RescaleType", "US"), r"RescaleType \(0028,1054\): must be HU .* \(got 'US'\)"),
    ("tilt declared", _set("GantryDetectorTilt", 12), r"GantryDetectorTilt \(0018,1120\): must be 0.* \(got 12"),
    ("tilted gantry", _shear, r"ImagePositionPatient \(0020,0032\): must lie along the normal.*the gantry was tilted"),
    ("a localizer among them", _set("ImageType", ["ORIGINAL", "PRIMARY", "LOCALIZER"]), r"ImageType \(0008,0008\)"),
    ("no slices", lambda s: s.clear(), r"at least 2 slices"),
    ("one slice", lambda s: [s.pop() for _ in range(6)], r"at least 2 slices .* \(got 1\)"),
    ("a radiograph", _set("Modality", "CR"), r"Modality \(0008,0060\): must be CT or MR"),
    ("frames without their places", _set("NumberOfFrames", 2), r"PerFrameFunctionalGroupsSequence .*is required"),
]


@pytest.mark.parametrize(("kind", "spoil", "rule"), IRREGULAR, ids=[kind for kind, *_ in IRREGULAR])
def test_an_irregular_series_is_refused(kind: str, spoil: Callable[[list[Dataset]], object], rule: str) -> None:
    slices = ct_series(7)
    spoil(slices)

    with pytest.raises(InvalidInput, match=rule):
        series.assemble(slices)


def test_an_enhanced_object_whose_frame_has_no_place_is_refused() -> None:
    image = enhanced_ct(3)
    del image.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence

    with pytest.raises(InvalidInput, match=r"ImagePositionPatient \(0020,0032\): is required"):
        series.assemble([image])


def test_a_series_of_more_voxels_than_fit_is_refused_before_it_is_decoded() -> None:
    slices = ct_series(5)
    for each in slices:
        each.Rows = each.Columns = 65_535
        del each.PixelData

    with pytest.raises(TooLarge, match=r"Rows \(0028,0010\): must have at most \d+ voxels"):
        series.assemble(slices)


def test_a_message_never_holds_a_uid_of_the_hospital() -> None:
    slices = ct_series(3, orientation=AXIAL)
    slices[1].SeriesInstanceUID = "1.2.840.4711"

    with pytest.raises(InvalidInput, match="SeriesInstanceUID") as caught:
        series.assemble(slices)

    assert "4711" not in str(caught.value)
