"""Synthetic CT series with a known grid: plain slices, and the same as one enhanced object."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian

AXIAL = [1, 0, 0, 0, 1, 0]
ROWS, COLUMNS = 6, 5
Array = np.ndarray[Any, np.dtype[Any]]


def ct_slice(index: int, *, gap_mm: float = 2.5, orientation: list[float] = AXIAL, uid: str = "1.2.3") -> Dataset:
    """Slice `index` of an axial CT whose every value tells its place: 100 slice + 10 row + column - 1000 HU."""
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    dataset = _base(CTImageStorage, f"{uid}.3.{index + 1}", uid)
    dataset.InstanceNumber = index + 1
    dataset.ImagePositionPatient = [
        f"{v:.6g}" for v in np.array([-10, -20, 30]) + np.cross(row, column) * gap_mm * index
    ]
    dataset.ImageOrientationPatient, dataset.PixelSpacing = orientation, [0.5, 0.75]
    dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = 1, -1000, "HU"
    dataset.PixelData = values(index).astype("<u2").tobytes()
    return dataset


def values(index: int) -> Array:
    """Stored values of slice `index`, (rows, columns)."""
    row, column = np.mgrid[:ROWS, :COLUMNS]
    return np.asarray(100 * index + 10 * row + column)


def ct_series(count: int, **how: Any) -> list[Dataset]:
    """Slices in order."""
    return [ct_slice(index, **how) for index in range(count)]


def enhanced_ct(count: int, *, gap_mm: float = 2.5, uid: str = "1.2.3") -> Dataset:
    """The same as one multi-frame object; its frames are stored from the last to the first."""
    dataset = _base(EnhancedCTImageStorage, f"{uid}.3.9", uid)
    dataset.NumberOfFrames = count
    shared = Dataset()
    shared.PixelMeasuresSequence = Sequence([_item(PixelSpacing=[0.5, 0.75], SliceThickness=5)])
    shared.PlaneOrientationSequence = Sequence([_item(ImageOrientationPatient=AXIAL)])
    rescale = _item(RescaleIntercept=-1000, RescaleSlope=1, RescaleType="HU")
    shared.PixelValueTransformationSequence = Sequence([rescale])
    dataset.SharedFunctionalGroupsSequence = Sequence([shared])
    order = range(count - 1, -1, -1)
    places = [_item(ImagePositionPatient=[-10, -20, f"{30 + gap_mm * index:.6g}"]) for index in order]
    dataset.PerFrameFunctionalGroupsSequence = Sequence([_item(PlanePositionSequence=Sequence([p])) for p in places])
    dataset.PixelData = np.stack([values(index) for index in order]).astype("<u2").tobytes()
    return dataset


def _item(**attributes: Any) -> Dataset:
    item = Dataset()
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item


def _base(sop_class: str, sop_instance: str, uid: str) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, sop_instance
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.FrameOfReferenceUID = (
        f"{uid}.1",
        f"{uid}.2",
        f"{uid}.4",
    )
    dataset.Modality, dataset.PatientID, dataset.PatientName = "CT", "SYNTHETIC", "Synthetic^Phantom"
    dataset.StudyDate, dataset.SeriesNumber = "20260301", 2
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.PhotometricInterpretation, dataset.SamplesPerPixel, dataset.PixelRepresentation = "MONOCHROME2", 1, 0
    dataset.Rows, dataset.Columns = ROWS, COLUMNS
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    return dataset
