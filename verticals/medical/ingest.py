"""Read one DICOM file, or refuse it with the tag and the rule. Ignores every attribute it does not need.

Reads CT, MR, CR, DX and OP images, CT and MR also enhanced (PS3.3 A.3, A.38, A.4, A.36, A.2, A.26, A.41), in every
transfer syntax that the installed decoders read. The result holds native pixels, so that nothing hides in a compressed
stream, in the preamble, in unused bits or behind the pixel data.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.pixels import pixel_array as decode
from pydicom.sequence import Sequence
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSNearLossless,
    RLELossless,
)

from verticals.contract import TooLarge, UnsupportedMedia
from verticals.medical import colour
from verticals.medical.attributes import name, numbers_of, refuse, value_of
from verticals.medical.frames import PER_FRAME, frame_header, is_enhanced
from verticals.medical.part10 import UID_PATTERN, parse

Array = np.ndarray[Any, np.dtype[Any]]

MAX_PIXEL_BYTES = 64 * 2**20  # after decompression
MAX_RLE_BYTES = 8 * 2**20  # a run of two bytes may become 128, and the decoder has no limit of its own

SOP_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.2": "CT",
    "1.2.840.10008.5.1.4.1.1.2.1": "CT",  # enhanced: multi-frame, in functional groups
    "1.2.840.10008.5.1.4.1.1.2.2": "CT",  # legacy converted enhanced
    "1.2.840.10008.5.1.4.1.1.4": "MR",
    "1.2.840.10008.5.1.4.1.1.4.1": "MR",  # enhanced
    "1.2.840.10008.5.1.4.1.1.4.4": "MR",  # legacy converted enhanced
    "1.2.840.10008.5.1.4.1.1.1": "CR",
    "1.2.840.10008.5.1.4.1.1.1.1": "DX",  # for presentation
    "1.2.840.10008.5.1.4.1.1.1.1.1": "DX",  # for processing
    colour.SOP_CLASS: colour.MODALITY,
}
_CAN_LOSE = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless, JPEG2000, HTJ2K)
# SOF markers of ISO/IEC 10918-1 B.1.1.3 and ISO/IEC 14495-1 C.1.1
_START_OF_FRAME = (set(range(0xFFC0, 0xFFD0)) - {0xFFC4, 0xFFC8, 0xFFCC}) | {0xFFF7}
_UIDS = {"SOPInstanceUID": "PS3.3 C.12.1", "StudyInstanceUID": "PS3.3 C.7.2.1", "SeriesInstanceUID": "PS3.3 C.7.3.1"}

# Attribute, its permitted values, and the clause that says so.
_INTEGERS: tuple[tuple[str, range | tuple[int, ...], str], ...] = (
    ("Rows", range(1, 2**16), "PS3.3 C.7.6.3.1"),
    ("Columns", range(1, 2**16), "PS3.3 C.7.6.3.1"),
    ("SamplesPerPixel", (1, 3), "PS3.3 C.7.6.3.1"),
    ("BitsAllocated", (8, 16), "PS3.5 8.1.1"),
    ("BitsStored", range(1, 17), "PS3.5 8.1.1"),
    ("HighBit", range(16), "PS3.5 8.1.1"),
    ("PixelRepresentation", (0, 1), "PS3.3 C.7.6.3.1"),
)
# Attribute, how many numbers, the modalities that must have it, and the clause. Where optional, it must still be right.
_REALS: tuple[tuple[str, int, tuple[str, ...], str], ...] = (
    ("RescaleSlope", 1, ("CT",), "PS3.3 C.8.2.1, C.11.1"),
    ("RescaleIntercept", 1, ("CT",), "PS3.3 C.8.2.1, C.11.1"),
    ("PixelSpacing", 2, ("CT", "MR"), "PS3.3 C.7.6.2"),
    ("ImagerPixelSpacing", 2, ("DX",), "PS3.3 C.8.11.4"),
    ("ImageOrientationPatient", 6, ("CT", "MR"), "PS3.3 C.7.6.2.1.1"),
    ("ImagePositionPatient", 3, ("CT", "MR"), "PS3.3 C.7.6.2.1.1"),
)


@dataclass(frozen=True)
class Received:
    """A valid object with native little-endian pixels. `dataset` still holds the patient's data."""

    dataset: Dataset
    modality: str
    stored: Array  # (frames, rows, columns), uint8, int8, uint16 or int16; colour: (..., 3), RGB
    warnings: list[str]


def read(content: bytes) -> Received:
    """Read and check one DICOM Part 10 file.

    Raises:
        UnsupportedMedia: not DICOM, or a SOP class or transfer syntax that is not read here.
        TooLarge: over a limit above, before anything is decompressed.
        InvalidInput: a missing or wrong attribute, by keyword, tag, rule and clause.
    """
    dataset = parse(content)
    sop_class = str(value_of(dataset, "SOPClassUID", "PS3.3 C.12.1"))
    modality = SOP_CLASSES.get(sop_class)
    if modality is None:
        raise UnsupportedMedia(
            f"must be a {', '.join(sorted(set(SOP_CLASSES.values())))} Image Storage class", field=name("SOPClassUID")
        )
    if str(value_of(dataset, "Modality", "PS3.3 C.7.3.1")) != modality:
        refuse("Modality", f"must be {modality}, as the SOP class says", "PS3.3 C.7.3.1.1.1")
    for keyword, clause in _UIDS.items():
        uid = str(value_of(dataset, keyword, clause))
        if len(uid) > 64 or not UID_PATTERN.match(uid):
            refuse(keyword, "must be a UID of at most 64 characters, digits and dots", "PS3.5 9.1")
    _check_pixels(dataset)
    _check_reals(dataset, modality)
    stored = _decode(dataset)
    return Received(dataset, modality, stored, _make_native(dataset, stored))


def _check_pixels(dataset: Dataset) -> None:
    for keyword, allowed, clause in _INTEGERS:
        value = value_of(dataset, keyword, clause)
        if not isinstance(value, int) or value not in allowed:
            text = f"{allowed[0]} to {allowed[-1]}" if isinstance(allowed, range) else " or ".join(map(str, allowed))
            refuse(keyword, f"must be {text}", clause, value if isinstance(value, int) else type(value).__name__)
    if dataset.BitsStored > dataset.BitsAllocated:
        refuse("BitsStored", "must not exceed Bits Allocated", "PS3.5 8.1.1", dataset.BitsStored)
    if dataset.HighBit != dataset.BitsStored - 1:
        refuse("HighBit", "must be one less than Bits Stored", "PS3.5 8.1.1", dataset.HighBit)
    photometric = value_of(dataset, "PhotometricInterpretation", "PS3.3 C.7.6.3.1.2")
    if colour.is_colour(dataset):
        if wrong := colour.fault(dataset):
            refuse(*wrong)
    elif photometric not in ("MONOCHROME1", "MONOCHROME2"):
        refuse("PhotometricInterpretation", "must be MONOCHROME1 or MONOCHROME2", "PS3.3 C.7.6.3.1.2")
    frames = _frames(dataset)
    expected = frames * dataset.Rows * dataset.Columns * dataset.SamplesPerPixel * dataset.BitsAllocated // 8
    if expected > MAX_PIXEL_BYTES:
        raise TooLarge(
            f"Rows x Columns x frames must be at most {MAX_PIXEL_BYTES} bytes", field=name("Rows"), value=expected
        )
    data = value_of(dataset, "PixelData", "PS3.3 C.7.6.3")
    if not isinstance(data, bytes):
        refuse("PixelData", "must be OB or OW", "PS3.5 8.2", type(data).__name__)
    if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        _check_compressed(dataset, data)
        return
    if colour.is_colour(dataset):
        expected = colour.native_bytes(dataset, frames)
    if len(data) != expected + expected % 2:
        refuse("PixelData", f"must hold {expected} bytes, as Rows, Columns and bits say", "PS3.5 8.1.1", len(data))


def _check_compressed(dataset: Dataset, data: bytes) -> None:
    """Refuse what would decompress to more than the header says, before any decoder allocates it."""
    if dataset.file_meta.TransferSyntaxUID == RLELossless:
        if len(data) > MAX_RLE_BYTES:
            raise TooLarge(
                f"must be at most {MAX_RLE_BYTES} bytes of RLE",
                field=name("PixelData"),
                remedy="Send it uncompressed.",
            )
        return
    try:
        sizes = {_coded_size(frame) for frame in generate_frames(data, number_of_frames=_frames(dataset))}
    except Exception:  # noqa: BLE001
        refuse("PixelData", "must be well-formed compressed frames", "PS3.5 A.4")
    if sizes != {(dataset.Rows, dataset.Columns)}:
        refuse("PixelData", "must hold compressed frames of Rows x Columns", "PS3.5 8.2")


def _coded_size(frame: bytes) -> tuple[int, int]:
    """(rows, columns) that a JPEG, JPEG-LS or JPEG 2000 stream declares."""
    if frame[:4] == b"\xff\x4f\xff\x51":  # SIZ (ISO/IEC 15444-1 A.5.1): extent minus offset
        x1, y1, x0, y0 = struct.unpack_from(">4I", frame, 8)
        return y1 - y0, x1 - x0
    at = 2
    while True:
        marker, length = struct.unpack_from(">HH", frame, at)
        if marker in _START_OF_FRAME:
            rows, columns = struct.unpack_from(">HH", frame, at + 5)
            return rows, columns
        at += 2 + length


def _frames(dataset: Dataset) -> int:
    if "NumberOfFrames" not in dataset:
        return 1
    frames = value_of(dataset, "NumberOfFrames", "PS3.3 C.7.6.6")
    if not isinstance(frames, int) or frames < 1:
        refuse("NumberOfFrames", "must be at least 1", "PS3.3 C.7.6.6")
    return int(frames)


def _check_reals(dataset: Dataset, modality: str) -> None:
    for keyword in ("ModalityLUTSequence", "VOILUTSequence"):
        if keyword in dataset and not isinstance(value_of(dataset, keyword, "PS3.3 C.11"), Sequence):
            refuse(keyword, "must be a sequence", "PS3.3 C.11")
    has_lut = bool(dataset.get("ModalityLUTSequence"))
    for index in range(_frames(dataset) if is_enhanced(dataset) else 1):
        try:
            header = frame_header(dataset, index)
        except Exception:  # noqa: BLE001 - what is no sequence of items fails in many ways
            refuse(PER_FRAME, "must be well-formed functional groups", "PS3.3 C.7.6.16")
        _check_frame(header, modality, has_lut=has_lut)


def _check_frame(header: Dataset, modality: str, *, has_lut: bool) -> None:
    for keyword, count, required_by, clause in _REALS:
        if keyword not in header and (modality not in required_by or (has_lut and keyword.startswith("Rescale"))):
            continue
        numbers = numbers_of(header, keyword, count, clause)
        if "Spacing" in keyword and min(numbers) <= 0:
            refuse(keyword, "must be greater than 0", clause)
        if keyword == "RescaleSlope" and numbers[0] == 0:
            refuse(keyword, "must not be 0", clause)
        if keyword == "ImageOrientationPatient" and not _orthonormal(numbers):
            refuse(keyword, "must be two orthogonal unit vectors", clause)
    if ("RescaleSlope" in header) != ("RescaleIntercept" in header):
        missing = "RescaleIntercept" if "RescaleSlope" in header else "RescaleSlope"
        refuse(missing, "is required beside its counterpart", "PS3.3 C.11.1")


def _orthonormal(cosines: list[float]) -> bool:
    row, column = np.array(cosines[:3]), np.array(cosines[3:])
    return bool(abs(row @ row - 1) < 1e-2 and abs(column @ column - 1) < 1e-2 and abs(row @ column) < 1e-2)


def _decode(dataset: Dataset) -> Array:
    """The stored values, (frames, rows, columns); bits above Bits Stored, once used for overlays, are cleared."""
    if colour.is_colour(dataset):
        if (rgb := colour.decode(dataset)) is None:
            refuse("PixelData", "must be decodable in its transfer syntax", "PS3.5 8.2, A")
        return rgb
    try:
        stored = decode(dataset, raw=True)
    except Exception:  # noqa: BLE001 - every decoder has its own errors
        refuse("PixelData", "must be decodable in its transfer syntax", "PS3.5 8.2, A")
    shape = (_frames(dataset), dataset.Rows, dataset.Columns)
    if stored.size != math.prod(shape):
        refuse("PixelData", "must have the size that Rows, Columns and Number of Frames say", "PS3.5 8.2")
    return np.asarray(stored).reshape(shape)


def _make_native(dataset: Dataset, stored: Array) -> list[str]:
    """Replace the pixel data by its decoded values, little-endian; returns what a reader should be told."""
    told = []
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax in _CAN_LOSE and dataset.get("LossyImageCompression") != "01":
        told.append("The file was sent in a transfer syntax that can lose detail, but does not say whether it did.")
    if syntax == ExplicitVRBigEndian and ("ModalityLUTSequence" in dataset or "VOILUTSequence" in dataset):
        raise UnsupportedMedia(
            "lookup tables are not read from big-endian files", field="TransferSyntaxUID (0002,0010)"
        )
    if colour.is_colour(dataset):
        colour.make_rgb(dataset)
    kind = ("i" if dataset.PixelRepresentation else "u") + str(dataset.BitsAllocated // 8)
    data = stored.astype(f"<{kind}").tobytes()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.add_new(0x7FE00010, "OW", data + b"\0" * (len(data) % 2))
    return told
