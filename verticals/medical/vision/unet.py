"""A U-Net (Ronneberger 2015, arXiv:1505.04597): a logit of each pixel, from itself and what lies around it.

Narrow, as it need not be wider for vessels (Galdran 2020, arXiv:2009.01907), and so quick on one core. Built of the
tower's convolutions, from the core's `Weights`. Ignores what the pixels show.
Shapes: B pictures, S pixels a side, I channels of a picture, C channels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from core_model.weights import Weights
from verticals.medical.vision.tower import Convolution


@dataclass(frozen=True)
class UNetSize:
    """Of the network; each level has half the side of the one before.

    Attributes:
        inputs: Channels of a picture.
        widths: Channels of each level, each divisible by 8.
    """

    inputs: int = 3
    widths: tuple[int, ...] = (8, 16, 32, 64)

    @property
    def multiple(self) -> int:
        """What a picture's side must be a multiple of."""
        return int(2 ** (len(self.widths) - 1))


class UNet:
    """Pictures to logits."""

    def __init__(self, size: UNetSize, weights: Weights) -> None:
        levels = range(len(size.widths))
        self.down = [_Pair(weights, f"down.{i}") for i in levels]
        self.up = [_Pair(weights, f"up.{i}") for i in levels[:-1]]
        self.weight, self.bias = weights.tensor("head.weight"), weights.tensor("head.bias")

    def __call__(self, x_BISS: Tensor) -> Tensor:
        """Logits, (B, S, S)."""
        x_BCSS, seen = self.down[0](x_BISS), []
        for pair in self.down[1:]:
            seen.append(x_BCSS)
            x_BCSS = pair(F.max_pool2d(x_BCSS, 2))
        for pair, fine_BCSS in zip(reversed(self.up), reversed(seen), strict=True):
            x_BCSS = pair(torch.cat((fine_BCSS, F.interpolate(x_BCSS, scale_factor=2.0)), 1))
        return F.conv2d(x_BCSS, self.weight, self.bias)[:, 0]


class _Pair:
    """Two convolutions."""

    def __init__(self, weights: Weights, prefix: str) -> None:
        self.first = Convolution(weights, f"{prefix}.first", stride=1)
        self.second = Convolution(weights, f"{prefix}.second", stride=1)

    def __call__(self, x_BCSS: Tensor) -> Tensor:
        return F.relu(self.second(F.relu(self.first(x_BCSS))))


def first_parameters(size: UNetSize, seed: int) -> dict[str, Tensor]:
    """Random parameters; names are the checkpoint's."""
    draw = torch.Generator().manual_seed(seed)
    widths = size.widths
    pairs = {f"down.{i}": (before, after) for i, (before, after) in enumerate(pairwise((size.inputs, *widths)))}
    pairs |= {f"up.{i}": (widths[i] + widths[i + 1], widths[i]) for i in range(len(widths) - 1)}
    made = {"head.weight": torch.randn(1, widths[0], 1, 1, generator=draw) * 0.1, "head.bias": torch.zeros(1)}
    for prefix, (before, after) in pairs.items():
        for name, inputs in (("first", before), ("second", after)):
            gain = math.sqrt(2 / (9 * inputs))
            made[f"{prefix}.{name}.weight"] = torch.randn(after, inputs, 3, 3, generator=draw) * gain
            made[f"{prefix}.{name}.scale"] = torch.ones(after)
            made[f"{prefix}.{name}.shift"] = torch.zeros(after)
    return made
