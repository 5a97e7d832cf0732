"""Synthetic inputs with a known answer, for evaluation and tests: phantoms, faults, degradations.

Nothing here is a patient's. Ignores how the answers are scored.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.tag import Tag
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian

from verticals.medical.quality import box_mean

Array = np.ndarray[Any, np.dtype[Any]]

PYDICOM_FILES = ("CT_small.dcm", "MR_small.dcm")
VALID_FILES = (
    *PYDICOM_FILES,
    *("MR_small_RLE.dcm", "MR_small_bigendian.dcm", "MR_small_implicit.dcm", "MR_small_jp2klossless.dcm"),
    *("MR_small_jpeg_ls_lossless.dcm", "693_J2KI.dcm", "examples_overlay.dcm"),
)


def pydicom_file(name: str) -> bytes:
    """A test file that is part of the pydicom package."""
    return Path(str(get_testdata_file(name, download=False))).read_bytes()


def to_bytes(dataset: Dataset) -> bytes:
    """The data set as a Part 10 file."""
    buffer = io.BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def phantom(seed: int, *, size: int = 512) -> Array:
    """A synthetic, chest-like radiograph: (size, size), uint16, 12 bits, bone bright, with texture and noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    image = 0.75 - 0.25 * (x**2 + y**2)
    for side in (-1, 1):
        cx, cy, rx, ry = side * rng.uniform(0.35, 0.45), rng.uniform(-0.1, 0.1), rng.uniform(0.25, 0.32), 0.6
        image -= rng.uniform(0.3, 0.4) / (1 + np.exp(20 * (((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 - 1)))
    ribs = np.sin(2 * np.pi * (6 * y + 1.5 * x**2 + rng.uniform()))
    image += 0.06 / (1 + np.exp(-40 * (ribs - 0.6))) + 0.15 * (np.abs(x) < 0.06)
    vessels = rng.normal(size=(size, size))
    spectrum = np.fft.rfft2(vessels)
    fy, fx = np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None]
    image += 6 * np.fft.irfft2(spectrum / (1 + (np.hypot(fy, fx) * size / 2) ** 1.5), s=(size, size))
    image += rng.normal(scale=0.006, size=image.shape)
    return np.asarray(np.clip(image, 0.01, 0.99) * 4095, dtype=np.uint16)


def radiograph(image: Array, *, bits: int = 12, uid: str = "1.2.826.0.1.3680043.8.498.1") -> Dataset:
    """A CR object around an image whose bone is bright; MONOCHROME2, CHEST, PA, without spacing."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = ComputedRadiographyImageStorage
    dataset.SOPInstanceUID, dataset.StudyInstanceUID, dataset.SeriesInstanceUID = uid, f"{uid}.2", f"{uid}.3"
    dataset.Modality, dataset.BodyPartExamined, dataset.ViewPosition = "CR", "CHEST", "PA"
    dataset.PatientID, dataset.PatientName = "SYNTHETIC", "Synthetic^Phantom"
    dataset.PhotometricInterpretation, dataset.SamplesPerPixel, dataset.PixelRepresentation = "MONOCHROME2", 1, 0
    dataset.Rows, dataset.Columns = image.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = image.itemsize * 8, bits, bits - 1
    data = image.tobytes()
    dataset.PixelData = data + b"\0" * (len(data) % 2)
    dataset["PixelData"].VR = "OW"
    return dataset


# --- faults ----------------------------------------------------------------------------------------------------------


def faulty_files() -> Iterator[tuple[str, bytes]]:
    """(kind of fault, file) made from pydicom's CT: each must be refused."""
    good = pydicom_file("CT_small.dcm")
    yield from _broken_files(good)
    for keyword in _REQUIRED:
        yield f"without {keyword}", _changed(good, keyword, None)
    for keyword in ("SOPInstanceUID", "StudyInstanceUID", "Modality", "PixelSpacing", "PhotometricInterpretation"):
        yield f"empty {keyword}", _changed(good, keyword, b"")
    for keyword, vr, raw in _WRONG:
        yield f"{keyword} is {raw[:24]!r}", _changed(good, keyword, raw, vr)
    for syntax in ("1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.90", "1.2.3", "x"):
        yield f"transfer syntax {syntax}", _with_syntax(good, syntax)


_REQUIRED = (
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality", "Rows", "Columns"),
    *("SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
    *("PixelData", "RescaleSlope", "RescaleIntercept", "PixelSpacing", "ImageOrientationPatient"),
    "ImagePositionPatient",
)
_WRONG: tuple[tuple[str, str, bytes], ...] = (
    ("SOPClassUID", "UI", b"1.2.840.10008.5.1.4.1.1.88.11"),
    ("SOPInstanceUID", "UI", b"1..2"),
    ("StudyInstanceUID", "UI", b"1.02.3"),
    ("SeriesInstanceUID", "UI", b"1." + b"9" * 70),
    ("Modality", "CS", b"MR"),
    ("Rows", "US", b"\0\0"),
    ("Rows", "US", b"\x81\0"),
    ("Rows", "US", b"\x80"),
    ("Columns", "US", b"\xff\xff"),
    ("Columns", "LO", b"many"),
    ("SamplesPerPixel", "US", b"\3\0"),
    ("PhotometricInterpretation", "CS", b"RGB "),
    ("BitsAllocated", "US", b"\x0c\0"),
    ("BitsAllocated", "US", b"\x20\0"),
    ("BitsStored", "US", b"\x11\0"),
    ("BitsStored", "US", b"\x08\0"),
    ("HighBit", "US", b"\x07\0"),
    ("PixelRepresentation", "US", b"\2\0"),
    ("NumberOfFrames", "IS", b"0 "),
    ("NumberOfFrames", "IS", b"-1"),
    ("NumberOfFrames", "IS", b"1000000000"),
    ("NumberOfFrames", "IS", b"several "),
    ("RescaleSlope", "DS", b"0 "),
    ("RescaleSlope", "DS", b"one "),
    ("RescaleSlope", "DS", b"1e308 "),
    ("RescaleIntercept", "DS", b"nan "),
    ("ModalityLUTSequence", "LO", b"no table"),
    ("RescaleIntercept", "DS", b"1\\2 "),
    ("PixelSpacing", "DS", b"0.5 "),
    ("PixelSpacing", "DS", b"0\\0.5 "),
    ("PixelSpacing", "DS", b"-1\\1"),
    ("ImageOrientationPatient", "DS", b"1\\0\\0\\1\\0\\0 "),
    ("ImageOrientationPatient", "DS", b"1\\0\\0 "),
    ("ImagePositionPatient", "DS", b"here"),
)


# An item that opens a sequence of undefined length, whose item opens another.
_NEST = b"\xfe\xff\x00\xe0\xff\xff\xff\xff\x08\x00\x51\x00SQ\0\0\xff\xff\xff\xff"


def _changed(good: bytes, keyword: str, raw: bytes | None, vr: str | None = None) -> bytes:
    """The file with the raw value of one attribute replaced, or without the attribute."""
    dataset = dcmread(io.BytesIO(good))
    tag = Tag(tag_for_keyword(keyword) or 0)
    if raw is None:
        del dataset[tag]
    else:
        dataset[tag] = RawDataElement(
            tag, vr or dictionary_VR(keyword).split(" or ")[-1], len(raw), raw, 0, False, True
        )
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


def _with_syntax(good: bytes, syntax: str) -> bytes:
    """Replace the transfer syntax in the bytes, the group length with it."""
    old = b"\x02\x00\x10\x00UI"
    at = good.index(old)
    length = struct.unpack_from("<H", good, at + 6)[0]
    value = syntax.encode() + b"\0" * (len(syntax) % 2)
    group = struct.unpack_from("<I", good, 140)[0] + len(value) - length
    return (good[:140] + struct.pack("<I", group) + good[144:at] + old + struct.pack("<H", len(value)) + value) + good[
        at + 8 + length :
    ]


def _broken_files(good: bytes) -> Iterator[tuple[str, bytes]]:
    yield "empty file", b""
    yield "text", b"patient report\n" * 40
    yield "PNG", b"\x89PNG\r\n\x1a\n" + bytes(400)
    yield "ZIP", b"PK\3\4" + bytes(400)
    yield "only the preamble", good[:132]
    for share in (0.005, 0.02, 0.1, 0.15, 0.3, 0.6, 0.9, 0.99):
        yield f"cut at {share:.1%}", good[: int(len(good) * share)]
    pixels = dcmread(io.BytesIO(good)).PixelData
    yield "pixel data too long", _changed(good, "PixelData", pixels + bytes(1000))
    yield "pixel data too short", _changed(good, "PixelData", pixels[:1000])
    yield "header over the limit", _changed(good, "ImageComments", b"x" * 2**21, "UT")
    at = good.index(b"\x08\x00\x60\x00CS")
    yield "sequences nested without end", good[:at] + _NEST[8:] + _NEST * 20_000 + good[at:]
    yield "burned-in text declared", _changed(good, "BurnedInAnnotation", b"YES ")
    yield "claims 2 GB of pixels", _changed(_changed(good, "Rows", b"\xff\xff"), "Columns", b"\xff\x40")


# --- degradations ----------------------------------------------------------------------------------------------------

SEVERITIES = (0, 1, 2)


def degradations(frame: Array, seed: int) -> Iterator[tuple[str, int, Array]]:
    """(kind, severity, degraded frame) of a good frame of unsigned or signed integers, bright bone."""
    rng = np.random.default_rng(seed)
    low, high = (float(v) for v in np.percentile(frame, (1, 99)))
    spread = high - low
    for severity in SEVERITIES:
        blurred = frame.astype(np.float64)
        for axis in (0, 1, 0, 1):
            blurred = box_mean(blurred, (7, 13, 25)[severity], axis)
        noisy = frame + rng.normal(scale=(0.06, 0.12, 0.25)[severity] * spread, size=frame.shape)
        flat = low + np.floor((frame - low) / spread * (48, 24, 8)[severity])
        bright = np.minimum(frame, np.percentile(frame, (90, 75, 50)[severity]))
        covered = frame.copy()
        covered[: int(frame.shape[0] * (0.65, 0.8, 0.96)[severity])] = frame.min()
        for kind, image in (("blur", blurred), ("noise", noisy), ("under-exposed", flat), ("saturated", bright)):
            yield kind, severity, _like(image, frame)
        yield "collimated", severity, covered


def _like(image: Array, frame: Array) -> Array:
    limits = np.iinfo(frame.dtype)
    return np.clip(np.rint(image), limits.min, limits.max).astype(frame.dtype)
