"""The heatmap: where the model looked for opacities, over the film, and labelled so. It outlines nothing.

`python -m benchmarks.films heatmap` shows how often it points into a lesion, and that it goes with trained weights.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from verticals.medical.vision.pictures import Frame, Grey

LABEL = "attention"
_WARM = (255, 96, 0)
_STRENGTH = 0.55


def overlay(grey: Grey, attention_GG: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """The film in colour, (rows, columns, 3), warmer where the model looked, with the word "attention" on it.

    Args:
        grey: White highest.
        attention_GG: Shares of the highest, over the square that the film lies in.
    """
    frame = Frame(*grey.shape)
    square = Image.fromarray((np.clip(attention_GG, 0, 1) * 255).astype(np.uint8))
    left, top = (frame.side - frame.columns) // 2, (frame.side - frame.rows) // 2
    whole = square.resize((frame.side, frame.side), Image.Resampling.BILINEAR)
    mask = whole.crop((left, top, left + frame.columns, top + frame.rows)).point(lambda v: int(v * _STRENGTH))
    film = Image.fromarray(grey).convert("RGB")
    film.paste(Image.new("RGB", film.size, _WARM), mask=mask)
    ImageDraw.Draw(film).text((4, 4), LABEL, fill=_WARM, font_size=max(10, frame.rows // 40))
    return np.asarray(film)
