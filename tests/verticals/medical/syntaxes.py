"""One radiograph in every transfer syntax that pydicom decodes: the same phantom, by the encoders that are at hand."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from verticals.medical.probes import phantom, radiograph, to_bytes

SIZE = 64
HTJ2K_STREAM = Path(__file__).parent / "phantom_64.htj2k"  # phantom(0, size=64) by OpenJPH 0.26, reversible, RPCL, TLM
# By DCMTK: its `dcmcjpeg` and the option.
_BY_DCMTK = {JPEGExtended12Bit: "+ee", JPEGLossless: "+el", JPEGLosslessSV1: "+e1"}
_BY_PYDICOM = (RLELossless, JPEGLSLossless, JPEGLSNearLossless, JPEG2000Lossless, JPEG2000)
_STREAMED = (HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K)
_NATIVE = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian)
ALL = (*_NATIVE, JPEGBaseline8Bit, *_BY_DCMTK, *_BY_PYDICOM, *_STREAMED)
LOSSY = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless, JPEG2000)


def film(uid: str) -> Dataset:
    """The phantom, Explicit VR Little Endian; for JPEG baseline of 8 bits, else of 12."""
    image = phantom(0, size=SIZE)
    if uid == JPEGBaseline8Bit:
        return radiograph((image >> 4).astype("u1"), bits=8, uid=_own_uid(uid))
    return radiograph(image, uid=_own_uid(uid))


def encoded(uid: str, folder: Path) -> bytes:
    """The film as a file in transfer syntax `uid`; `folder` is for files on the way."""
    dataset = film(uid)
    if uid in _BY_DCMTK:
        return _by_dcmtk(dataset, _BY_DCMTK[UID(uid)], folder)
    if uid in _BY_PYDICOM:
        how = {JPEGLSNearLossless: {"jls_error": 2}, JPEG2000: {"j2k_cr": [2]}}.get(UID(uid), {})
        dataset.compress(UID(uid), generate_instance_uid=False, **how)
        return to_bytes(dataset)
    if uid in _STREAMED:
        dataset.PixelData = encapsulate([HTJ2K_STREAM.read_bytes()])
        dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
    if uid == JPEGBaseline8Bit:
        buffer = io.BytesIO()
        Image.fromarray(dataset.pixel_array).save(buffer, "JPEG", quality=95)
        dataset.PixelData = encapsulate([buffer.getvalue()])
        dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
    if uid == ExplicitVRBigEndian:
        dataset.PixelData = dcmread(io.BytesIO(to_bytes(dataset))).pixel_array.astype(">u2").tobytes()
    dataset.file_meta.TransferSyntaxUID = UID(uid)
    return to_bytes(dataset)


def _own_uid(uid: str) -> str:
    return f"1.2.826.0.1.3680043.8.498.{ALL.index(UID(uid)) + 20}"


def _by_dcmtk(dataset: Dataset, option: str, folder: Path) -> bytes:
    program = shutil.which("dcmcjpeg")
    if program is None:
        pytest.skip("dcmcjpeg is not installed (Debian package dcmtk)")
    source, target = folder / "plain.dcm", folder / "coded.dcm"
    source.write_bytes(to_bytes(dataset))
    subprocess.run([program, option, "--uid-never", str(source), str(target)], check=True, capture_output=True)
    return target.read_bytes()
