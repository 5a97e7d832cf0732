"""The packaged chest-film tower as a frozen encoder, and the small changes to it that few images may teach.

A change acts between the stem and the reading: on what the core's blocks are given, or on what they give. The tower's
own parameters never move. Ignores labels.
Shapes: B images, S pixels a side, N patches, D width, X numbers a patch, L layers, P prompts, R width of adapters.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from numpy.typing import NDArray
from torch import Tensor

from verticals.medical.chest.model import WEIGHTS, ChestModel, packaged, thumbnails
from verticals.medical.vision.tower import PatchLayer, Tower, TowerSize

NUM_PROMPTS = 4
ADAPTER_DIM = 4


class Change(Protocol):
    """What is put around the frozen blocks.

    Attributes:
        parameters: What is learned, by name.
    """

    @property
    def parameters(self) -> Mapping[str, Tensor]: ...

    def __call__(self, layers: Sequence[PatchLayer], x_BND: Tensor) -> Tensor:
        """Patches through the blocks, (B, N, D)."""


@dataclass(frozen=True)
class NoChange:
    """The blocks as they are: what a linear probe sees."""

    parameters: Mapping[str, Tensor]

    def __call__(self, layers: Sequence[PatchLayer], x_BND: Tensor) -> Tensor:
        for layer in layers:
            x_BND = layer(x_BND)
        return x_BND


@dataclass(frozen=True)
class Prompts:
    """Learned tokens before the patches, which the blocks attend to (Jia 2022, arXiv:2203.12119)."""

    parameters: Mapping[str, Tensor]

    def __call__(self, layers: Sequence[PatchLayer], x_BND: Tensor) -> Tensor:
        tokens_PD = self.parameters["tokens_PD"]
        x_BND = torch.cat((tokens_PD.expand(len(x_BND), -1, -1), x_BND), 1)
        for layer in layers:
            x_BND = layer(x_BND)
        return x_BND[:, len(tokens_PD) :]


@dataclass(frozen=True)
class Adapters:
    """A bottleneck behind each block that adds to what it gives (Houlsby 2019, arXiv:1902.00751)."""

    parameters: Mapping[str, Tensor]

    def __call__(self, layers: Sequence[PatchLayer], x_BND: Tensor) -> Tensor:
        down_LDR, up_LRD = self.parameters["down_LDR"], self.parameters["up_LRD"]
        for layer, down_DR, up_RD in zip(layers, down_LDR, up_LRD, strict=True):
            x_BND = layer(x_BND)
            x_BND = x_BND + F.gelu(x_BND @ down_DR) @ up_RD
        return x_BND


def first_prompts(size: TowerSize, draw: torch.Generator) -> dict[str, Tensor]:
    """Tokens as small as positions are."""
    return {"tokens_PD": torch.randn(NUM_PROMPTS, size.widths[-1], generator=draw) * 0.1}


def first_adapters(size: TowerSize, draw: torch.Generator) -> dict[str, Tensor]:
    """Adapters that add nothing yet."""
    dim, layers = size.widths[-1], size.num_layers
    down_LDR = torch.randn(layers, dim, ADAPTER_DIM, generator=draw) / dim**0.5
    return {"down_LDR": down_LDR, "up_LRD": torch.zeros(layers, ADAPTER_DIM, dim)}


@dataclass(frozen=True)
class Method:
    """A way of learning from few images: the change that it makes, and what that begins with."""

    change: Callable[[Mapping[str, Tensor]], Change]
    first: Callable[[TowerSize, torch.Generator], dict[str, Tensor]]


PROBE = "linear probe"
METHODS: Mapping[str, Method] = {
    PROBE: Method(NoChange, lambda size, draw: {}),
    "prompt tuning": Method(Prompts, first_prompts),
    "adapter": Method(Adapters, first_adapters),
}


@dataclass(frozen=True)
class Stems:
    """What the frozen stem makes of images, once for all: no change reaches it.

    Attributes:
        known_BNX: Of each patch, mean of an image and its mirror image.
        views_VBND: What the blocks begin with; V = 2, the image and its mirror image.
        thumbnail_BT: The image itself at 16 x 16.
    """

    known_BNX: Tensor
    views_VBND: Tensor
    thumbnail_BT: Tensor

    def __getitem__(self, rows: Tensor) -> Stems:
        return Stems(self.known_BNX[rows], self.views_VBND[:, rows], self.thumbnail_BT[rows])

    @property
    def unmirrored(self) -> Stems:
        """Without the mirror images: half the work, for the steps of learning."""
        return Stems(self.known_BNX, self.views_VBND[:1], self.thumbnail_BT)


@dataclass(frozen=True)
class Encoder:
    """The tower, in fp32 so that gradients go through it to a change.

    Attributes:
        sha256: Of the packaged weights: what learned on others does not fit.
    """

    tower: Tower
    sha256: str

    @classmethod
    def load(cls) -> Encoder:
        """The packaged one, whatever chest-film model is registered: an enabled finding must not shift under it.

        Raises:
            ValueError: a damaged file.
        """
        files = packaged()
        model = ChestModel.load(files, precision="fp32")
        return cls(model.tower, hashlib.sha256(files[WEIGHTS].read_bytes()).hexdigest())

    @torch.no_grad()
    def stems(self, pictures_BSS: NDArray[np.float32]) -> Stems:
        """Begin to read pictures, each of mean 0 and variance 1."""
        pixels = torch.from_numpy(np.ascontiguousarray(pictures_BSS))
        (known, start_BND), (mirrored, mirrored_BND) = (self.tower.begin(p) for p in (pixels, pixels.flip(-1)))
        known_BNX = (torch.cat(known, -1) + self._back(torch.cat(mirrored, -1))) / 2
        thumbnail_BT = torch.from_numpy(thumbnails(pictures_BSS)).float()
        return Stems(known_BNX, torch.stack((start_BND, mirrored_BND)), thumbnail_BT)

    def patches(self, stems: Stems, change: Change) -> Tensor:
        """What stem and changed blocks know of each patch, (B, N, X): the mean of as many views as there are."""
        x_BND = self.tower.norm(change(self.tower.layers, stems.views_VBND.flatten(0, 1)))
        seen_BND, *mirrored = x_BND.chunk(len(stems.views_VBND))
        views = [seen_BND, *(self._back(x_BND) for x_BND in mirrored)]
        return torch.cat((stems.known_BNX, torch.stack(views).mean(0)), -1)

    def _back(self, mirrored_BNX: Tensor) -> Tensor:
        grid = self.tower.size.grid
        return mirrored_BNX.view(len(mirrored_BNX), grid, grid, -1).flip(2).flatten(1, 2)
