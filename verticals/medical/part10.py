"""A DICOM Part 10 file to a data set, within limits. Ignores what the attributes mean (see `ingest`).

The header is parsed within its limit, then the pixels; what follows them is never parsed. A deflated file is inflated
up to the size that a file may have, and no further.
"""

from __future__ import annotations

import io
import logging
import re
import struct
import warnings
import zlib

import pydicom.config
from pydicom.dataset import FileDataset
from pydicom.filereader import read_dataset, read_partial
from pydicom.pixels import get_decoder
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from verticals.contract import InvalidInput, TooLarge, UnsupportedMedia
from verticals.medical import lossless_jpeg

MAX_FILE_BYTES = 64 * 2**20
MAX_HEADER_BYTES = 2**20  # everything before the pixels: a parsed header takes some hundred times its size
_MAX_META_BYTES = 2**16
UID_PATTERN = re.compile(r"^(0|[1-9]\d*)(\.(0|[1-9]\d*))+$", re.ASCII)
_SYNTAX = "TransferSyntaxUID (0002,0010)"
_DAMAGED = "The file is damaged or was cut short: export it again."


def prepare_pydicom() -> None:
    """Add our decoder, and keep pydicom from printing malformed values, which may be a patient's."""
    lossless_jpeg.register()
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module="pydicom")


def parse(content: bytes) -> FileDataset:
    """The data set up to and with its pixel data.

    Raises:
        UnsupportedMedia: not DICOM, or a transfer syntax that no installed decoder reads.
        TooLarge: over a limit above, before it is parsed.
        InvalidInput: cut short or malformed.
    """
    if len(content) > MAX_FILE_BYTES:
        raise TooLarge(f"must be at most {MAX_FILE_BYTES} bytes", field="file", value=len(content))
    if content[128:132] != b"DICM":
        raise UnsupportedMedia(
            "must be a DICOM Part 10 file: 'DICM' at byte 128 (PS3.10 7.1)",
            field="file",
            remedy="Export the study as DICOM files.",
        )
    syntax, meta_end = _transfer_syntax(content)
    if syntax == DeflatedExplicitVRLittleEndian:
        content = _inflated(content, meta_end)
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
            "must be a complete, well-formed DICOM data set (PS3.5 7.1, PS3.10 7)", field="file", remedy=_DAMAGED
        ) from None


def is_readable(syntax: UID) -> bool:
    """Whether an installed decoder reads the transfer syntax."""
    try:
        return bool(get_decoder(syntax).is_available)
    except NotImplementedError:
        return False


def _transfer_syntax(content: bytes) -> tuple[UID, int]:
    """The syntax and where the file meta information ends, read alone: the rest may be deflated, whatever its size."""
    meta_bytes = io.BytesIO(content[132 : 132 + _MAX_META_BYTES])
    try:
        meta = read_dataset(meta_bytes, False, True, stop_when=lambda tag, _vr, _length: tag.group != 2)
        if meta_bytes.tell() >= _MAX_META_BYTES:
            raise ValueError("a second transfer syntax could follow unseen")
        uid = UID(meta.TransferSyntaxUID)
    except AttributeError:
        raise InvalidInput("is required (PS3.10 7.1)", field=_SYNTAX) from None
    except Exception:  # noqa: BLE001
        raise InvalidInput("the file meta information must be well-formed (PS3.10 7.1)", field=_SYNTAX) from None
    if not is_readable(uid):
        known = uid.name if uid.is_transfer_syntax else "unknown"
        raise UnsupportedMedia(
            "must be one that the installed decoders read (PS3.5 A)",
            field=_SYNTAX,
            value=known,
            remedy="Send Explicit VR Little Endian, RLE, JPEG, JPEG-LS or JPEG 2000.",
        )
    return uid, 132 + meta_bytes.tell()


def _inflated(content: bytes, meta_end: int) -> bytes:
    """The same file in Explicit VR Little Endian (PS3.5 A.5)."""
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        plain: bytes = unpacker.decompress(content[meta_end:], MAX_FILE_BYTES + 1)
    except zlib.error:
        raise InvalidInput(
            "must be a well-formed deflated data set (PS3.5 A.5)", field="file", remedy=_DAMAGED
        ) from None
    if len(plain) > MAX_FILE_BYTES:
        raise TooLarge(f"must inflate to at most {MAX_FILE_BYTES} bytes", field="file")
    if not unpacker.eof:
        raise InvalidInput("must be a complete deflated data set (PS3.5 A.5)", field="file", remedy=_DAMAGED)
    uid = str(ExplicitVRLittleEndian).encode() + b"\0"
    return bytes(128) + b"DICM\x02\x00\x10\x00UI" + struct.pack("<H", len(uid)) + uid + plain


def sop_uids(content: bytes) -> tuple[str, str]:
    """(SOP class, SOP instance) of the file meta information, "" where unreadable: to name the object to its sender."""
    try:
        meta_bytes = io.BytesIO(content[132 : 132 + _MAX_META_BYTES])
        meta = read_dataset(meta_bytes, False, True, stop_when=lambda tag, _vr, _length: tag.group != 2)
        found = [str(meta.get(keyword) or "") for keyword in ("MediaStorageSOPClassUID", "MediaStorageSOPInstanceUID")]
    except Exception:  # noqa: BLE001 - what cannot be parsed names nothing
        return "", ""
    sop_class, sop_instance = (uid if UID_PATTERN.match(uid) and len(uid) <= 64 else "" for uid in found)
    return sop_class, sop_instance
