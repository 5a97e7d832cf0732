"""A series of CT or MR images to one volume, or a refusal with tag, value and rule. Nothing is guessed or resampled.

Spacing between slices comes from the positions alone (PS3.3 C.7.6.2.1.1), never from Slice Thickness or from Spacing
Between Slices. Ignores storage: it is given data sets with native pixels. Patient coordinates are DICOM's: x to the
patient's left, y to the back, z to the head, in millimetres.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.pixels import pixel_array

from verticals.contract import TooLarge
from verticals.medical.attributes import name, numbers_of, refuse, value_of
from verticals.medical.frames import PER_FRAME, frame_header, is_enhanced, num_frames
from verticals.medical.geometry import modality_values

Array = np.ndarray[Any, np.dtype[Any]]

MAX_VOXELS = 512 * 512 * 2048
MIN_SLICES = 2
COSINE_TOLERANCE = 1e-4
SPACING_TOLERANCE_MM = 1e-4  # within the image plane
GAP_TOLERANCE_MM, GAP_TOLERANCE = 0.01, 0.01  # a gap may differ from the median gap by 0.01 mm + 1 %
SHEAR_TOLERANCE_MM = 0.05  # per slice: how far its corner may lie off the line that the others stand on
TILT_TOLERANCE_DEG = 0.05
_PLANE = "PS3.3 C.7.6.2.1.1"


@dataclass(frozen=True)
class Volume:
    """Values on a regular grid. `values` is (slices, rows, columns), slices in the direction of the normal."""

    values: Array  # float32, output units of the modality LUT: Hounsfield for CT
    units: str  # "HU" for CT, else "unspecified"
    affine: Array  # (4, 4), float64: (slice, row, column, 1) -> (x, y, z, 1) in mm, patient coordinates
    spacing_mm: tuple[float, float, float]  # between slices, between rows, between columns
    frame_of_reference_uid: str
    slices: tuple[tuple[str, int], ...]  # of each: SOP Instance UID and frame, from 1


@dataclass(frozen=True)
class _Slice:
    header: Dataset  # of the frame
    source: Dataset
    frame_idx: int
    position_mm: Array  # (3,)


def assemble(images: Iterable[Dataset]) -> Volume:
    """The volume that the images of one series make.

    Args:
        images: Data sets with native pixels, in any order; each frame of a multi-frame object is a slice.
    Raises:
        InvalidInput: an attribute is missing, or differs between slices; a slice is missing, doubled or tilted.
        TooLarge: more than `MAX_VOXELS`, before any pixel is decoded.
    """
    slices = [each for image in images for each in _slices(image)]
    if len(slices) < MIN_SLICES:
        refuse("InstanceNumber", f"a volume must have at least {MIN_SLICES} slices", _PLANE, len(slices))
    first = slices[0].header
    _check_equal(slices)
    rows, columns = int(first.Rows), int(first.Columns)
    if len(slices) * rows * columns > MAX_VOXELS:
        raise TooLarge(f"must have at most {MAX_VOXELS} voxels", field=name("Rows"), value=len(slices) * rows * columns)
    cosines = np.array(numbers_of(first, "ImageOrientationPatient", 6, _PLANE)).reshape(2, 3)
    normal = np.cross(cosines[0], cosines[1])
    slices.sort(key=lambda each: float(each.position_mm @ normal))
    gap_mm = _gap(slices, normal)
    _check_straight(slices, normal, gap_mm)
    row_mm, column_mm = numbers_of(first, "PixelSpacing", 2, "PS3.3 C.7.6.2")
    affine = np.eye(4)
    step = (slices[-1].position_mm - slices[0].position_mm) / (len(slices) - 1)
    # Pixel Spacing is (between rows, between columns); rows follow one another along the column's cosines.
    affine[:3, :3] = np.stack([step, cosines[1] * row_mm, cosines[0] * column_mm], axis=1)
    affine[:3, 3] = slices[0].position_mm
    return Volume(
        values=_values(slices, rows, columns),
        units="HU" if first.Modality == "CT" else "unspecified",
        affine=affine,
        spacing_mm=(gap_mm, row_mm, column_mm),
        frame_of_reference_uid=str(first.FrameOfReferenceUID),
        slices=tuple((str(each.source.SOPInstanceUID), each.frame_idx + 1) for each in slices),
    )


def _slices(image: Dataset) -> list[_Slice]:
    modality = value_of(image, "Modality", "PS3.3 C.7.3.1")
    if modality not in ("CT", "MR"):
        refuse("Modality", "must be CT or MR to make a volume", "PS3.3 C.7.3.1.1.1")
    if "LOCALIZER" in (image.get("ImageType") or []):
        refuse("ImageType", "must not be a localizer", "PS3.3 C.8.2.1.1.1", "LOCALIZER")
    frames = num_frames(image)
    if frames > 1 and not is_enhanced(image):
        refuse(PER_FRAME, "is required in a multi-frame volume: each frame has its own place", "PS3.3 C.7.6.16", frames)
    found = []
    for index in range(frames):
        header = frame_header(image, index)
        position = np.array(numbers_of(header, "ImagePositionPatient", 3, _PLANE))
        found.append(_Slice(header, image, index, position))
    return found


def _check_equal(slices: Sequence[_Slice]) -> None:
    """Every slice must say the same as the first of what makes them one grid."""
    first = slices[0].header
    exact = (
        ("SeriesInstanceUID", "PS3.3 C.7.3.1"),
        ("FrameOfReferenceUID", "PS3.3 C.7.4.1"),
        ("Modality", "PS3.3 C.7.3.1"),
        ("Rows", "PS3.3 C.7.6.3.1"),
        ("Columns", "PS3.3 C.7.6.3.1"),
        ("PhotometricInterpretation", "PS3.3 C.7.6.3.1.2"),
    )
    close = (
        ("ImageOrientationPatient", 6, COSINE_TOLERANCE, _PLANE),
        ("PixelSpacing", 2, SPACING_TOLERANCE_MM, "PS3.3 C.7.6.2"),
    )
    for each in slices:
        for keyword, clause in exact:
            if value_of(each.header, keyword, clause) != value_of(first, keyword, clause):
                refuse(keyword, "must be the same in every slice of a volume", clause, _shown(each.header, keyword))
        if each.header.get("ConvolutionKernel") != first.get("ConvolutionKernel"):  # optional, so in all or in none
            refuse("ConvolutionKernel", "must be the same in every slice of a volume", "PS3.3 C.8.2.1")
        for keyword, count, tolerance, clause in close:
            numbers = numbers_of(each.header, keyword, count, clause)
            if not np.allclose(numbers, numbers_of(first, keyword, count, clause), rtol=0, atol=tolerance):
                refuse(keyword, f"must be the same in every slice of a volume, within {tolerance}", clause, numbers)
        _check_scale_and_tilt(each.header)


def _shown(header: Dataset, keyword: str) -> Any:
    """The value for a message, unless it is a UID, which may be the hospital's."""
    return None if keyword.endswith("UID") else header[keyword].value


def _check_scale_and_tilt(header: Dataset) -> None:
    if header.Modality == "CT":
        numbers_of(header, "RescaleSlope", 1, "PS3.3 C.8.2.1, C.11.1")
        numbers_of(header, "RescaleIntercept", 1, "PS3.3 C.8.2.1, C.11.1")
        if (kind := header.get("RescaleType") or "HU") != "HU":
            refuse("RescaleType", "must be HU", "PS3.3 C.11.1.1.2", str(kind))
    tilt = numbers_of(header, "GantryDetectorTilt", 1, "PS3.3 C.8.2.1") if header.get("GantryDetectorTilt") else [0.0]
    if abs(tilt[0]) > TILT_TOLERANCE_DEG:
        refuse(
            "GantryDetectorTilt",
            "must be 0: slices of a tilted gantry make no right-angled grid",
            "PS3.3 C.8.2.1",
            tilt[0],
        )


def _gap(slices: Sequence[_Slice], normal: Array) -> float:
    """The distance between neighbouring slices, mm, if it is the same everywhere."""
    along = [float(each.position_mm @ normal) for each in slices]
    gaps = np.array([b - a for a, b in pairwise(along)])
    for i in map(int, np.flatnonzero(gaps <= GAP_TOLERANCE_MM)):
        refuse("ImagePositionPatient", "must differ: two slices are at one place", _PLANE, _place(slices[i + 1]))
    gap_mm = float(np.median(gaps))
    uneven = np.abs(gaps - gap_mm) > GAP_TOLERANCE_MM + GAP_TOLERANCE * gap_mm
    for i in map(int, np.flatnonzero(uneven)):
        missing = round(float(gaps[i]) / gap_mm) - 1
        rule = f"must be evenly spaced by {gap_mm:.4g} mm"
        if missing >= 1 and abs(gaps[i] - (missing + 1) * gap_mm) <= GAP_TOLERANCE_MM + GAP_TOLERANCE * gaps[i]:
            rule += f": {missing} slice{'s are' if missing > 1 else ' is'} missing after"
        else:
            rule += f": the next is {gaps[i]:.4g} mm after"
        refuse("ImagePositionPatient", rule, _PLANE, _place(slices[i]))
    return float((along[-1] - along[0]) / (len(along) - 1))


def _place(each: _Slice) -> list[float]:
    return [round(float(v), 4) for v in each.position_mm]


def _check_straight(slices: Sequence[_Slice], normal: Array, gap_mm: float) -> None:
    """Each slice must lie over the first, along the normal: else the grid is sheared, as with a tilted gantry."""
    start = slices[0].position_mm
    for i, each in enumerate(slices):
        off = each.position_mm - (start + normal * gap_mm * i)
        across = off - normal * (off @ normal)
        if float(np.linalg.norm(across)) > SHEAR_TOLERANCE_MM:
            rule = "must lie along the normal of the slices: the gantry was tilted or the table moved sideways"
            refuse("ImagePositionPatient", rule, _PLANE, _place(each))


def _values(slices: Sequence[_Slice], rows: int, columns: int) -> Array:
    """Output units of every slice; each slice by its own rescale."""
    values = np.empty((len(slices), rows, columns), dtype=np.float32)
    for i, each in enumerate(slices):
        stored = pixel_array(each.source, raw=True, index=each.frame_idx)
        values[i] = modality_values(stored, each.header)
    return values
