"""The outlined regions of a report as DICOM SEG, one binary segment a finding, by highdicom. Ignores points."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.seg import Segmentation, SegmentDescription
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ComputedRadiographyImageStorage

from verticals.medical.evidence import READER, Finding, Region
from verticals.medical.export.codes import SIDES, split_model
from verticals.medical.export.key_frames import alike
from verticals.medical.export.measurement_report import concept
from verticals.medical.export.objects import beside, equipment, identity, take_over, to_bytes, tracking_uid
from verticals.medical.frames import num_frames
from verticals.medical.report import Report
from verticals.medical.schemas import NOTICE
from verticals.medical.vocabulary import KINDS, SITES

Array = np.ndarray[Any, np.dtype[Any]]


def to_dicom(report: Report, images: Sequence[Dataset]) -> list[bytes]:
    """One SEG for each group of like images with an outline; none without outlines.

    Frames of an object without functional groups have no place in space, and get one SEG each.
    """
    made: list[bytes] = []
    for group in alike(images):
        for frame in _apart(group[0]):
            shown = [image for image in group if _outlines(report.evidence.findings, image, frame)]
            if shown:
                made.append(to_bytes(_segmentation(report, shown, frame, len(made) + 1), report))
    return made


def _apart(image: Dataset) -> Sequence[int | None]:
    """The frames that need a SEG of their own; None: all together."""
    is_plain = "NumberOfFrames" in image and "SharedFunctionalGroupsSequence" not in image
    return range(1, num_frames(image) + 1) if is_plain else [None]


def _outlines(findings: Sequence[Finding], image: Dataset, frame: int | None) -> list[Region]:
    return [
        region
        for finding in findings
        for region in finding.regions
        if region.shape == "polyline"
        and region.sop_instance_uid == image.SOPInstanceUID
        and frame in (None, region.frame)
    ]


def _segmentation(report: Report, images: Sequence[Dataset], frame: int | None, number: int) -> Segmentation:
    findings = [f for f in report.evidence.findings if any(_outlines([f], image, frame) for image in images)]
    made = Segmentation(
        source_images=[beside(image) if frame is None else _alone(image) for image in images],
        pixel_array=masks(findings, images, frame),
        segmentation_type="BINARY",
        segment_descriptions=[_description(f, i + 1, report) for i, f in enumerate(findings)],
        content_label="FINDINGS",
        content_description=NOTICE,
        **identity("seg", report, number),
        **equipment(),
    )
    if "FrameOfReferenceUID" not in made:
        take_over(made, images[0], "PatientOrientation")
    if frame is not None:
        _refer_to(made, images[0], frame)
    return made


def _alone(image: Dataset) -> Dataset:
    """The image as one frame without a place, in a class of one frame: others must have functional groups here."""
    alone = beside(image)
    for keyword in ("NumberOfFrames", "FrameOfReferenceUID", "SOPClassUID"):
        alone.pop(keyword, None)  # elements are shared with the image: replaced, never changed
    alone.SOPClassUID = ComputedRadiographyImageStorage
    return alone


def _refer_to(document: Dataset, image: Dataset, frame: int) -> None:
    """Undo `_alone` where the image is named."""

    def name(item: Dataset, element: Any) -> None:
        if element.keyword == "ReferencedSOPInstanceUID" and element.value == image.SOPInstanceUID:
            item.ReferencedSOPClassUID = image.SOPClassUID
            if num_frames(image) > 1:
                item.ReferencedFrameNumber = frame

    document.walk(name)


def masks(findings: Sequence[Finding], images: Sequence[Dataset], frame: int | None = None) -> Array:
    """Filled outlines, uint8, (images, or frames of the one image, or that frame; rows; columns; findings)."""
    first = images[0]
    planes = 1 if frame is not None else max(len(images), num_frames(first))
    filled = np.zeros((planes, first.Rows, first.Columns, len(findings)), dtype=np.uint8)
    for place, image in enumerate(images):
        for i, finding in enumerate(findings):
            for region in _outlines([finding], image, frame):
                # Either several images of one frame each, or one image of several frames.
                plane = 0 if frame is not None else place + region.frame - 1
                filled[plane, :, :, i] |= fill(region.points, first.Rows, first.Columns)
    return filled


def fill(outline: Sequence[tuple[float, float]], rows: int, columns: int) -> Array:
    """Pixels whose centre lies inside a closed outline by the even-odd rule, bool, (rows, columns).

    An outline that holds no centre is the one pixel under its middle, so that no segment is empty.
    """
    corners = np.array(outline)
    limits = np.array((columns, rows))
    (left, top), (right, bottom) = (
        np.clip(edge, 0, limits).astype(int) for edge in (np.floor(corners.min(axis=0)), np.ceil(corners.max(axis=0)))
    )
    y, x = np.mgrid[top:bottom, left:right] + 0.5  # nothing outside the box can be inside
    within = np.zeros(x.shape, dtype=bool)
    for (x1, y1), (x2, y2) in pairwise(outline):
        if y1 != y2:
            crosses = (y >= min(y1, y2)) & (y < max(y1, y2))
            within ^= crosses & (x < x1 + (y - y1) * (x2 - x1) / (y2 - y1))
    filled = np.zeros((rows, columns), dtype=bool)
    filled[top:bottom, left:right] = within
    if not filled.any():
        column, row = np.clip(corners[:-1].mean(axis=0), 0, limits - 1).astype(int)
        filled[row, column] = True
    return filled


def _description(finding: Finding, number: int, report: Report) -> SegmentDescription:
    name, version = split_model(finding.model)
    by_reader = finding.model == READER
    algorithm = AlgorithmIdentificationSequence(name[:64], codes.cid7162.ArtificialIntelligence, version[:64])  # VR LO
    description = SegmentDescription(
        segment_number=number,
        segment_label=f"{finding.finding_id} {KINDS[finding.kind].english}"[:64],
        segmented_property_category=codes.cid7150.MorphologicallyAbnormalStructure,
        segmented_property_type=concept(KINDS[finding.kind].code),
        algorithm_type="MANUAL" if by_reader else "AUTOMATIC",
        algorithm_identification=None if by_reader else algorithm,
        tracking_uid=tracking_uid(report, finding.finding_id),
        tracking_id=finding.finding_id,
        anatomic_regions=None if finding.site is None else [concept(SITES[finding.site].code)],
    )
    if finding.side is not None:
        description.AnatomicRegionSequence[0].AnatomicRegionModifierSequence = [concept(SIDES[finding.side])]
    return description
