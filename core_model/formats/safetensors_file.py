"""One safetensors file: its header is checked before anything is believed, tensors are mapped one by one.

Each tensor has a mapping of its own, so that the memory of one that was cast or packed is free as soon as it is
dropped; a mapping of the whole file would keep every page that was ever read. Ignores what the tensors mean.
Layout: 8 bytes n, little endian; n bytes of JSON {name: {dtype, shape, data_offsets}}; the data, without gaps.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

DTYPES = {
    **{"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16},
    **{"F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2, "F8_E8M0": torch.float8_e8m0fnu},
    **{"I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8},
    **{"U64": torch.uint64, "U32": torch.uint32, "U16": torch.uint16, "BOOL": torch.bool},
}
_MAX_HEADER = 100 * 2**20  # the reference reader's limit
_SMALL = 2**16  # up to here a copy is cheaper than a mapping


@dataclass(frozen=True)
class _Entry:
    dtype: torch.dtype
    shape: tuple[int, ...]
    begin: int  # bytes from the file's start
    end: int


class SafetensorsFile:
    """An opened file: names, shapes and dtypes are known, nothing is read.

    Raises:
        ValueError: no safetensors file, cut short, or a header that does not fit the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._entries = _read_header(path)
        except OSError as error:
            raise ValueError(f"{path.name}: cannot be read ({error.strerror}). {_REMEDY}") from error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"{path.name}: damaged safetensors file ({error}). {_REMEDY}") from error

    def names(self) -> list[str]:
        """In the header's order."""
        return list(self._entries)

    def shape(self, name: str) -> tuple[int, ...]:
        """Of one tensor, without reading it."""
        return self._entries[name].shape

    def read(self, name: str) -> Tensor:
        """One tensor. Its pages come from the file when touched, and are its own: writing changes no file.

        Raises:
            ValueError: the file shrank since it was opened.
        """
        entry = self._entries[name]
        size = entry.end - entry.begin
        if size == 0:
            return torch.empty(entry.shape, dtype=entry.dtype)
        try:
            file: Any = torch.UntypedStorage.from_file(str(self._path), False, entry.end)
        except RuntimeError as error:
            raise ValueError(f"{self._path.name}: tensor {name} cannot be read. {_REMEDY}") from error
        raw: Tensor = torch.empty(0, dtype=torch.uint8).set_(file)[entry.begin :]
        if size <= _SMALL or entry.begin % entry.dtype.itemsize:
            raw = raw.clone()
        return raw.view(entry.dtype).view(entry.shape)


_REMEDY = "Download or convert the model again."


def _read_header(path: Path) -> dict[str, _Entry]:
    file_size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if file_size < 8 or not 2 <= length <= min(_MAX_HEADER, file_size - 8):
            raise ValueError(f"its header is said to take {length} of {file_size} bytes")
        header = json.loads(file.read(length))
    data = 8 + length
    entries = {name: _entry(name, value, data) for name, value in header.items() if name != "__metadata__"}
    position = data
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)):
        if entry.begin != position:
            raise ValueError(f"tensor {name} leaves a gap or lies over another")
        position = entry.end
    if position != file_size:
        raise ValueError(f"its tensors end at byte {position}, the file at {file_size}")
    return entries


def _entry(name: str, value: dict[str, Any], data: int) -> _Entry:
    if value["dtype"] not in DTYPES:
        raise ValueError(f"tensor {name} has unknown dtype {value['dtype']!r}")
    dtype, shape, (begin, end) = DTYPES[value["dtype"]], tuple(value["shape"]), value["data_offsets"]
    if not all(isinstance(number, int) and number >= 0 for number in (*shape, begin, end)):
        raise ValueError(f"tensor {name} has sizes that are no counts")
    if end - begin != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"tensor {name} of shape {list(shape)} takes {end - begin} bytes")
    return _Entry(dtype, shape, data + begin, data + end)
