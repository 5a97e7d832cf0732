"""GPTQ and AWQ checkpoints: unsigned codes with a scale and a zero point for each group of inputs.

GPTQ (arXiv:2210.17323) packs codes along the inputs and stores zero points less one (AutoGPTQ, "v1") or as they are
("gptq_v2"); with activation order, `g_idx` scatters a group's inputs over the row. AWQ (arXiv:2306.00978, "gemm") packs
along the outputs, in the order that its kernel unpacks. Ignores 3 bits, and kernels' own layouts (Marlin, GEMV).
Shapes: O outputs, I inputs, G groups, W int32 words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from core_model.formats.bits import unpack
from core_model.formats.layers import Shape
from core_model.quantized_weight import Weight, grouped_weight

_AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)  # which of eight outputs lies in the i-th lowest bits of a word


@dataclass(frozen=True)
class GptqFormat:
    """`qweight` (I * bits / 32, O), `qzeros` (G, O * bits / 32), `scales` (G, O), `g_idx` (I,).

    Attributes:
        zero_shift: What to add to a stored zero point: 1 in v1, 0 in v2.
    """

    bits: int
    zero_shift: int
    marker: str = ".qweight"
    upstream: str = ".weight"
    required: tuple[str, ...] = (".qzeros", ".scales")
    optional: tuple[str, ...] = (".g_idx",)

    def decode(self, parts: Mapping[str, Tensor]) -> Weight:
        """Codes as they are; fp32 where activation order left no neighbouring groups."""
        codes_OI = unpack(parts[".qweight"].t(), self.bits)
        zeros_GO = (unpack(parts[".qzeros"], self.bits) + self.zero_shift) & (2**self.bits - 1)
        return _grouped(codes_OI, parts[".scales"], zeros_GO, bits=self.bits, group_I=parts.get(".g_idx"))

    def shape(self, shapes: Mapping[str, Shape], read: Callable[[str], Tensor]) -> Shape:
        """(O, I)."""
        words, outputs = shapes[".qweight"]
        return outputs, words * 32 // self.bits


@dataclass(frozen=True)
class AwqFormat:
    """`qweight` (I, O / 8), `qzeros` (G, O / 8), `scales` (G, O); 4 bits."""

    marker: str = ".qweight"
    upstream: str = ".weight"
    required: tuple[str, ...] = (".qzeros", ".scales")
    optional: tuple[str, ...] = ()

    def decode(self, parts: Mapping[str, Tensor]) -> Weight:
        """Codes as they are."""
        codes_IO, zeros_GO = _awq_unpack(parts[".qweight"]), _awq_unpack(parts[".qzeros"])
        return _grouped(codes_IO.t().contiguous(), parts[".scales"], zeros_GO, bits=4)

    def shape(self, shapes: Mapping[str, Shape], read: Callable[[str], Tensor]) -> Shape:
        """(O, I)."""
        inputs, words = shapes[".qweight"]
        return words * 8, inputs


def _awq_unpack(words_NW: Tensor) -> Tensor:
    places = torch.tensor(_AWQ_ORDER, device=words_NW.device).argsort()
    values_NWX = unpack(words_NW, 4).view(*words_NW.shape, 8)
    return values_NWX[..., places].flatten(1)


def _grouped(
    codes_OI: Tensor, scales_GO: Tensor, zeros_GO: Tensor, *, bits: int, group_I: Tensor | None = None
) -> Weight:
    if scales_GO.shape != zeros_GO.shape:
        raise ValueError(f"scales are {list(scales_GO.shape)}, zero points {list(zeros_GO.shape)}")
    scale_OG = scales_GO.float().t().contiguous()
    return grouped_weight(codes_OI, scale_OG, -(zeros_GO.t().float() * scale_OG), bits=bits, group_I=group_I)
