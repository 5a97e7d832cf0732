"""An image to lines of text with their places: PP-OCR through rapidocr. Ignores what the lines mean.

Du 2020, arXiv:2009.09941; weights (Apache-2.0) and code in the package rapidocr. Nothing is fetched from a network.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import pairwise
from threading import Lock
from typing import Any, Protocol

import numpy as np
from PIL import Image

from verticals.contract import Unavailable

PACKAGES = ("rapidocr", "onnxruntime")
INSTALL = "pip install -c constraints.txt -e '.[documents]'"


@dataclass(frozen=True)
class Line:
    """A line of text. Places in pixels of the image, made level: y down, x right. `score` is the reader's, 0-1."""

    text: str
    score: float
    left: float
    top: float
    right: float
    bottom: float

    @property
    def height(self) -> float:
        """Of the letters, about."""
        return self.bottom - self.top

    @property
    def middle(self) -> float:
        """Half-way down."""
        return (self.top + self.bottom) / 2


class Ocr(Protocol):
    """Reads lines off an upright RGB image; safe from many threads."""

    @property
    def version(self) -> str:
        """Program and version, for the audit."""

    def read(self, image: Image.Image) -> list[Line]:
        """Lines in any order."""


class RapidOcr:
    """PP-OCR on the CPU. One image at a time: the engine keeps state between its steps.

    Args:
        engine: What `open_ocr` opens.
        version: Of the package.
    """

    def __init__(self, engine: Any, version: str) -> None:
        self._engine = engine
        self._lock = Lock()
        self.version = version

    def read(self, image: Image.Image) -> list[Line]:
        """Lines in any order; none when no text is found."""
        bgr_HW3 = np.ascontiguousarray(np.asarray(image)[:, :, ::-1])
        with self._lock:
            found = self._engine(bgr_HW3)
        if found.boxes is None or found.txts is None:
            return []
        return level(np.asarray(found.boxes, dtype=np.float64), found.txts, found.scores)


def open_ocr(*, threads: int = 1) -> RapidOcr:
    """The reader; loading takes about a second.

    Raises:
        Unavailable: the extra `documents` is not installed.
    """
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        rule = f"reading documents needs the packages {', '.join(missing)}"
        raise Unavailable(rule, field="documents", remedy=f"Run: {INSTALL}")
    from rapidocr import RapidOCR

    settings = {
        "Global.log_level": "critical",  # its log holds what it read
        # Lines of fillers look the same upside down, and its classifier turns them.
        "Global.use_cls": False,
        "EngineConfig.onnxruntime.intra_op_num_threads": threads,
        "EngineConfig.onnxruntime.inter_op_num_threads": 1,
    }
    return RapidOcr(RapidOCR(params=settings), f"rapidocr@{version('rapidocr')}")


def level(boxes_N42: np.ndarray, texts: Sequence[str], scores: Sequence[float]) -> list[Line]:
    """Lines from boxes of four corners (top left first, clockwise), turned by the median slope of the wide ones."""
    across_N2 = (boxes_N42[:, 1] - boxes_N42[:, 0] + boxes_N42[:, 2] - boxes_N42[:, 3]) / 2
    length_N = np.linalg.norm(across_N2, axis=1)
    wide_N = length_N >= np.median(length_N)
    angle = float(np.median(np.arctan2(across_N2[wide_N, 1], across_N2[wide_N, 0])))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turned_N42 = boxes_N42 @ turn
    return [
        Line(
            text=text,
            score=float(score),
            left=float((box[0, 0] + box[3, 0]) / 2),
            top=float((box[0, 1] + box[1, 1]) / 2),
            right=float((box[1, 0] + box[2, 0]) / 2),
            bottom=float((box[2, 1] + box[3, 1]) / 2),
        )
        for box, text, score in zip(turned_N42, texts, scores, strict=True)
    ]


def rows(lines: Sequence[Line]) -> list[list[Line]]:
    """Lines side by side together, rows from the top, each from the left."""
    ordered = sorted(lines, key=lambda line: line.middle)
    breaks = [i for i, (a, b) in enumerate(pairwise(ordered), start=1) if b.middle - a.middle > 0.5 * a.height]
    return [sorted(ordered[a:b], key=lambda line: line.left) for a, b in pairwise([0, *breaks, len(ordered)]) if a < b]
