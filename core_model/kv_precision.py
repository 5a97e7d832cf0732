"""In which numbers the KV cache keeps entries: as they come, or 8 bits with a scale per token and row. Ignores pages.

Shapes: W rows, N tokens, R width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import torch
from torch import Tensor

KVPrecision = Literal["same", "fp16", "int8", "fp8"]
_LARGEST = {torch.int8: 127.0, torch.float8_e4m3fn: 448.0}


class EntryFormat(Protocol):
    """Entries as one or more tensors to store."""

    def parts(self, width: int) -> list[tuple[int, torch.dtype]]:
        """Width and dtype of each stored tensor, for entries `width` wide."""

    def encode(self, entries_WNR: Tensor) -> Sequence[Tensor]:
        """What to store."""

    def decode(self, parts: Sequence[Tensor]) -> Tensor:
        """The entries again, (W, N, R)."""


def entry_format(precision: KVPrecision, dtype: torch.dtype) -> EntryFormat:
    """The format for entries that come in `dtype`.

    Raises:
        ValueError: unknown precision.
    """
    formats: dict[str, EntryFormat] = {
        "same": _AsTheyCome(dtype),
        "fp16": _Halves(dtype),
        "int8": _Scaled(torch.int8, dtype),
        "fp8": _Scaled(torch.float8_e4m3fn, dtype),
    }
    if precision not in formats:
        raise ValueError(f"kv_precision: must be one of {', '.join(formats)} (got {precision!r}).")
    return formats[precision]


class _AsTheyCome:
    def __init__(self, dtype: torch.dtype) -> None:
        self._dtype = dtype

    def parts(self, width: int) -> list[tuple[int, torch.dtype]]:
        return [(width, self._dtype)]

    def encode(self, entries_WNR: Tensor) -> Sequence[Tensor]:
        return (entries_WNR,)

    def decode(self, parts: Sequence[Tensor]) -> Tensor:
        return parts[0]


class _Halves:
    """What the kernels read."""

    def __init__(self, dtype: torch.dtype) -> None:
        self._dtype = dtype

    def parts(self, width: int) -> list[tuple[int, torch.dtype]]:
        return [(width, torch.float16)]

    def encode(self, entries_WNR: Tensor) -> Sequence[Tensor]:
        return (entries_WNR.half(),)

    def decode(self, parts: Sequence[Tensor]) -> Tensor:
        return parts[0].to(self._dtype)


class _Scaled:
    """Codes of 8 bits; the largest value of each token and row gets the largest code."""

    def __init__(self, code: torch.dtype, dtype: torch.dtype) -> None:
        self._code, self._dtype = code, dtype

    def parts(self, width: int) -> list[tuple[int, torch.dtype]]:
        return [(width, self._code), (1, torch.float32)]

    def encode(self, entries_WNR: Tensor) -> Sequence[Tensor]:
        entries = entries_WNR.float()
        scale = entries.abs().amax(-1, keepdim=True).clamp_min(1e-12) / _LARGEST[self._code]
        codes = entries / scale
        return (codes.round_() if self._code == torch.int8 else codes).to(self._code), scale

    def decode(self, parts: Sequence[Tensor]) -> Tensor:
        codes_WCR, scale_WC1 = parts
        return (codes_WCR.float() * scale_WC1).to(self._dtype)
