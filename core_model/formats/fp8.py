"""Weights in fp8 with a scale for each tile: DeepSeek-V3's 128 x 128 blocks (arXiv:2412.19437, 3.3), rows, or all.

They become fp32 when read: an fp8 value times its scale. Scales of activations are ignored.
Shapes: O outputs, I inputs; A x B tiles.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from core_model.formats.layers import Shape

FP8 = (torch.float8_e4m3fn, torch.float8_e5m2)


@dataclass(frozen=True)
class Fp8Format:
    """`weight` in fp8, and `weight_scale_inv` (despite its name what to multiply with), or another end.

    Attributes:
        block: Rows and columns of a tile; a scale with a single row or column spans the whole side.
    """

    block: tuple[int, int]
    marker: str = "_scale_inv"
    upstream: str = ""
    required: tuple[str, ...] = ("",)
    optional: tuple[str, ...] = ()

    def decode(self, parts: Mapping[str, Tensor]) -> Tensor:
        """fp32, in the stored shape; experts may be stacked in front."""
        return scale_tiles(parts[self.required[0]], parts[self.marker], block=self.block)

    def shape(self, shapes: Mapping[str, Shape], read: Callable[[str], Tensor]) -> Shape:
        """As stored."""
        return shapes[self.required[0]]


def scale_tiles(weight: Tensor, scale: Tensor, *, block: tuple[int, int]) -> Tensor:
    """weight (..., O, I) times scale (..., A, B), each scale over its tile of up to `block` values; fp32.

    Raises:
        ValueError: not fp8, or the tiles do not cover the weight.
    """
    if weight.dtype not in FP8:
        raise ValueError(f"the weight is {weight.dtype}, not fp8")
    values, factors = weight.float(), scale.float()
    if factors.numel() == 1:
        return values.mul_(factors.reshape(()))
    if factors.ndim == 1:
        factors = factors.unsqueeze(-1)
    for axis, size in zip((-2, -1), block, strict=True):
        if factors.shape[axis] == 1:
            continue
        length = weight.shape[axis]
        if factors.shape[axis] == length:
            continue
        if factors.shape[axis] != -(-length // size):
            raise ValueError(f"{length} values in tiles of {size}, but {factors.shape[axis]} scales")
        factors = factors.repeat_interleave(size, dim=axis).narrow(axis, 0, length)
    return values.mul_(factors)
