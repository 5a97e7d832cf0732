"""Colour photographs (Ophthalmic Photography 8 Bit, PS3.3 A.41): checks and decoding to RGB. Ignores grey images."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels import pixel_array

from verticals.medical.frames import num_frames

SOP_CLASS = "1.2.840.10008.5.1.4.1.1.77.1.5.1"
MODALITY = "OP"
PHOTOMETRIC = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")  # PS3.3 C.8.17.4.1.3


def is_colour(dataset: Dataset) -> bool:
    """Whether a pixel has three samples; grey ophthalmic photographs (fluorescein, red-free) have one."""
    return bool(dataset.get("SamplesPerPixel") == len("RGB"))


def native_bytes(dataset: Dataset, frames: int) -> int:
    """Bytes of uncompressed pixel data; chrominance has half the columns in YBR_FULL_422 (PS3.3 C.7.6.3.1.2)."""
    per_pixel = 2 if dataset.PhotometricInterpretation == "YBR_FULL_422" else 3
    return int(frames * dataset.Rows * dataset.Columns * per_pixel)


def fault(dataset: Dataset) -> tuple[str, str, str] | None:
    """(keyword, rule, clause) of the first attribute of a colour image that is wrong; None if none is."""
    if dataset.Modality != MODALITY:
        return "SamplesPerPixel", "must be 1", "PS3.3 C.8.2.1, C.8.3.1"
    if dataset.get("PhotometricInterpretation") not in PHOTOMETRIC:
        return "PhotometricInterpretation", f"must be {', '.join(PHOTOMETRIC)} with three samples", "PS3.3 C.8.17.4.1.3"
    if dataset.get("PlanarConfiguration") not in (0, 1):
        return "PlanarConfiguration", "must be 0 or 1 with three samples", "PS3.3 C.7.6.3.1.3"
    if dataset.get("BitsAllocated") != 8 or dataset.get("BitsStored") != 8 or dataset.get("PixelRepresentation") != 0:
        return "BitsAllocated", "must be 8 unsigned bits with three samples", "PS3.3 C.8.17.4"
    return None


def decode(dataset: Dataset) -> NDArray[Any] | None:
    """RGB, (frames, rows, columns, 3), uint8, whatever the colour space and the order of samples; None: undecodable."""
    try:
        made = np.asarray(pixel_array(dataset))
    except Exception:  # noqa: BLE001 - every decoder has its own errors
        return None
    shape = (num_frames(dataset), int(dataset.Rows), int(dataset.Columns), 3)
    return made.reshape(shape).astype(np.uint8, copy=False) if made.size == math.prod(shape) else None


def make_rgb(dataset: Dataset) -> None:
    """What the header says of decoded samples: RGB, pixel by pixel."""
    dataset.PhotometricInterpretation, dataset.PlanarConfiguration = "RGB", 0
