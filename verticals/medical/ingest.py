"""Read one DICOM file, or refuse it with the tag and the rule. Ignores every attribute it does not need.

Reads CT, MR, CR and DX images (PS3.3 A.3, A.4, A.2, A.26) in every transfer syntax that the installed decoders read.
The result holds native pixels, so that nothing hides in a compressed stream, in the preamble, in unused bits or behind
the pixel data.
"""

from __future__ import annotations

import io
import logging
import math
import re
import struct
import warnings
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import pydicom.config
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset, FileDataset
from pydicom.encaps import generate_frames
from pydicom.filereader import read_dataset, read_partial
from pydicom.pixels import get_decoder
from pydicom.pixels import pixel_array as decode
from pydicom.tag import BaseTag
from pydicom.uid import (
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSNearLossless,
    RLELossless,
)

from verticals.contract import InvalidInput, TooLarge, UnsupportedMedia

MAX_FILE_BYTES = 64 * 2**20
MAX_HEADER_BYTES = 2**20  # everything before the pixels: a parsed header takes some hundred times its size
MAX_PIXEL_BYTES = 64 * 2**20  # after decompression
MAX_RLE_BYTES = 8 * 2**20  # a run of two bytes may become 128, and the decoder has no limit of its own
_MAX_META_BYTES = 2**16

SOP_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.2": "CT",
    "1.2.840.10008.5.1.4.1.1.4": "MR",
    "1.2.840.10008.5.1.4.1.1.1": "CR",
    "1.2.840.10008.5.1.4.1.1.1.1": "DX",  # for presentation
    "1.2.840.10008.5.1.4.1.1.1.1.1": "DX",  # for processing
}
_CAN_LOSE = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless, JPEG2000)
# SOF markers of ISO/IEC 10918-1 B.1.1.3 and ISO/IEC 14495-1 C.1.1
_START_OF_FRAME = (set(range(0xFFC0, 0xFFD0)) - {0xFFC4, 0xFFC8, 0xFFCC}) | {0xFFF7}
_UID = re.compile(r"^(0|[1-9]\d*)(\.(0|[1-9]\d*))+$")
_UIDS = {"SOPInstanceUID": "PS3.3 C.12.1", "StudyInstanceUID": "PS3.3 C.7.2.1", "SeriesInstanceUID": "PS3.3 C.7.3.1"}

# Attribute, its permitted values, and the clause that says so.
_INTEGERS: tuple[tuple[str, range | tuple[int, ...], str], ...] = (
    ("Rows", range(1, 2**16), "PS3.3 C.7.6.3.1"),
    ("Columns", range(1, 2**16), "PS3.3 C.7.6.3.1"),
    ("SamplesPerPixel", (1,), "PS3.3 C.8.2.1, C.8.3.1"),
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
    stored: np.ndarray[Any, np.dtype[Any]]  # (frames, rows, columns), uint8, int8, uint16 or int16
    warnings: list[str]


def silence_pydicom() -> None:
    """Stop pydicom from printing values of malformed attributes, which may be a patient's, to logs and stderr."""
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module="pydicom")


def read(content: bytes) -> Received:
    """Read and check one DICOM Part 10 file.

    Raises:
        UnsupportedMedia: not DICOM, or a SOP class or transfer syntax that is not read here.
        TooLarge: over a limit above, before anything is decompressed.
        InvalidInput: a missing or wrong attribute, by keyword, tag, rule and clause.
    """
    if len(content) > MAX_FILE_BYTES:
        raise TooLarge(f"must be at most {MAX_FILE_BYTES} bytes", field="file", value=len(content))
    dataset = _parse(content)
    sop_class = str(_value(dataset, "SOPClassUID", "PS3.3 C.12.1"))
    modality = SOP_CLASSES.get(sop_class)
    if modality is None:
        raise UnsupportedMedia(
            f"must be a {', '.join(sorted(set(SOP_CLASSES.values())))} Image Storage class", field=_name("SOPClassUID")
        )
    if str(_value(dataset, "Modality", "PS3.3 C.7.3.1")) != modality:
        _refuse("Modality", f"must be {modality}, as the SOP class says", "PS3.3 C.7.3.1.1.1")
    for keyword, clause in _UIDS.items():
        uid = str(_value(dataset, keyword, clause))
        if len(uid) > 64 or not _UID.match(uid):
            _refuse(keyword, "must be a UID of at most 64 characters, digits and dots", "PS3.5 9.1")
    _check_pixels(dataset)
    _check_reals(dataset, modality)
    stored = _decode(dataset)
    return Received(dataset, modality, stored, _make_native(dataset, stored))


def _name(keyword: str) -> str:
    tag = BaseTag(tag_for_keyword(keyword) or 0)
    return f"{keyword} ({tag.group:04x},{tag.element:04x})"


def _refuse(keyword: str, rule: str, clause: str, value: object = None) -> NoReturn:
    # The cause may quote a value, which may be a patient's.
    raise InvalidInput(f"{rule} ({clause})", field=_name(keyword), value=value) from None


def _parse(content: bytes) -> FileDataset:
    """Parse the header within its limit, then the pixels; what follows them is never parsed."""
    if content[128:132] != b"DICM":
        raise UnsupportedMedia(
            "must be a DICOM Part 10 file: 'DICM' at byte 128 (PS3.10 7.1)",
            field="file",
            remedy="Export the study as DICOM files.",
        )
    _check_transfer_syntax(content)
    try:
        head = io.BytesIO(content[:MAX_HEADER_BYTES])
        read_partial(head, stop_when=lambda tag, _vr, _length: tag >= 0x7FE00010)
        if head.tell() >= MAX_HEADER_BYTES:
            raise TooLarge(f"must end within {MAX_HEADER_BYTES} bytes", field="header before Pixel Data (7fe0,0010)")
        return read_partial(io.BytesIO(content), stop_when=lambda tag, _vr, _length: tag > 0x7FE00010)
    except TooLarge:
        raise
    except Exception:  # noqa: BLE001 - pydicom raises many kinds on malformed input; none may leak a value
        raise InvalidInput(
            "must be a complete, well-formed DICOM data set (PS3.5 7.1, PS3.10 7)",
            field="file",
            remedy="The file is damaged or was cut short: export it again.",
        ) from None


def _check_transfer_syntax(content: bytes) -> None:
    """Read the file meta information alone: parsing the rest would inflate a deflated file, whatever its size."""
    field = "TransferSyntaxUID (0002,0010)"
    meta_bytes = io.BytesIO(content[132 : 132 + _MAX_META_BYTES])
    try:
        meta = read_dataset(meta_bytes, False, True, stop_when=lambda tag, _vr, _length: tag.group != 2)
        uid = UID(meta.TransferSyntaxUID)
    except AttributeError:
        raise InvalidInput("is required (PS3.10 7.1)", field=field) from None
    except Exception:  # noqa: BLE001
        raise InvalidInput("the file meta information must be well-formed (PS3.10 7.1)", field=field) from None
    try:
        readable = uid != DeflatedExplicitVRLittleEndian and get_decoder(uid).is_available
    except NotImplementedError:
        readable = False
    if not readable:
        known = uid.name if uid.is_transfer_syntax else "unknown"
        raise UnsupportedMedia(
            "must be one that the installed decoders read (PS3.5 A)",
            field=field,
            value=known,
            remedy="Send Explicit VR Little Endian, RLE, JPEG baseline, JPEG-LS or JPEG 2000.",
        )


def _value(dataset: Dataset, keyword: str, clause: str) -> Any:
    """The decoded value of a required attribute."""
    try:
        value = dataset[keyword].value
    except KeyError:
        _refuse(keyword, "is required", clause)
    except Exception:  # noqa: BLE001
        _refuse(keyword, "must be decodable in its VR", "PS3.5 6.2")
    if value is None or value == "":
        _refuse(keyword, "must not be empty", clause)
    return value


def _check_pixels(dataset: Dataset) -> None:
    for keyword, allowed, clause in _INTEGERS:
        value = _value(dataset, keyword, clause)
        if not isinstance(value, int) or value not in allowed:
            text = f"{allowed[0]} to {allowed[-1]}" if isinstance(allowed, range) else " or ".join(map(str, allowed))
            _refuse(keyword, f"must be {text}", clause, value if isinstance(value, int) else type(value).__name__)
    if dataset.BitsStored > dataset.BitsAllocated:
        _refuse("BitsStored", "must not exceed Bits Allocated", "PS3.5 8.1.1", dataset.BitsStored)
    if dataset.HighBit != dataset.BitsStored - 1:
        _refuse("HighBit", "must be one less than Bits Stored", "PS3.5 8.1.1", dataset.HighBit)
    if _value(dataset, "PhotometricInterpretation", "PS3.3 C.7.6.3.1.2") not in ("MONOCHROME1", "MONOCHROME2"):
        _refuse("PhotometricInterpretation", "must be MONOCHROME1 or MONOCHROME2", "PS3.3 C.7.6.3.1.2")
    frames = _frames(dataset)
    expected = frames * dataset.Rows * dataset.Columns * dataset.BitsAllocated // 8
    if expected > MAX_PIXEL_BYTES:
        raise TooLarge(
            f"Rows x Columns x frames must be at most {MAX_PIXEL_BYTES} bytes", field=_name("Rows"), value=expected
        )
    data = _value(dataset, "PixelData", "PS3.3 C.7.6.3")
    if not isinstance(data, bytes):
        _refuse("PixelData", "must be OB or OW", "PS3.5 8.2", type(data).__name__)
    if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        _check_compressed(dataset, data)
    elif len(data) != expected + expected % 2:
        _refuse("PixelData", f"must hold {expected} bytes, as Rows, Columns and bits say", "PS3.5 8.1.1", len(data))


def _check_compressed(dataset: Dataset, data: bytes) -> None:
    """Refuse what would decompress to more than the header says, before any decoder allocates it."""
    if dataset.file_meta.TransferSyntaxUID == RLELossless:
        if len(data) > MAX_RLE_BYTES:
            raise TooLarge(
                f"must be at most {MAX_RLE_BYTES} bytes of RLE",
                field=_name("PixelData"),
                remedy="Send it uncompressed.",
            )
        return
    try:
        sizes = {_coded_size(frame) for frame in generate_frames(data, number_of_frames=_frames(dataset))}
    except Exception:  # noqa: BLE001
        _refuse("PixelData", "must be well-formed compressed frames", "PS3.5 A.4")
    if sizes != {(dataset.Rows, dataset.Columns)}:
        _refuse("PixelData", "must hold compressed frames of Rows x Columns", "PS3.5 8.2")


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
    frames = _value(dataset, "NumberOfFrames", "PS3.3 C.7.6.6")
    if not isinstance(frames, int) or frames < 1:
        _refuse("NumberOfFrames", "must be at least 1", "PS3.3 C.7.6.6")
    return int(frames)


def _check_reals(dataset: Dataset, modality: str) -> None:
    has_lut = bool(dataset.get("ModalityLUTSequence"))
    for keyword, count, required_by, clause in _REALS:
        if keyword not in dataset and (modality not in required_by or (has_lut and keyword.startswith("Rescale"))):
            continue
        value = _value(dataset, keyword, clause)
        values = [value] if count == 1 else value
        try:
            numbers = [float(v) for v in values]
        except (TypeError, ValueError):
            numbers = []
        if len(numbers) != count or not all(map(math.isfinite, numbers)):
            _refuse(keyword, f"must be {count} finite number{'s' if count > 1 else ''}", clause)
        if "Spacing" in keyword and min(numbers) <= 0:
            _refuse(keyword, "must be greater than 0", clause)
        if keyword == "RescaleSlope" and numbers[0] == 0:
            _refuse(keyword, "must not be 0", clause)
        if keyword == "ImageOrientationPatient" and not _orthonormal(numbers):
            _refuse(keyword, "must be two orthogonal unit vectors", clause)
    if ("RescaleSlope" in dataset) != ("RescaleIntercept" in dataset):
        missing = "RescaleIntercept" if "RescaleSlope" in dataset else "RescaleSlope"
        _refuse(missing, "is required beside its counterpart", "PS3.3 C.11.1")


def _orthonormal(cosines: list[float]) -> bool:
    row, column = np.array(cosines[:3]), np.array(cosines[3:])
    return bool(abs(row @ row - 1) < 1e-2 and abs(column @ column - 1) < 1e-2 and abs(row @ column) < 1e-2)


def _decode(dataset: Dataset) -> np.ndarray[Any, np.dtype[Any]]:
    """The stored values, (frames, rows, columns); bits above Bits Stored, once used for overlays, are cleared."""
    try:
        stored = decode(dataset, raw=True)
    except Exception:  # noqa: BLE001 - every decoder has its own errors
        _refuse("PixelData", "must be decodable in its transfer syntax", "PS3.5 8.2, A")
    shape = (_frames(dataset), dataset.Rows, dataset.Columns)
    if stored.size != math.prod(shape):
        _refuse("PixelData", "must have the size that Rows, Columns and Number of Frames say", "PS3.5 8.2")
    return np.asarray(stored).reshape(shape)


def _make_native(dataset: Dataset, stored: np.ndarray[Any, np.dtype[Any]]) -> list[str]:
    """Replace the pixel data by its decoded values, little-endian; returns what a reader should be told."""
    told = []
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax in _CAN_LOSE and dataset.get("LossyImageCompression") != "01":
        told.append("The file was sent in a transfer syntax that can lose detail, but does not say whether it did.")
    if syntax == ExplicitVRBigEndian and ("ModalityLUTSequence" in dataset or "VOILUTSequence" in dataset):
        raise UnsupportedMedia(
            "lookup tables are not read from big-endian files", field="TransferSyntaxUID (0002,0010)"
        )
    kind = ("i" if dataset.PixelRepresentation else "u") + str(dataset.BitsAllocated // 8)
    data = stored.astype(f"<{kind}").tobytes()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.add_new(0x7FE00010, "OW", data + b"\0" * (len(data) % 2))
    return told
