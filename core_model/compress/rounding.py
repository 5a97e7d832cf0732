"""Round to nearest: the grid of a group of weights, and each weight's nearest point on it. Ignores activations.

What is stored is what is computed with: scales (and free offsets) are rounded to bf16 before any code is chosen.
Shapes: O outputs, I inputs, G groups, X inputs of one group.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from core_model.quantized_weight import QuantizedWeight

Offset = Literal["symmetric", "integer", "free"]
OFFSETS: tuple[Offset, ...] = ("symmetric", "integer", "free")
_SHRINKS = tuple(1 - 0.04 * i for i in range(13))  # down to about half the range; further never pays


@dataclass(frozen=True)
class Scheme:
    """How a weight is stored.

    Attributes:
        bits: 2 to 8.
        group_size: Neighbouring inputs that share a scale; None for all inputs of an output.
        offset: `symmetric` has none (zero is a code in the middle); `integer` a zero point that is itself a code, as in
            GPTQ, AWQ and compressed-tensors; `free` any bf16, as in GGUF's Q4_1, which other formats cannot write.

    Raises:
        ValueError: a value outside these.
    """

    bits: int = 4
    group_size: int | None = 64
    offset: Offset = "symmetric"

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 8:
            raise ValueError(f"bits: must be 2 to 8 (got {self.bits}).")
        if self.group_size is not None and self.group_size < 1:
            raise ValueError(f"group_size: must be 1 or more (got {self.group_size}). None makes one group a row.")
        if self.offset not in OFFSETS:
            raise ValueError(f"offset: must be one of {', '.join(OFFSETS)} (got {self.offset!r}).")

    @property
    def max_code(self) -> int:
        """The largest code; the smallest is 0."""
        return (1 << self.bits) - 1

    @property
    def middle(self) -> int:
        """The code of zero in a symmetric grid."""
        return 1 << (self.bits - 1)

    def width(self, num_inputs: int) -> int:
        """Inputs in a group of a weight with `num_inputs`.

        Raises:
            ValueError: the group size does not divide it.
        """
        width = self.group_size or num_inputs
        if num_inputs % width:
            fits = [size for size in (128, 64, 32) if num_inputs % size == 0]
            remedy = f"Use {' or '.join(map(str, fits))}." if fits else "Leave group_size out for one group a row."
            raise ValueError(f"group_size: must divide a layer's {num_inputs} inputs (got {width}). {remedy}")
        return width

    def bits_per_weight(self, num_inputs: int) -> float:
        """Bits at rest: the code, and its share of a bf16 scale and, unless symmetric, of a bf16 offset."""
        per_group = 16 if self.offset == "symmetric" else 32
        return self.bits + per_group / self.width(num_inputs)


def round_to_nearest(weight_OI: Tensor, scheme: Scheme, *, importance_I: Tensor | None = None) -> QuantizedWeight:
    """Each weight's nearest point on its group's grid.

    Args:
        weight_OI: Any float dtype.
        importance_I: With it, each grid is also shrunk to where the squared error, weighed by this, is least: clipping
            a few outliers may serve the rest. Without it the grid spans the group.
    """
    num_outputs, num_inputs = weight_OI.shape
    weight_OGX = weight_OI.float().reshape(num_outputs, -1, scheme.width(num_inputs))
    scale_OG, offset_OG = fit_grid(weight_OGX, scheme, importance_I=importance_I)
    codes_OGX = to_codes(weight_OGX, scale_OG, offset_OG, scheme)
    return QuantizedWeight(codes_OGX.flatten(1).to(torch.uint8), scale_OG, offset_OG, scheme.bits)


def fit_grid(weight_OGX: Tensor, scheme: Scheme, *, importance_I: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Scale and offset of each group, (O, G), fp32 holding what bf16 can; see `round_to_nearest`."""
    best = _grid(weight_OGX, scheme, 1.0)
    if importance_I is None:
        return best
    importance_GX = importance_I.view(weight_OGX.shape[1:])
    least_OG = _error(weight_OGX, *best, scheme, importance_GX)
    for shrink in _SHRINKS[1:]:
        tried = _grid(weight_OGX, scheme, shrink)
        error_OG = _error(weight_OGX, *tried, scheme, importance_GX)
        better_OG = error_OG < least_OG
        least_OG = torch.where(better_OG, error_OG, least_OG)
        best = torch.where(better_OG, tried[0], best[0]), torch.where(better_OG, tried[1], best[1])
    return best


def to_codes(weight_OGX: Tensor, scale_OG: Tensor, offset_OG: Tensor, scheme: Scheme) -> Tensor:
    """The nearest codes, fp32 whole numbers, in the weight's shape."""
    steps = (weight_OGX - offset_OG.unsqueeze(-1)).div_(scale_OG.unsqueeze(-1))
    return steps.round_().clamp_(0, scheme.max_code)


def _grid(weight_OGX: Tensor, scheme: Scheme, shrink: float) -> tuple[Tensor, Tensor]:
    """A grid over `shrink` of each group's range. A group of zeros has scale 1."""
    if scheme.offset == "symmetric":
        # Half a step beyond the last code on the positive side: the rounding error there equals that of any weight.
        scale_OG = _as_stored(weight_OGX.abs().amax(-1) * (shrink * 2 / scheme.max_code))
        return scale_OG, scale_OG * -scheme.middle
    low_OG, high_OG = weight_OGX.amin(-1) * shrink, weight_OGX.amax(-1) * shrink
    if scheme.offset == "integer":  # zero must be a code
        low_OG, high_OG = low_OG.clamp(max=0), high_OG.clamp(min=0)
    else:  # a narrow range far from zero: its bf16 middle is coarser than the range, so this is widened to hold it
        high_OG = torch.maximum(high_OG, low_OG + low_OG.abs() / 64)
    scale_OG = _as_stored((high_OG - low_OG) / scheme.max_code)
    if scheme.offset == "integer":
        return scale_OG, scale_OG * (low_OG / scale_OG).round_()
    middle_OG = low_OG + scale_OG * scheme.middle  # nearer to zero than the offset, hence finer in bf16
    return scale_OG, middle_OG.bfloat16().float() - scale_OG * scheme.middle


def _as_stored(scale_OG: Tensor) -> Tensor:
    scale_OG = scale_OG.bfloat16().float()
    return torch.where(scale_OG > 0, scale_OG, 1.0)


def _error(weight_OGX: Tensor, scale_OG: Tensor, offset_OG: Tensor, scheme: Scheme, importance_GX: Tensor) -> Tensor:
    codes = to_codes(weight_OGX, scale_OG, offset_OG, scheme)
    rounded = torch.addcmul(offset_OG.unsqueeze(-1), codes, scale_OG.unsqueeze(-1))
    return rounded.sub_(weight_OGX).square_().mul_(importance_GX).sum(-1)
