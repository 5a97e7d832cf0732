"""Text in the pixels: looked for by OCR in every frame, whatever the header says. Ignores who may release an image.

PP-OCR (Du 2020, arXiv:2009.09941) through rapidocr, weights in the package; nothing is fetched from a network. What a
text says never leaves this file: only its place does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from threading import Lock
from typing import Any, Protocol

import numpy as np
from pydicom.dataset import Dataset

from verticals.medical.attributes import text_of
from verticals.medical.colour import is_colour
from verticals.medical.frames import frame_header
from verticals.medical.geometry import render
from verticals.medical.schemas import TextPlace

Array = np.ndarray[Any, np.dtype[Any]]

TILE, OVERLAP = 960, 96  # pixels; a larger image is read in tiles, so that small letters stay legible
MIN_SIDE = 256  # a smaller image is magnified by a whole number
MIN_CHARACTERS = 4  # fewer, alone, are a technologist's initials or a marker
MAX_SHORT = 2  # texts of fewer characters in one frame; more of them may be a name in pieces
# What technologists put on films; text is compared in capitals, letters and digits alone.
_MARKERS = """
    L R LT RT LEFT RIGHT AP PA LAT LATERAL LL RL OBL DECUB DECUBITUS ERECT UPRIGHT SUPINE PRONE SITTING SEMI SEMIERECT
    SEMIUPRIGHT STANDING PORTABLE PORT MOBILE INSP EXP INSPIRATION EXPIRATION CHEST ROOM CM MM KV KVP MAS AM PM
    LLD RLD LPO RPO LAO RAO CC MLO
"""
MARKERS = frozenset(_MARKERS.split())


class TextReader(Protocol):
    """Reads text off a grey image; safe from many threads."""

    @property
    def version(self) -> str:
        """Program and version, for the account."""

    def read(self, grey_HW: Array) -> list[tuple[str, tuple[int, int, int, int]]]:
        """(text, (left, top, right, bottom) in pixels) of an 8-bit image."""


class RapidOcrReader:
    """PP-OCR on the CPU, opened at the first image. One image at a time: the engine keeps state between its steps."""

    def __init__(self) -> None:
        self._engine: Any = None
        self._lock = Lock()
        self.version = f"rapidocr@{version('rapidocr')}"

    def read(self, grey_HW: Array) -> list[tuple[str, tuple[int, int, int, int]]]:
        """Text and places; none when nothing is found."""
        with self._lock:
            self._engine = self._engine or _open()
            found = self._engine(np.repeat(grey_HW[:, :, None], 3, axis=2))
        if found.boxes is None or found.txts is None:
            return []
        corners = np.asarray(found.boxes, dtype=np.float64)
        low, high = np.floor(corners.min(axis=1)).astype(int), np.ceil(corners.max(axis=1)).astype(int)
        places = [(int(a[0]), int(a[1]), int(b[0]), int(b[1])) for a, b in zip(low, high, strict=True)]
        return list(zip(found.txts, places, strict=True))


def _open() -> Any:
    from rapidocr import RapidOCR

    settings = {
        "Global.log_level": "critical",  # its log holds what it read
        "Det.limit_type": "max",
        "Det.limit_side_len": TILE,
        "EngineConfig.onnxruntime.intra_op_num_threads": 1,
        "EngineConfig.onnxruntime.inter_op_num_threads": 1,
    }
    return RapidOCR(params=settings)


@dataclass(frozen=True)
class Search:
    """What was found in one object. `places` is empty when no text could identify anybody."""

    declared: bool  # Burned In Annotation says YES (PS3.3 C.7.6.1)
    places: list[TextPlace]
    account: str  # one sentence for the account of the de-identification

    @property
    def must_be_held(self) -> bool:
        """Whether a person must look at the image before anything is made of it."""
        return self.declared or bool(self.places)


def search(stored: Array, dataset: Dataset, reader: TextReader) -> Search:
    """Look for text that could identify a patient in every frame.

    Args:
        stored: (frames, rows, columns), native.
        dataset: Header as read by `ingest.read`.
    """
    said = declaration(dataset)
    places = []
    for index in range(len(stored)):
        header = frame_header(dataset, index)
        for grey_HW in _views(stored[index], header):
            places += [TextPlace(frame=index + 1, **box) for box in _identifying(grey_HW, reader)]
    told = {"YES": "says that it has", "NO": "says that it has no"}.get(said, "does not say whether it has")
    seen = f"{len(places)} place(s) with text" if places else "no text that could identify anybody"
    account = f"The file {told} burned-in text (Burned In Annotation); {reader.version} found {seen} in the pixels."
    return Search(declared=said == "YES", places=places, account=account)


def declaration(dataset: Dataset) -> str:
    """What Burned In Annotation says: "YES", "NO", or "" and anything else for nothing."""
    said = text_of(dataset, "BurnedInAnnotation").upper()
    return "YES" if "YES" in said else said


def _views(stored_HW: Array, header: Dataset) -> Iterator[Array]:
    """The frame as 8-bit grey: over the whole range of its values, where drawn text stands out, and as it is shown."""
    if is_colour(header):  # letters of any colour are lighter or darker than the retina in some channel
        yield stored_HW.max(-1)
        yield stored_HW.min(-1)
        return
    low, high = float(stored_HW.min()), float(stored_HW.max())
    if high == low:
        return
    yield np.rint((stored_HW.astype(np.float64) - low) * (255 / (high - low))).astype(np.uint8)
    yield render(stored_HW, header)


def _identifying(grey_HW: Array, reader: TextReader) -> list[dict[str, int]]:
    zoom = max(1, -(-MIN_SIDE // max(grey_HW.shape)))
    if zoom > 1:
        grey_HW = np.kron(grey_HW, np.ones((zoom, zoom), dtype=np.uint8))
    long: list[dict[str, int]] = []
    short: list[dict[str, int]] = []
    for top, left in _tiles(grey_HW.shape):
        tile = np.ascontiguousarray(grey_HW[top : top + TILE, left : left + TILE])
        for text, (x0, y0, x1, y1) in reader.read(tile):
            sides = {"left": left + x0, "top": top + y0, "right": left + x1, "bottom": top + y1}
            box = {side: max(at, 0) // zoom for side, at in sides.items()}
            if count := identifying_characters(text):
                (long if count >= MIN_CHARACTERS else short).append(box)
    return long + short if long or len(short) > MAX_SHORT else []


def _tiles(shape: Sequence[int]) -> Iterator[tuple[int, int]]:
    """(top, left) of tiles that cover the image; neighbours overlap by a line of text."""
    tops, lefts = (range(0, max(side - OVERLAP, 1), TILE - OVERLAP) for side in shape)
    return ((top, left) for top in tops for left in lefts)


def identifying_characters(text: str) -> int:
    """Letters and digits of the text without the markers of side, view and position."""
    words = re.findall(r"[^\W_]+", text.upper())
    return sum(len(word) for word in words if word not in MARKERS)


def masked(stored: Array, places: Sequence[TextPlace]) -> Array:
    """A copy whose places hold the image's lowest value.

    Args:
        stored: (frames, rows, columns).
        places: Rectangles that a person chose; beyond the image they are cut.
    """
    clean = stored.copy()
    for place in places:
        frames = slice(None) if place.frame is None else slice(place.frame - 1, place.frame)
        clean[frames, place.top : place.bottom + 1, place.left : place.right + 1] = stored.min()
    return clean
