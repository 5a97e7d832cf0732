"""Weights in few bits in the order of the kernels, `cpu/layout.h`: 16 outputs interleaved, scales beside their codes.

Codes stay what they are. Scales and minima become fp16 behind a common power of two: what a GGUF file has stays exact,
others move by 2**-11 at most, relative.
Shapes: E experts, O outputs, I inputs, B blocks of 16 outputs, G groups of 32 inputs, Y bytes of a block's group.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core_model.few_bits import join, kind_of
from core_model.quantized_weight import QuantizedWeight, Weight

ROWS, GROUP = 16, 32
_LARGEST = 2.0**14  # where the largest scale comes to lie in fp16; the smallest normal one is 2**28 times smaller


@dataclass(frozen=True)
class PackedWeight:
    """A weight as the kernels read it.

    Attributes:
        blocks_BGY: uint8.
        factor: Of all weights.
        rounding: As `QuantizedWeight.rounding`.
    """

    blocks_BGY: Tensor
    bits: int
    outputs: int
    inputs: int
    factor: float
    rounding: tuple[float, float]


def pack(parts: Sequence[Weight]) -> PackedWeight | None:
    """Weights that share their inputs, outputs side by side; None unless all are in 4 bits, or all in 8 without
    offsets, in groups of a multiple of 32 inputs.
    """
    if len({kind_of(part) for part in parts}) > 1:
        return None
    weight = join(parts)
    if not isinstance(weight, QuantizedWeight) or weight.codes_OI.device.type != "cpu" or weight.group_size % GROUP:
        return None
    if weight.bits != 4 and not (weight.bits == 8 and weight.is_symmetric):
        return None
    return _packed(weight)


def stacked(packed: Sequence[PackedWeight]) -> tuple[Tensor, Tensor]:
    """Weights of one shape as two tensors, for a file: blocks (E, B, G, Y), and sizes (E, 5), fp64."""
    sizes = [(w.bits, w.outputs, w.factor, *w.rounding) for w in packed]
    return torch.stack([w.blocks_BGY for w in packed]), torch.tensor(sizes, dtype=torch.float64)


def unstacked(blocks_EBGY: Tensor, sizes_E5: Tensor) -> list[PackedWeight]:
    """The inverse of `stacked`; copies nothing.

    Raises:
        ValueError: sizes that do not fit the blocks.
    """
    found = []
    for blocks_BGY, sizes in zip(blocks_EBGY, sizes_E5.tolist(), strict=True):
        bits, outputs = int(sizes[0]), int(sizes[1])
        num_blocks, num_groups, num_bytes = blocks_BGY.shape
        if bits not in (4, 8) or num_bytes != block_bytes(bits) or num_blocks != -(-outputs // ROWS):
            raise ValueError("checkpoint: packed weights of an unknown layout. Prepare the model again.")
        rounding = (sizes[3], sizes[4])
        found.append(PackedWeight(blocks_BGY, bits, outputs, num_groups * GROUP, sizes[2], rounding))
    return found


def block_bytes(bits: int) -> int:
    """Of one group of a block of 16 outputs: codes, scales, and for 4 bits minima."""
    return ROWS * GROUP * bits // 8 + (4 if bits == 4 else 2) * ROWS


def unpack(packed: PackedWeight) -> QuantizedWeight:
    """The codes, scales and offsets again, in groups of 32."""
    blocks_BGY, bits = packed.blocks_BGY, packed.bits
    num_codes = ROWS * GROUP * bits // 8
    codes = blocks_BGY[..., :num_codes]
    if bits == 4:
        codes = torch.stack((codes & 15, codes >> 4), -1).view(*codes.shape[:2], GROUP // 8, ROWS, 4, 2)
        codes = codes.permute(0, 3, 1, 2, 5, 4)
    else:
        codes = (codes ^ 128).view(*codes.shape[:2], GROUP // 4, ROWS, 4).permute(0, 3, 1, 2, 4)
    codes_OI = codes.reshape(-1, packed.inputs)[: packed.outputs]
    halves = blocks_BGY[..., num_codes:].contiguous().view(torch.float16).float() * packed.factor
    scales = [
        part.transpose(1, 2).reshape(len(blocks_BGY) * ROWS, -1)[: packed.outputs]
        for part in torch.split(halves, ROWS, -1)
    ]
    scale_OG = scales[0].contiguous()
    offset_OG = scales[1].contiguous() if bits == 4 else scale_OG * -128
    return QuantizedWeight(codes_OI.contiguous(), scale_OG, offset_OG, bits)


def _packed(weight: QuantizedWeight) -> PackedWeight:
    (outputs, inputs), missing = weight.shape, -len(weight.codes_OI) % ROWS
    repeats = weight.group_size // GROUP
    scales = [weight.scale_OG] if weight.bits == 8 else [weight.scale_OG, weight.offset_OG]
    factor = _factor(scales)
    codes_OI = torch.nn.functional.pad(weight.codes_OI, (0, 0, 0, missing))
    parts = [_four_bits(codes_OI) if weight.bits == 4 else _eight_bits(codes_OI)]
    for scale_OG in scales:
        halves_OG = torch.nn.functional.pad(scale_OG / factor, (0, 0, 0, missing)).half()
        halves_BRG = halves_OG.repeat_interleave(repeats, 1).view(-1, ROWS, inputs // GROUP)
        parts.append(halves_BRG.transpose(1, 2).contiguous().view(torch.uint8))
    return PackedWeight(torch.cat(parts, -1), weight.bits, outputs, inputs, factor, weight.rounding())


def _factor(scales: list[Tensor]) -> float:
    largest = max(float(scale_OG.abs().max()) for scale_OG in scales)
    return 2.0 ** math.ceil(math.log2(largest / _LARGEST)) if largest else 1.0


def _four_bits(codes_OI: Tensor) -> Tensor:
    """(B, G, 256): four inputs of each of 16 outputs in the lower half bytes, the next four in the upper."""
    codes = codes_OI.view(-1, ROWS, codes_OI.shape[1] // GROUP, GROUP // 8, 2, 4)
    return (codes[..., 0, :] | codes[..., 1, :] << 4).permute(0, 2, 3, 1, 4).flatten(2)


def _eight_bits(codes_OI: Tensor) -> Tensor:
    """(B, G, 512), signed: four inputs of each of 16 outputs, then the next four."""
    codes = (codes_OI ^ 128).view(-1, ROWS, codes_OI.shape[1] // GROUP, GROUP // 4, 4)
    return codes.permute(0, 2, 3, 1, 4).flatten(2)
