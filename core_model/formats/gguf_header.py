"""The header of a GGUF file: its metadata, and where each tensor lies. Every count is checked against the file's size.

Ignores what the keys mean, and the tensors' contents. Layout: github.com/ggml-org/ggml, docs/gguf.md, versions 2 and 3.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

from core_model.formats.layers import Shape

_SCALARS = ("B", "b", "H", "h", "I", "i", "f", "?", None, None, "Q", "q", "d")  # by GGUF's number of the type
_STRING, _ARRAY = 8, 9
_MAX_DIMS = 4
_REMEDY = "Download the file again."


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor lies; `shape` in PyTorch's order, the last dimension contiguous."""

    kind: GGMLQuantizationType
    shape: Shape
    begin: int
    size: int


@dataclass(frozen=True)
class GGUFHeader:
    """A file's metadata by key, arrays as lists, and its tensors by name."""

    metadata: Mapping[str, Any]
    tensors: Mapping[str, StoredTensor]


def read_header(path: Path) -> GGUFHeader:
    """Read and check a header.

    Raises:
        ValueError: no GGUF file, cut short, or a header that does not fit it.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Reader(data).header()
    except OSError as error:
        raise ValueError(f"{path.name}: cannot be read ({error.strerror}). {_REMEDY}") from error
    except (ValueError, struct.error, RecursionError) as error:
        raise ValueError(f"file: not a readable GGUF file (got {path.name!r}: {error}). {_REMEDY}") from error


class _Reader:
    def __init__(self, data: mmap.mmap) -> None:
        self._data, self._at = data, 0

    def header(self) -> GGUFHeader:
        magic, version, num_tensors, num_keys = self._unpack("4sIQQ")
        if magic != b"GGUF" or version not in (2, 3):
            raise ValueError(f"it starts with {magic!r}, version {version}; little-endian versions 2 and 3 are read")
        metadata = dict(self._pair() for _ in range(num_keys))
        infos = [self._tensor_info() for _ in range(num_tensors)]
        alignment = metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or alignment < 1:
            raise ValueError(f"general.alignment is {alignment!r}")
        first = -(-self._at // alignment) * alignment
        tensors = {name: self._locate(name, kind, shape, first + offset) for name, kind, shape, offset in infos}
        if len(tensors) < len(infos):
            raise ValueError("two tensors have the same name")
        return GGUFHeader(metadata, tensors)

    def _pair(self) -> tuple[str, Any]:
        return self._string(), self._value(*self._unpack("I"))

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._string()
        if kind == _ARRAY:
            return self._array(*self._unpack("IQ"))
        if kind >= len(_SCALARS):
            raise ValueError(f"value of unknown type {kind}")
        return self._unpack(str(_SCALARS[kind]))[0]

    def _array(self, kind: int, length: int) -> list[Any]:
        if kind in (_STRING, _ARRAY) or kind >= len(_SCALARS):
            return [self._value(kind) for _ in range(length)]
        dtype = np.dtype(str(_SCALARS[kind]))
        return list(np.frombuffer(self._take(length * dtype.itemsize), dtype=dtype).tolist())

    def _tensor_info(self) -> tuple[str, GGMLQuantizationType, Shape, int]:
        name, (num_dims,) = self._string(), self._unpack("I")
        if num_dims > _MAX_DIMS:
            raise ValueError(f"tensor {name} has {num_dims} dimensions")
        shape = tuple(reversed(self._unpack(f"{num_dims}Q")))
        kind, offset = self._unpack("IQ")
        return name, GGMLQuantizationType(kind), shape, offset

    def _locate(self, name: str, kind: GGMLQuantizationType, shape: Shape, begin: int) -> StoredTensor:
        block, block_bytes = GGML_QUANT_SIZES[kind]
        if not shape or shape[-1] % block:
            raise ValueError(f"tensor {name} of shape {list(shape)} does not fill blocks of {block}")
        size = math.prod(shape) // block * block_bytes
        if begin + size > len(self._data):
            raise ValueError(f"tensor {name} ends at byte {begin + size}, the file at {len(self._data)}")
        return StoredTensor(kind, shape, begin, size)

    def _string(self) -> str:
        return self._take(*self._unpack("Q")).decode("utf-8")

    def _unpack(self, kinds: str) -> tuple[Any, ...]:
        return struct.unpack(f"<{kinds}", self._take(struct.calcsize(f"<{kinds}")))

    def _take(self, size: int) -> bytes:
        if size > len(self._data) - self._at:
            raise ValueError(f"it ends at byte {len(self._data)}, in the middle of its header")
        self._at += size
        return self._data[self._at - size : self._at]
