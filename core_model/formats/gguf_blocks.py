"""The blocks of GGUF's tensor types, decoded: small integers with scales and offsets for runs of 16 or 32, and MXFP4.

Every type becomes what `gguf.quants.dequantize` makes of it, bit for bit. Ignores names and files.
Shapes: N blocks, G groups in a block, S values in a group.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from torch import Tensor

from core_model.formats.layers import Shape
from core_model.formats.mxfp4 import scale_codes
from core_model.quantized_weight import QuantizedWeight, Weight

Kind = GGMLQuantizationType
Groups = tuple[Tensor, Tensor, Tensor]  # codes (N, G * S) uint8, scales (N, G) and offsets (N, G) fp32


@dataclass(frozen=True)
class _BlockType:
    bits: int
    decode: Callable[[Tensor], Groups]


def decode_tensor(raw: Tensor, kind: GGMLQuantizationType, shape: Shape) -> Weight:
    """A tensor from its bytes: grouped integers for a matrix of such a type, floats in their own precision otherwise.

    Raises:
        ValueError: a type that is not read.
    """
    if kind in _FLOATS:
        return raw.view(_FLOATS[kind]).view(shape)
    if kind not in _BLOCKS and kind != Kind.MXFP4:
        known = ", ".join(k.name for k in (*_FLOATS, *_BLOCKS, Kind.MXFP4))
        raise ValueError(f"GGUF type: {kind.name} is not read. Use a file with one of: {known}.")
    blocks_NB = raw.view(-1, GGML_QUANT_SIZES[kind][1])
    if kind == Kind.MXFP4:
        return scale_codes(_nibbles(blocks_NB[:, 1:], run=16), blocks_NB[:, 0]).view(shape)
    codes, scale, offset = _BLOCKS[kind].decode(blocks_NB)
    rows = raw.numel() * codes.shape[1] // blocks_NB.shape[1] // shape[-1]
    matrix = QuantizedWeight(
        codes.view(rows, -1), scale.reshape(rows, -1), offset.reshape(rows, -1), _BLOCKS[kind].bits
    )
    return matrix if len(shape) == 2 else matrix.dequantize().view(shape)


def _q4_0(blocks: Tensor) -> Groups:
    scale = _half(blocks[:, :2])
    return _nibbles(blocks[:, 2:], run=16), scale, -8 * scale


def _q4_1(blocks: Tensor) -> Groups:
    return _nibbles(blocks[:, 4:], run=16), _half(blocks[:, :2]), _half(blocks[:, 2:4])


def _q5_0(blocks: Tensor) -> Groups:
    scale = _half(blocks[:, :2])
    return _nibbles(blocks[:, 6:], run=16) | _bits(blocks[:, 2:6]) << 4, scale, -16 * scale


def _q5_1(blocks: Tensor) -> Groups:
    codes = _nibbles(blocks[:, 8:], run=16) | _bits(blocks[:, 4:8]) << 4
    return codes, _half(blocks[:, :2]), _half(blocks[:, 2:4])


def _q8_0(blocks: Tensor) -> Groups:
    scale = _half(blocks[:, :2])
    return blocks[:, 2:] ^ 128, scale, -128 * scale  # int8 plus 128


def _q4_k(blocks: Tensor) -> Groups:
    scale, offset = _k_scales(blocks)
    return _nibbles(blocks[:, 16:], run=32), scale, offset


def _q5_k(blocks: Tensor) -> Groups:
    scale, offset = _k_scales(blocks)
    # Bit j of byte i is the fifth bit of value 32 j + i.
    high = torch.stack([blocks[:, 16:48] >> j & 1 for j in range(8)], dim=1).flatten(1)
    return _nibbles(blocks[:, 48:], run=32) | high << 4, scale, offset


def _q6_k(blocks: Tensor) -> Groups:
    low = _nibbles(blocks[:, :128], run=64)
    high = blocks[:, 128:192].view(-1, 2, 32)  # four pairs of bits to a byte, 32 values apart
    high = torch.stack([high >> shift & 3 for shift in (0, 2, 4, 6)], dim=2).flatten(1)
    scale = blocks[:, 192:208].contiguous().view(torch.int8).float() * _half(blocks[:, 208:210])
    return low | high << 4, scale, -32 * scale


def _k_scales(blocks: Tensor) -> tuple[Tensor, Tensor]:
    """Scales and offsets of Q4_K and Q5_K: two halves, then eight pairs of 6-bit factors in 12 bytes.

    Of pairs 0-3 the bytes 0-3 and 4-7 hold the factors in their lower six bits; of pairs 4-7 bytes 8-11 hold the lower
    four bits of each, and the upper two bits of bytes 0-7 the rest.
    """
    first, second, rest = blocks[:, 4:8], blocks[:, 8:12], blocks[:, 12:16]
    factors = torch.cat((first & 63, rest & 15 | first >> 2 & 48), dim=1)
    minima = torch.cat((second & 63, rest >> 4 | second >> 2 & 48), dim=1)
    return _half(blocks[:, :2]) * factors, -(_half(blocks[:, 2:4]) * minima)


def _nibbles(packed: Tensor, *, run: int) -> Tensor:
    """Lower then upper four bits of each run of bytes, (N, B) to (N, 2 B)."""
    runs = packed.reshape(len(packed), -1, 1, run)
    return torch.cat((runs & 15, runs >> 4), dim=2).flatten(1)


def _bits(packed: Tensor) -> Tensor:
    """Single bits, the lowest first, (N, B) to (N, 8 B)."""
    shifts = torch.arange(8, dtype=torch.uint8)
    return (packed.unsqueeze(-1) >> shifts & 1).flatten(1)


def _half(packed: Tensor) -> Tensor:
    return packed.contiguous().view(torch.float16).float()


_FLOATS: Mapping[GGMLQuantizationType, torch.dtype] = {
    Kind.F32: torch.float32,
    Kind.F16: torch.float16,
    Kind.BF16: torch.bfloat16,
}
_BLOCKS: Mapping[GGMLQuantizationType, _BlockType] = {
    Kind.Q4_0: _BlockType(4, _q4_0),
    Kind.Q4_1: _BlockType(4, _q4_1),
    Kind.Q5_0: _BlockType(5, _q5_0),
    Kind.Q5_1: _BlockType(5, _q5_1),
    Kind.Q8_0: _BlockType(8, _q8_0),
    Kind.Q4_K: _BlockType(4, _q4_k),
    Kind.Q5_K: _BlockType(5, _q5_k),
    Kind.Q6_K: _BlockType(6, _q6_k),
}
