"""gpt-oss's expert weights in MXFP4 (OCP Microscaling Formats 1.0): 4-bit floats, 32 to a power of two.

They become fp32 when read: exact, for both factors are powers of two and small multiples. Ignores other MX formats.
Shapes: E experts, O outputs, G groups of 32 inputs, I inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from core_model.formats.layers import Shape

E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0)


@dataclass(frozen=True)
class Mxfp4Format:
    """`x_blocks` (E, O, G, 16) uint8, two values to a byte, the lower bits first; `x_scales` (E, O, G), exponent + 127.

    Unquantized checkpoints keep `x` as (E, I, O), and so does this.
    """

    marker: str = "_blocks"
    upstream: str = ""
    required: tuple[str, ...] = ("_scales",)
    optional: tuple[str, ...] = ()

    def decode(self, parts: Mapping[str, Tensor]) -> Tensor:
        """fp32, (E, I, O)."""
        blocks, scales = parts["_blocks"], parts["_scales"]
        if blocks.dtype != torch.uint8 or scales.dtype != torch.uint8 or blocks.shape[:-1] != scales.shape:
            raise ValueError(f"blocks {list(blocks.shape)} need a uint8 scale each, scales are {list(scales.shape)}")
        codes = torch.stack((blocks & 15, blocks >> 4), dim=-1).flatten(-2)
        return scale_codes(codes, scales).flatten(-2).transpose(-2, -1)

    def shape(self, shapes: Mapping[str, Shape], read: Callable[[str], Tensor]) -> Shape:
        """(E, I, O)."""
        *experts, outputs, groups, size = shapes["_blocks"]
        return (*experts, groups * size * 2, outputs)


def scale_codes(codes: Tensor, scales: Tensor) -> Tensor:
    """4-bit float codes (..., 32) times 2**(scale - 127), scales (...); fp32."""
    values = torch.tensor(E2M1, device=codes.device)[codes.int()]
    return torch.ldexp(values, scales.int().unsqueeze(-1) - 127)
