"""Blood vessels, pixel by pixel: a U-Net where one was trained, else the line filter alone.

No weights are shipped: DRIVE, the one set with masks at hand, allows research and no redistribution. `trivium
medical train-vessels` learns from such a folder (`vessel_training.py`). Ignores arteries and veins.
Shapes: S side of the working square, I channels that the network sees.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from scipy import ndimage
from torch import Tensor

from core_model.weights import Weights
from verticals.medical.fundus.filters import lineness
from verticals.medical.fundus.picture import Floats, Mask, Retina, evened
from verticals.medical.vision.unet import UNet, UNetSize

NAME = "medical.fundus_vessels"
WEIGHTS, CARD = "vessels.safetensors", "card.json"
SIZE = UNetSize(inputs=3)
LINE_THRESHOLD = 0.40  # of the line filter, in local standard deviations; chosen by hand
_FLIPS: tuple[tuple[int, ...], ...] = ((), (1,), (2,), (1, 2))


@dataclass(frozen=True)
class LineFilter:
    """The classical way: the oriented line filter above a threshold. Needs no training."""

    threshold: float = LINE_THRESHOLD
    name_and_version: str = "fundus line filter 1"

    def segment(self, retina: Retina) -> Mask:
        """(S, S)."""
        return np.asarray(lineness(retina) > self.threshold)


@dataclass(frozen=True)
class VesselNet:
    """The trained network.

    Attributes:
        threshold: Probability above which a pixel is a vessel.
    """

    parameters: Mapping[str, Tensor]
    threshold: float = 0.5
    name_and_version: str = NAME

    @torch.inference_mode()
    def probability(self, retina: Retina) -> Floats:
        """Of each pixel, 0 outside the field, (S, S): the mean over the picture and its mirror images."""
        network = UNet(SIZE, Weights(self.parameters, precision="fp32"))
        picture_1ISS = torch.from_numpy(evened_channels(retina))[None]
        made = [network(picture_1ISS.flip([d + 1 for d in dims])).sigmoid().flip(dims) for dims in _FLIPS]
        return np.where(retina.inside, torch.stack(made).mean(0)[0].double().numpy(), 0.0)

    def segment(self, retina: Retina) -> Mask:
        """(S, S)."""
        return np.asarray(self.probability(retina) > self.threshold)

    def to_files(self, card: Mapping[str, Any]) -> dict[str, bytes]:
        """As `load` reads them."""
        told = json.dumps({**card, "threshold": self.threshold}, indent=2) + "\n"
        return {WEIGHTS: save(dict(self.parameters)), CARD: told.encode()}

    @classmethod
    def load(cls, files: Mapping[str, Path], name_and_version: str) -> VesselNet:
        """Read what `to_files` made.

        Raises:
            ValueError: a missing or damaged file.
        """
        try:
            parameters = load_file(files[WEIGHTS])
            UNet(SIZE, Weights(parameters, precision="fp32"))
            threshold = float(json.loads(files[CARD].read_text("utf-8"))["threshold"])
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise ValueError(f"files: no readable {NAME} model in {WEIGHTS} and {CARD}. Train again.") from error
        return cls(parameters, threshold, name_and_version)


def evened_channels(retina: Retina) -> NDArray[np.float32]:
    """What the network sees, (I, S, S): red, green and blue against their surroundings."""
    return np.asarray(np.moveaxis(evened(retina.rgb, retina.inside), 2, 0), np.float32)


def long_parts(vessels: Mask, least: int = 45) -> Mask:
    """Connected parts that reach over at least `least` pixels: a shorter part is no vessel, and may be a lesion."""
    parts, _ = ndimage.label(vessels, np.ones((3, 3)))
    is_long = [False] + [max(s.stop - s.start for s in box) >= least for box in ndimage.find_objects(parts)]
    return np.asarray(np.array(is_long)[parts])
