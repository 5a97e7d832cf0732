"""Reading: what is valid comes through unchanged, everything else is refused with its tag and rule."""

from __future__ import annotations

import io
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import HTJ2K, UID, ExplicitVRLittleEndian, JPEGExtended12Bit, JPEGLSLossless, RLELossless
from sqlalchemy import func, select

from tests.verticals.medical.syntaxes import ALL, LOSSY, encoded, film
from verticals.contract import InvalidInput, TooLarge, TriviumError
from verticals.medical import tables
from verticals.medical.ingest import MAX_RLE_BYTES, read
from verticals.medical.part10 import MAX_FILE_BYTES, prepare_pydicom
from verticals.medical.probes import VALID_FILES, faulty_files, phantom, pydicom_file, radiograph, to_bytes

prepare_pydicom()
FAULTS = dict(faulty_files())
CT = pydicom_file("CT_small.dcm")


@pytest.mark.parametrize("name", VALID_FILES)
def test_a_valid_file_keeps_its_pixels(name: str) -> None:
    content = pydicom_file(name)

    received = read(content)

    original = dcmread(io.BytesIO(content))
    assert np.array_equal(received.stored[0], original.pixel_array)
    assert received.dataset.PixelData == original.pixel_array.astype(received.stored.dtype.newbyteorder("<")).tobytes()


@pytest.mark.parametrize("uid", ALL, ids=[UID(uid).keyword for uid in ALL])
def test_every_transfer_syntax_is_read_and_what_is_lossless_is_exact(uid: str, tmp_path: Path) -> None:
    content, sent = encoded(uid, tmp_path), film(uid).pixel_array.astype(int)
    if uid == JPEGExtended12Bit:
        with pytest.raises(InvalidInput, match=r"PixelData \(7fe0,0010\): must be decodable in its transfer syntax"):
            read(content)  # 12 bits: no decoder with a free licence reads them
        return

    received = read(content)

    difference = np.abs(received.stored[0].astype(int) - sent)
    assert difference.max() == 0 if uid not in LOSSY else difference.mean() < 0.02 * np.ptp(sent)
    assert received.dataset.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert bool(received.warnings) == (uid in (*LOSSY, HTJ2K))  # what can lose detail


@pytest.mark.parametrize("kind", [kind for kind in FAULTS if kind != "burned-in text declared"])
def test_a_faulty_file_is_refused(kind: str) -> None:
    with pytest.raises(TriviumError, match=r"must|is required"):
        read(FAULTS[kind])


@pytest.mark.parametrize("keyword", ["Rows", "PixelData", "PixelSpacing", "StudyInstanceUID", "RescaleSlope"])
def test_a_missing_attribute_is_named_with_tag_and_clause(keyword: str) -> None:
    with pytest.raises(
        InvalidInput, match=rf"^{keyword} \([0-9a-f]{{4}},[0-9a-f]{{4}}\): is required \(PS3\.\d"
    ) as caught:
        read(FAULTS[f"without {keyword}"])

    assert caught.value.status == 422


def test_there_are_at_least_50_kinds_of_faults() -> None:
    assert len(FAULTS) >= 50


def test_nothing_is_stored_of_a_refused_file(desk) -> None:  # type: ignore[no-untyped-def]
    for kind, content in FAULTS.items():
        if kind == "burned-in text declared":
            continue  # it is held: see test_intake
        with pytest.raises(TriviumError, match=r"must|is required"):
            desk.ingest(content)

    with desk.resources.sessions() as session:
        for table in (tables.MedicalStudy, tables.MedicalReportVersion, tables.MedicalKey):
            rows = session.scalar(select(func.count()).select_from(table))
            assert rows == (table is tables.MedicalKey and rows)  # a key may exist: it is nobody's data
    assert desk.recorder.decisions == []


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.tuples(st.integers(128, 6300), st.integers(0, 255)), min_size=1, max_size=8))
def test_a_file_with_wrong_bytes_is_read_or_refused_never_a_crash(desk, edits) -> None:  # type: ignore[no-untyped-def]
    content = bytearray(CT)
    for at, value in edits:
        content[at] = value

    answer = _ingested_or_refused(desk, bytes(content))

    assert answer.status in (409, 413, 415, 422) if isinstance(answer, TriviumError) else answer.image.rows > 0


def _ingested_or_refused(desk: Any, content: bytes) -> Any:
    try:
        return desk.ingest(content)
    except TriviumError as error:
        return error


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(CT) - 1))
def test_a_file_cut_anywhere_before_its_last_pixel_is_refused(length: int) -> None:
    pixels_end = CT.rindex(b"\xfc\xff\xfc\xff")

    if length < pixels_end:
        with pytest.raises(TriviumError, match=r"must|is required"):
            read(CT[:length])
    else:
        read(CT[:length])


def test_a_file_over_the_limit_is_refused() -> None:
    with pytest.raises(TooLarge, match="file: must be at most"):
        read(CT + bytes(MAX_FILE_BYTES))


def _deflated(plain: bytes) -> bytes:
    head = CT[: CT.index(b"\x08\x00\x05\x00")].replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99")
    head = head.replace(b"\x02\x00\x10\x00UI\x14\x00", b"\x02\x00\x10\x00UI\x16\x00")
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return head + packer.compress(plain) + packer.flush()


def test_a_deflated_file_is_read_like_any_other() -> None:
    received = read(_deflated(CT[CT.index(b"\x08\x00\x05\x00") :]))

    assert np.array_equal(received.stored, read(CT).stored)


@pytest.mark.parametrize("cut", [1, 5000])
def test_a_deflated_file_that_was_cut_short_is_refused(cut: int) -> None:
    with pytest.raises(InvalidInput, match="deflated data set"):
        read(_deflated(CT[CT.index(b"\x08\x00\x05\x00") :])[:-cut])


def test_a_deflated_bomb_is_not_inflated_beyond_the_limit() -> None:
    with pytest.raises(TooLarge, match="must inflate to at most"):
        read(_deflated(bytes(MAX_FILE_BYTES + 1)))


def test_an_rle_bomb_is_refused_before_it_is_decoded() -> None:
    dataset = radiograph(phantom(0, size=64))
    dataset.file_meta.TransferSyntaxUID = RLELossless
    dataset.PixelData = encapsulate([b"\2\0\0\0" + bytes(60) + b"\x81\0" * MAX_RLE_BYTES])
    dataset["PixelData"].is_undefined_length = True

    with pytest.raises(TooLarge, match=r"PixelData \(7fe0,0010\).*RLE"):
        read(to_bytes(dataset))


def test_a_stream_that_declares_another_size_is_refused_before_it_is_decoded() -> None:
    dataset = dcmread(io.BytesIO(pydicom_file("MR_small_jpeg_ls_lossless.dcm")))
    assert dataset.file_meta.TransferSyntaxUID == JPEGLSLossless
    at = dataset.PixelData.index(b"\xff\xf7")
    dataset.PixelData = dataset.PixelData[: at + 5] + b"\xff\xff\xff\xff" + dataset.PixelData[at + 9 :]
    buffer = io.BytesIO()
    dataset.save_as(buffer)

    with pytest.raises(InvalidInput, match="frames of Rows x Columns"):
        read(buffer.getvalue())


def test_nothing_hides_in_unused_bits() -> None:
    image = phantom(0, size=64)
    overlay = np.zeros_like(image)
    overlay[10:20, 10:50] = 0x8000

    received = read(to_bytes(radiograph(image | overlay)))  # 12 bits are stored

    assert np.array_equal(received.stored[0], image)
    assert received.dataset.PixelData == image.tobytes()


def test_a_radiograph_may_lack_spacing_but_not_have_a_wrong_one() -> None:
    dataset = radiograph(phantom(0, size=64))
    read(to_bytes(dataset))
    dataset.ImagerPixelSpacing = [0.2, 0]

    with pytest.raises(InvalidInput, match=r"ImagerPixelSpacing \(0018,1164\): must be greater than 0"):
        read(to_bytes(dataset))


def test_errors_and_logs_hold_no_patient_data(
    caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    dataset = dcmread(io.BytesIO(CT))
    dataset.PatientName = dataset.PatientID = "SECRETPERSON"
    dataset.Rows = 5
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    content = buffer.getvalue().replace(b"CT\x18\x00", b"CT")

    for bad in (content, buffer.getvalue()[:2000], buffer.getvalue().replace(b"RHAPSODE", b"\xff" * 8)):
        with pytest.raises(TriviumError) as caught:
            read(bad)
        assert "SECRETPERSON" not in str(caught.value)
        assert caught.value.__suppress_context__ or caught.value.__context__ is None

    assert "SECRETPERSON" not in caplog.text + "".join(str(w.message) for w in recwarn)
