"""Synthetic studies of every kind that exports must bear: series, films, fundus photographs, one frame or several.

Nothing here is a patient's. Pixels are phantoms; regions of random graphs lie on them by chance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from highdicom.legacy import LegacyConvertedEnhancedCTImage, LegacyConvertedEnhancedMRImage
from pydicom.dataset import Dataset
from pydicom.uid import (
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    MRImageStorage,
    OphthalmicPhotography8BitImageStorage,
)

from verticals.medical.evidence import EvidenceGraph
from verticals.medical.graph_probes import random_graph
from verticals.medical.probes import phantom, radiograph
from verticals.medical.report import Report, amended, edited, signed
from verticals.medical.schemas import FindingsStatus, ReportState, Sections

STATES: tuple[ReportState, ...] = ("PRELIMINARY", "EDITED", "FINAL", "AMENDED")
_ROOT = "1.2.826.0.1.3680043.8.498"
_SECTIONS = Sections(
    examination="Synthetic study.",
    technique="Phantom.",
    comparison="No prior study available.",
    findings='Opacity <5 mm & "haze"; 无异常, 2.3\u00a0cm.\nSecond line.',
    impression="Synthetic: nothing to be concluded.",
)


def _film(seed: int, *, sop_class: str, modality: str) -> list[Dataset]:
    """One radiograph; every other one is MONOCHROME1."""
    film = radiograph(phantom(seed, size=96), uid=f"{_ROOT}.{seed + 1}")
    film.SOPClassUID, film.Modality, film.BodyPartExamined = sop_class, modality, "CHEST"
    film.PatientOrientation, film.ImagerPixelSpacing = ["L", "F"], [0.2, 0.2]
    if seed % 2:
        film.PhotometricInterpretation = "MONOCHROME1"
    return [film]


def _slices(seed: int, *, sop_class: str, modality: str) -> list[Dataset]:
    """Four axial slices of one series, 2.5 mm apart."""
    return [_slice(seed, i, sop_class, modality) for i in range(4)]


def _slice(seed: int, i: int, sop_class: str, modality: str) -> Dataset:
    image = radiograph(phantom(seed + i, size=64), uid=f"{_ROOT}.{seed + 1}")
    image.SOPClassUID, image.Modality, image.SOPInstanceUID = sop_class, modality, f"{_ROOT}.{seed + 1}.1.{i + 1}"
    image.BodyPartExamined, image.FrameOfReferenceUID = "CHEST", f"{_ROOT}.{seed + 1}.4"
    image.ImageOrientationPatient, image.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [-40, -40, 2.5 * i]
    image.PixelSpacing, image.SliceThickness, image.InstanceNumber = [1.25, 1.25], 2.5, i + 1
    image.ImageType, image.PositionReferenceIndicator = ["ORIGINAL", "PRIMARY", "AXIAL"], ""
    del image.ViewPosition
    if modality == "CT":
        image.RescaleIntercept, image.RescaleSlope, image.RescaleType = -1024, 1, "HU"
        image.WindowCenter, image.WindowWidth = 40, 400
    else:
        image.WindowCenter, image.WindowWidth = 2048, 4096
    return image


def _enhanced(seed: int, *, sop_class: str, modality: str) -> list[Dataset]:
    """The same slices as frames of one object."""
    slices = _slices(seed, sop_class=sop_class, modality=modality)
    for image in slices:
        for keyword in ("PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate", "StudyTime"):
            setattr(image, keyword, "")
        image.ReferringPhysicianName, image.SeriesNumber, image.Manufacturer = "", 1, "Synthetic"
        image.AcquisitionNumber, image.ContentDate, image.ContentTime = 1, "20260101", "120000"
        image.ScanningSequence, image.SequenceVariant, image.ScanOptions = "SE", "NONE", ""
        image.MRAcquisitionType, image.EchoTime, image.RepetitionTime, image.EchoTrainLength = "2D", 10, 500, 1
    make = {"CT": LegacyConvertedEnhancedCTImage, "MR": LegacyConvertedEnhancedMRImage}[modality]
    uid = f"{_ROOT}.{seed + 1}"
    return [make(slices, f"{uid}.5", 5, f"{uid}.6", 1)]


def _fundus(seed: int, *, frames: int) -> list[Dataset]:
    """A colour photograph of an eye-like disc, of one frame or several."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1:1:80j, -1:1:96j]
    disc = (x**2 + y**2 < 0.9)[None, :, :, None] * np.array((180, 80, 30))
    pixels = (disc + rng.integers(0, 20, (frames, 80, 96, 3))).astype(np.uint8)
    image = radiograph(np.zeros((80, 96), dtype=np.uint8), bits=8, uid=f"{_ROOT}.{seed + 1}")
    image.SOPClassUID, image.Modality, image.ImageLaterality = OphthalmicPhotography8BitImageStorage, "OP", "L"
    image.SamplesPerPixel, image.PhotometricInterpretation, image.PlanarConfiguration = 3, "RGB", 0
    image.BodyPartExamined, image.PatientOrientation, image.NumberOfFrames = "EYE", ["L", "F"], frames
    image.PixelData = pixels.tobytes()
    image["PixelData"].VR = "OB"
    del image.ViewPosition
    return [image]


_CR = "1.2.840.10008.5.1.4.1.1.1"
KINDS_OF_STUDY: Mapping[str, Callable[[int], list[Dataset]]] = {
    "CR": lambda seed: _film(seed, sop_class=_CR, modality="CR"),
    "DX": lambda seed: _film(seed, sop_class=DigitalXRayImageStorageForPresentation, modality="DX"),
    "CT": lambda seed: _slices(seed, sop_class=CTImageStorage, modality="CT"),
    "MR": lambda seed: _slices(seed, sop_class=MRImageStorage, modality="MR"),
    "CT, frames": lambda seed: _enhanced(seed, sop_class=CTImageStorage, modality="CT"),
    "MR, frames": lambda seed: _enhanced(seed, sop_class=MRImageStorage, modality="MR"),
    "OP": lambda seed: _fundus(seed, frames=1),
    "OP, frames": lambda seed: _fundus(seed, frames=3),
}


def study(kind: str, seed: int) -> list[Dataset]:
    """The images of one synthetic study, a key of `KINDS_OF_STUDY`."""
    return KINDS_OF_STUDY[kind](seed)


def report_on(images: list[Dataset], state: ReportState, seed: int) -> Report:
    """A report in that state on a random graph, at least one finding of which has an outline on `images`."""
    graph = next(g for g in _graphs(images, seed) if _has_outline(g))
    return report_with(graph, state, seed)


def _graphs(images: list[Dataset], seed: int) -> Any:
    return (random_graph(1000 * seed + i, modality=images[0].Modality, images=images) for i in range(1000))


def _has_outline(graph: EvidenceGraph) -> bool:
    return any(region.shape == "polyline" for finding in graph.findings for region in finding.regions)


def report_with(graph: EvidenceGraph, state: ReportState = "PRELIMINARY", seed: int = 0) -> Report:
    """A report in that state on a graph."""
    return versions(graph, seed)[STATES.index(state)]


def versions(graph: EvidenceGraph, seed: int = 0) -> list[Report]:
    """A report's four versions, one in each state, signed with a name in one of two scripts."""
    start = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC) + timedelta(minutes=seed)
    draft = Report(
        report_id=f"rp_{seed:016x}",
        study_id=f"st_{seed:016x}",
        version=1,
        state="PRELIMINARY",
        sections=_SECTIONS,
        findings_status=FindingsStatus(status="applied", reason="Random findings on a phantom.", model="phantom@1"),
        created_at=start,
        previous_sha256="",
        evidence=graph,
    )
    minute, signer = timedelta(minutes=1), ("Dr. A. Reader", "王小明")[seed % 2]
    # an edit keeps the evidence that its text states; here files are tested, so the text need not state the graph
    changed = replace(edited(draft, _SECTIONS, expected_version=1, now=start + minute), evidence=graph)
    final = signed(changed, signer=signer, attest=True, expected_version=2, now=start + 2 * minute)
    return [draft, changed, final, amended(final, author="Dr. B. Later", text="Added: 无异常.", now=start + 3 * minute)]
