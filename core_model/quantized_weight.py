"""A weight matrix in few bits: integer codes, and a scale and an offset for each group of inputs. Ignores computing.

Every grouped format is this one: int4 and int8, symmetric or not (GPTQ, AWQ, compressed-tensors), and GGUF's blocks.
Shapes: O outputs, I inputs, G groups of I / G neighbouring inputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

SAMPLED_ROWS = 64  # of a matrix, for what is told of its rounding


@dataclass(frozen=True)
class QuantizedWeight:
    """weight[o, i] = codes[o, i] * scale[o, g] + offset[o, g], with g the group of input i.

    Attributes:
        codes_OI: uint8, 0 to 2**bits - 1, one to a byte.
        scale_OG: fp32.
        offset_OG: fp32, the weight of code 0: -2**(bits - 1) * scale where the format is symmetric.
        bits: 2 to 8.
    """

    codes_OI: Tensor
    scale_OG: Tensor
    offset_OG: Tensor
    bits: int

    def __post_init__(self) -> None:
        outputs, inputs = self.codes_OI.shape
        assert self.codes_OI.dtype == torch.uint8
        assert self.scale_OG.shape == self.offset_OG.shape
        assert self.scale_OG.shape[0] == outputs
        assert inputs % self.scale_OG.shape[1] == 0

    @property
    def shape(self) -> tuple[int, int]:
        """(outputs, inputs)."""
        return self.codes_OI.shape[0], self.codes_OI.shape[1]

    @property
    def is_symmetric(self) -> bool:
        """Whether the middle code stands for zero in every group."""
        return torch.equal(self.offset_OG, self.scale_OG * -(2 ** (self.bits - 1)))

    @property
    def group_size(self) -> int:
        """Inputs that share a scale."""
        return self.codes_OI.shape[1] // self.scale_OG.shape[1]

    def to(self, device: torch.device | str) -> QuantizedWeight:
        """The same on another device."""
        codes_OI, scale_OG, offset_OG = (part.to(device) for part in (self.codes_OI, self.scale_OG, self.offset_OG))
        return QuantizedWeight(codes_OI, scale_OG, offset_OG, self.bits)

    def rounding(self) -> tuple[float, float]:
        """What rounding to nearest adds, and what the weights have: sums of squares, from some rows of them."""
        every = max(1, len(self.codes_OI) // SAMPLED_ROWS)
        codes_OI, scale_OG, offset_OG = (part[::every] for part in (self.codes_OI, self.scale_OG, self.offset_OG))
        weight_OI = QuantizedWeight(codes_OI, scale_OG, offset_OG, self.bits).dequantize()
        energy_OG = weight_OI.square().view(*scale_OG.shape, -1).sum(-1)
        noise = float(scale_OG[energy_OG > 0].square().sum()) * self.group_size / 12  # zeros are exact, at any scale
        return every * noise, every * float(energy_OG.sum())

    def dequantize(self) -> Tensor:
        """The weights, fp32, (O, I)."""
        codes_OGX = self.codes_OI.float().view(*self.scale_OG.shape, -1)
        return torch.addcmul(self.offset_OG.unsqueeze(-1), codes_OGX, self.scale_OG.unsqueeze(-1)).flatten(1)


Weight = Tensor | QuantizedWeight
"""As a checkpoint may have it: plain, or in few bits."""


def grouped_weight(
    codes_OI: Tensor, scale_OG: Tensor, offset_OG: Tensor, *, bits: int, group_I: Tensor | None = None
) -> Weight:
    """Codes as they are; fp32 where `group_I`, the group of each input, does not give neighbours one group.

    Raises:
        ValueError: groups that the scales do not have, or scales that do not fit the codes.
    """
    inputs, groups = codes_OI.shape[1], scale_OG.shape[1]
    if offset_OG.shape != scale_OG.shape or len(scale_OG) != len(codes_OI) or inputs % groups:
        raise ValueError(f"codes {list(codes_OI.shape)} with scales {list(scale_OG.shape)}")
    in_order_I = torch.arange(inputs, device=codes_OI.device) // (inputs // groups)
    if group_I is None or torch.equal(group_I.long(), in_order_I):
        return QuantizedWeight(codes_OI, scale_OG, offset_OG, bits)
    if len(group_I) != inputs or not 0 <= int(group_I.min()) <= int(group_I.max()) < groups:
        raise ValueError(f"g_idx must give each of {inputs} inputs a group below {groups}")
    index_I = group_I.long()
    return torch.addcmul(offset_OG[:, index_I], codes_OI.float(), scale_OG[:, index_I])
