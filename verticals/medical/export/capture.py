"""The key frames with their regions burned in, as DICOM Secondary Capture, by highdicom. Ignores everything else."""

from __future__ import annotations

from collections.abc import Sequence

from highdicom.sc import SCImage
from highdicom.sr import CodedConcept
from pydicom.dataset import Dataset

from verticals.medical.export.key_frames import drawn, key_frames
from verticals.medical.export.objects import (
    MANUFACTURER,
    MODEL_NAME,
    beside,
    find,
    identity,
    take_over,
    to_bytes,
)
from verticals.medical.frames import num_frames
from verticals.medical.report import Report
from verticals.medical.schemas import NOTICE

_SOURCE = CodedConcept("121322", "DCM", "Source image for image processing operation")


def to_dicom(report: Report, images: Sequence[Dataset]) -> list[bytes]:
    """One colour image for each key frame; none without regions."""
    return [
        to_bytes(_capture(report, find(images, name), frame, number), report)
        for number, (name, frame) in enumerate(key_frames(report), 1)
    ]


def _capture(report: Report, image: Dataset, frame: int, number: int) -> SCImage:
    capture = SCImage.from_ref_dataset(
        ref_dataset=beside(image),
        pixel_array=drawn(image, frame, report.evidence.findings),
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "F"),  # highdicom wants one; the file's own follows
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL_NAME,
        **identity("sc", report, number),
    )
    take_over(capture, image, "Laterality", "PatientOrientation")
    capture.BurnedInAnnotation = "YES"
    capture.DerivationDescription = f"Regions and names of findings burned in. {NOTICE}."
    capture.SourceImageSequence = [_source(image, frame)]
    return capture


def _source(image: Dataset, frame: int) -> Dataset:
    source = Dataset()
    source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
    if num_frames(image) > 1:
        source.ReferencedFrameNumber = frame
    source.PurposeOfReferenceCodeSequence = [_SOURCE]
    return source
