"""Made-up images for few-shot findings: noise, and where the finding is present a bright spot. SYNTHETIC."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 64
Pixels = NDArray[np.uint8]


def spot(seed: int, *, present: bool) -> Pixels:
    """One image of (64, 64)."""
    draw = np.random.default_rng(seed)
    pixels = draw.normal(90, 25, (SIDE, SIDE))
    if present:
        row, column = draw.integers(20, 34, 2)
        pixels[row : row + 10, column : column + 10] += 90
    return np.clip(pixels, 0, 255).astype(np.uint8)


def png(pixels: Pixels) -> bytes:
    """As a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def zipped(files: Mapping[str, bytes | str], *, how: int = zipfile.ZIP_STORED) -> bytes:
    """A ZIP archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", how) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def archive(*, present: int = 32, absent: int = 32, header: str = "file,label,patient", signal: bool = True) -> bytes:
    """Images of as many patients, one each, with their labels.csv.

    Args:
        signal: Whether the spot goes with the label.
    """
    files: dict[str, bytes | str] = {}
    lines = [header]
    for i in range(present + absent):
        label = i < present
        files[f"images/{i}.png"] = png(spot(i, present=label if signal else i % 2 == 0))
        lines.append(f"images/{i}.png,{int(label)},p{i}")
    return zipped(files | {"labels.csv": "\n".join(lines)})
