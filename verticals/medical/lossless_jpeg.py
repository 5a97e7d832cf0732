"""Lossless JPEG (ITU-T T.81 Annex H, process 14), a decoder for pydicom: none with a free licence is at hand.

The Huffman codes of every bit position are looked up at once with numpy; only the walk from code to code is a loop.
Reads one component, 2 to 16 bits, all seven predictors, restart intervals of whole rows. Ignores everything else.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pydicom.pixels import get_decoder
from pydicom.uid import JPEGLossless, JPEGLosslessSV1

Array = np.ndarray[Any, np.dtype[Any]]

DECODER_DEPENDENCIES = {JPEGLossless: ("numpy",), JPEGLosslessSV1: ("numpy",)}  # pydicom asks for this name
_LABEL = "trivium"
_SOF3, _DHT, _SOS, _DRI, _EOI = 0xC3, 0xC4, 0xDA, 0xDD, 0xD9
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_PAD = b"\xff" * 8  # a stream ends with ones; room for the windows of the last codes


def register() -> None:
    """Add this decoder to pydicom's, once."""
    for uid in DECODER_DEPENDENCIES:
        decoder = get_decoder(uid)
        if _LABEL not in decoder.available_plugins:
            decoder.add_plugin(_LABEL, (__name__, "decode_frame"))


def is_available(uid: str) -> bool:
    """Whether pydicom may use it: always."""
    return uid in DECODER_DEPENDENCIES


def decode_frame(src: bytes, runner: Any) -> bytearray:
    """One frame for pydicom: little-endian, 8 or 16 bits allocated as the precision asks."""
    values, precision = decode(src)
    runner.set_option("bits_allocated", 8 if precision <= 8 else 16)
    return bytearray(values.astype("<u1" if precision <= 8 else "<u2").tobytes())


@dataclass
class _Header:
    rows: int = 0
    columns: int = 0
    precision: int = 0
    interval: int = 0  # samples between restart markers; 0: none
    predictor: int = 0
    shift: int = 0  # point transform
    tables: dict[int, tuple[Array, Array]] = field(default_factory=dict)  # id -> (lengths, categories) of 16 bits
    table: int = 0


def decode(stream: bytes) -> tuple[Array, int]:
    """(rows, columns) values of uint16, and their precision in bits.

    Raises:
        ValueError: the stream is malformed, cut short, or of another process.
    """
    try:
        return _decode(stream)
    except (struct.error, IndexError, KeyError):
        raise ValueError("the stream was cut short") from None


def _decode(stream: bytes) -> tuple[Array, int]:
    header, at = _read_header(stream)
    end = stream.rfind(b"\xff\xd9")
    scan = stream[at : end if end >= at else None]
    parts = [part.replace(b"\xff\x00", b"\xff") for part in _RESTART.split(scan)]
    rows_each = header.rows
    if header.interval:
        rows_each, odd = divmod(header.interval, header.columns)
        if odd or len(parts) < -(-header.rows // rows_each):
            raise ValueError("restart intervals must be whole rows, and all there")
    blocks = []
    for index, first in enumerate(range(0, header.rows, rows_each)):
        shape = min(rows_each, header.rows - first), header.columns
        steps = _differences(parts[index], shape[0] * shape[1], *header.tables[header.table]).reshape(shape)
        blocks.append(_predicted(steps, header))
    return np.concatenate(blocks) << header.shift, header.precision


def _read_header(stream: bytes) -> tuple[_Header, int]:
    """The header up to the scan, and where the scan begins (T.81 B.2)."""
    header, at = _Header(), 2
    while True:
        marker, length = struct.unpack_from(">HH", stream, at)
        code, content = marker & 0xFF, stream[at + 4 : at + 2 + length]
        at += 2 + length
        if marker >> 8 != 0xFF or length < 2:
            raise ValueError("must be marker segments")
        if code == _SOF3:
            header.precision, header.rows, header.columns, components = struct.unpack_from(">BHHB", content)
            if components != 1 or not 2 <= header.precision <= 16 or not header.rows or not header.columns:
                raise ValueError("must be one component of 2 to 16 bits")
        elif code == _DHT:
            _read_tables(content, header)
        elif code == _DRI:
            (header.interval,) = struct.unpack(">H", content)
        elif code == _SOS:
            _count, _id, table, header.predictor, _end, shift = struct.unpack(">6B", content)
            header.table, header.shift = table >> 4, shift & 15
            known = header.rows and header.table in header.tables and 1 <= header.predictor <= 7
            if not known or header.shift >= header.precision:
                raise ValueError("must be a lossless scan with its table")
            return header, at
        elif 0xC0 <= code <= 0xCF or code == _EOI:
            raise ValueError("must be the lossless process")


def _read_tables(content: bytes, header: _Header) -> None:
    """Huffman tables as lookups of 16 bits (T.81 C); length 0 where no code begins so."""
    while content:
        counts, symbols = content[1:17], content[17 : 17 + sum(content[1:17])]
        lengths, categories = np.zeros(2**16, dtype=np.uint8), np.zeros(2**16, dtype=np.uint8)
        code, index = 0, 0
        for length, count in enumerate(counts, start=1):
            for symbol in symbols[index : index + count]:
                first = code << (16 - length)
                last = first + (1 << (16 - length))
                if symbol > 16 or last > 2**16:
                    raise ValueError("must be a Huffman table of categories 0 to 16")
                lengths[first:last], categories[first:last] = length, symbol
                code += 1
            index += count
            code <<= 1
        header.tables[content[0] & 15] = lengths, categories
        content = content[17 + len(symbols) :]


def _differences(part: bytes, count: int, lengths: Array, categories: Array) -> Array:
    """The next `count` differences of an entropy-coded segment (T.81 H.1.2), int64."""
    data = np.frombuffer(part + _PAD, dtype=np.uint8).astype(np.uint32)
    window = data[:-2] << 16 | data[1:-1] << 8 | data[2:]  # 24 bits from each byte on
    advance = np.empty((len(window), 8), dtype=np.uint8)
    for bit in range(8):
        code = (window >> (8 - bit)) & 0xFFFF
        category = categories[code]
        advance[:, bit] = lengths[code] + np.where(category == 16, 0, category)
    steps, at, places = advance.tobytes(), 0, []
    limit = 8 * len(part)
    for _ in range(count):
        places.append(at)
        at += steps[at]
        if at > limit:
            raise ValueError("the scan was cut short")
    position = np.array(places, dtype=np.int64)
    code = (window[position >> 3] >> (8 - (position & 7)).astype(np.uint32)) & 0xFFFF
    if not lengths[code].all():
        raise ValueError("must hold codes of its table")
    return _extended(data, position + lengths[code], categories[code].astype(np.int64))


def _extended(data: Array, position: Array, category: Array) -> Array:
    """The signed value in the `category` bits at `position` (T.81 F.2.2.1); category 16 has none and is 32768."""
    first = position >> 3
    wide = data[first].astype(np.int64) << 16 | data[first + 1].astype(np.int64) << 8 | data[first + 2]
    bits = np.where(category == 16, 0, category)
    value = (wide >> (24 - (position & 7) - bits)) & ((1 << bits) - 1)
    negative = (bits > 0) & (value < (1 << np.maximum(bits - 1, 0)))
    value = value - np.where(negative, (1 << bits) - 1, 0)
    return np.where(category == 16, 32768, value)


def _predicted(steps: Array, header: _Header) -> Array:
    """Samples from differences, modulo 2**16 (T.81 H.1.1, Table H.1). The first row looks left, the first column up."""
    steps = steps.copy()
    steps[0, 0] += 1 << (header.precision - header.shift - 1)
    if header.predictor == 1:
        steps[:, 0] = np.cumsum(steps[:, 0])
        return (np.cumsum(steps, axis=1) & 0xFFFF).astype(np.uint16)
    if header.predictor == 2:
        steps[0] = np.cumsum(steps[0])
        return (np.cumsum(steps, axis=0) & 0xFFFF).astype(np.uint16)
    if header.predictor == 4:
        return (np.cumsum(np.cumsum(steps, axis=1), axis=0) & 0xFFFF).astype(np.uint16)
    values = np.empty_like(steps)
    values[0] = np.cumsum(steps[0]) & 0xFFFF
    for row in range(1, len(steps)):
        values[row] = _row(steps[row], values[row - 1], header.predictor)
    return values.astype(np.uint16)


def _row(steps: Array, above: Array, predictor: int) -> Array:
    """One row of predictors 3, 5, 6 and 7 from the row above."""
    steps = steps.copy()
    steps[0] += above[0]
    if predictor == 3:
        steps[1:] += above[:-1]
        return steps & 0xFFFF
    if predictor == 5:
        steps[1:] += (above[1:] - above[:-1]) >> 1
        return np.cumsum(steps) & 0xFFFF
    left, row, up = int(steps[0]) & 0xFFFF, [int(steps[0]) & 0xFFFF], above.tolist()
    for column, step in enumerate(steps.tolist()[1:], start=1):
        guess = up[column] + ((left - up[column - 1]) >> 1) if predictor == 6 else (left + up[column]) >> 1
        left = (guess + step) & 0xFFFF
        row.append(left)
    return np.array(row)
