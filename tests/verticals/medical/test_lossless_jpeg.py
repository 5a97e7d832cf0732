"""Lossless JPEG: what an encoder of our own and DCMTK's wrote comes back exactly; what is damaged is refused."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread

from verticals.medical.ingest import read
from verticals.medical.lossless_jpeg import Array, decode
from verticals.medical.part10 import prepare_pydicom
from verticals.medical.probes import phantom, radiograph, to_bytes

prepare_pydicom()
FILM = phantom(0, size=64)


def encode(image: Array, *, precision: int = 12, rows_each: int = 0) -> bytes:
    """Predictor 1, one Huffman table in which every category has a code of five bits (T.81 C, H)."""
    rows, columns = image.shape
    scan, blocks = b"", [image[at : at + (rows_each or rows)] for at in range(0, rows, rows_each or rows)]
    for index, block in enumerate(blocks):
        x = block.astype(int)
        steps = np.diff(x, axis=1, prepend=0)
        steps[:, 0] = np.diff(x[:, 0], prepend=1 << (precision - 1))
        scan += (b"\xff" + bytes([0xD0 + (index - 1) % 8]) if index else b"") + _bits(steps.ravel().tolist())
    head = b"\xff\xd8" + _segment(0xC3, struct.pack(">BHHB3B", precision, rows, columns, 1, 1, 0x11, 0))
    head += _segment(0xC4, bytes([0, 0, 0, 0, 0, 17, *[0] * 11, *range(17)]))
    head += _segment(0xDD, struct.pack(">H", rows_each * columns)) if rows_each else b""
    return head + _segment(0xDA, bytes([1, 1, 0, 1, 0, 0])) + scan + b"\xff\xd9"


def _segment(code: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, code, len(content) + 2) + content


def _bits(steps: list[int]) -> bytes:
    text = ""
    for step in steps:
        category = abs(step).bit_length()
        extra = step if step > 0 else step + (1 << category) - 1
        text += f"{category:05b}" + (f"{extra:0{category}b}" if category and category < 16 else "")
    text += "1" * (-len(text) % 8)
    return bytes(int(text[at : at + 8], 2) for at in range(0, len(text), 8)).replace(b"\xff", b"\xff\x00")


@pytest.mark.parametrize("rows_each", [0, 1, 10])
def test_what_was_encoded_comes_back_with_and_without_restart_intervals(rows_each: int) -> None:
    values, precision = decode(encode(FILM, rows_each=rows_each))

    assert precision == 12
    assert np.array_equal(values, FILM)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([2, 7, 8, 12, 15]))
def test_noise_of_any_precision_comes_back(seed: int, precision: int) -> None:
    image = np.random.default_rng(seed).integers(0, 2**precision, (5, 9))

    assert np.array_equal(decode(encode(image, precision=precision))[0], image)


@pytest.mark.skipif(shutil.which("dcmcjpeg") is None, reason="dcmcjpeg is not installed (Debian package dcmtk)")
@pytest.mark.parametrize("options", [["+e1"], *(["+el", "+sv", str(predictor)] for predictor in range(1, 8))])
def test_every_predictor_of_another_encoder_is_read(options: list[str], tmp_path: Path) -> None:
    source, target = tmp_path / "plain.dcm", tmp_path / "coded.dcm"
    source.write_bytes(to_bytes(radiograph(FILM)))
    subprocess.run(["dcmcjpeg", *options, "--uid-never", str(source), str(target)], check=True, capture_output=True)

    assert dcmread(target).file_meta.TransferSyntaxUID.is_compressed
    assert np.array_equal(read(target.read_bytes()).stored[0], FILM)


@pytest.mark.parametrize("length", [3, 30, 60, 200, 1000])
def test_a_stream_that_was_cut_short_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match=r"cut short|must be"):
        decode(encode(FILM)[:length])


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(2, 4000), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_damaged_stream_is_read_or_refused_never_a_crash(edits: list[tuple[int, int]]) -> None:
    stream = bytearray(encode(FILM))
    for at, value in edits:
        stream[at] = value
    if stream[:11] != encode(FILM)[:11]:
        return  # the size is compared with the header before anything is decoded

    try:
        values, _ = decode(bytes(stream))
    except ValueError:
        return
    assert values.dtype == np.uint16


def test_a_progressive_stream_is_refused() -> None:
    stream = encode(FILM).replace(b"\xff\xc3", b"\xff\xc2")

    with pytest.raises(ValueError, match="must be the lossless process"):
        decode(stream)
