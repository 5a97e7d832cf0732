"""Which frames show the findings of a report, and how they look with their regions drawn in. Ignores file formats."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset
from pydicom.pixels import pixel_array

from verticals.medical import geometry
from verticals.medical.evidence import Finding, Region
from verticals.medical.report import Report
from verticals.medical.schemas import NOTICE
from verticals.medical.vocabulary import KINDS

Array = np.ndarray[Any, np.dtype[Any]]

_Colour = tuple[int, int, int]

_COLOURS: dict[str, _Colour] = {"present": (255, 196, 0), "uncertain": (0, 200, 255)}
_LEAST_COLUMNS = 512  # smaller images are enlarged by whole steps, or the words would not fit


def key_frames(report: Report) -> list[tuple[str, int]]:
    """(SOP Instance UID, frame from 1) of each finding's largest region, each frame once, in the graph's order."""
    largest = [max(finding.regions, key=_extent) for finding in report.evidence.findings if finding.regions]
    return list(dict.fromkeys((region.sop_instance_uid, region.frame) for region in largest))


def _extent(region: Region) -> float:
    left, top, right, bottom = region.box
    return (right - left) * (bottom - top)


def alike(images: Sequence[Dataset]) -> list[list[Dataset]]:
    """The images in groups of one series, size and look-up table, which one SEG or presentation state may refer to."""

    def key(image: Dataset) -> tuple[str, ...]:
        # Several frames in one object are a group of their own: frames of two objects have no common order.
        alone = image.SOPInstanceUID if "NumberOfFrames" in image else ""
        keywords = ("SeriesInstanceUID", "Rows", "Columns", "RescaleSlope", "RescaleIntercept")
        return alone, *(str(image.get(k)) for k in (*keywords, "PhotometricInterpretation", "ModalityLUTSequence"))

    return [list(group) for _, group in groupby(sorted(images, key=key), key=key)]


def drawn(image: Dataset, frame: int, findings: Sequence[Finding]) -> Array:
    """One frame as 8-bit RGB, (rows, columns, 3), with the regions on it, their names, and the notice below."""
    picture = Image.fromarray(_shades(image, frame))
    step = max(1, -(-_LEAST_COLUMNS // picture.width))
    picture = picture.resize((picture.width * step, picture.height * step), Image.Resampling.NEAREST)
    pen = _Pen(ImageDraw.Draw(picture), step, picture.width)
    for finding in findings:
        for region in finding.regions:
            if (region.sop_instance_uid, region.frame) == (image.SOPInstanceUID, frame):
                pen.outline(region, _COLOURS[finding.presence])
                pen.write(region, f"{finding.finding_id} {KINDS[finding.kind].english}", _COLOURS[finding.presence])
    pen.sign(picture.height)
    return np.asarray(picture)


def _shades(image: Dataset, frame: int) -> Array:
    """The frame as 8-bit RGB through its own look-up tables."""
    if image.SamplesPerPixel == 3:
        return np.asarray(pixel_array(image, index=frame - 1))
    grey = geometry.render(*geometry.stored_frame(image, frame))
    return np.repeat(grey[..., None], 3, axis=2)


class _Pen:
    """Draws on a picture that is `step` times as large as its image."""

    def __init__(self, draw: ImageDraw.ImageDraw, step: int, columns: int) -> None:
        self._draw, self._step = draw, step
        self._letter = max(14, columns // 48)
        self._font = ImageFont.load_default(size=self._letter)
        self._width = max(2, columns // 300)

    def outline(self, region: Region, colour: _Colour) -> None:
        points = [(x * self._step, y * self._step) for x, y in region.points]
        if region.shape == "point":
            (x, y), radius = points[0], 4 * self._width
            self._draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=colour, width=self._width)
        else:
            self._draw.line(points, fill=colour, width=self._width)

    def write(self, region: Region, words: str, colour: _Colour) -> None:
        """Above the region, or from its top edge down where there is no room above."""
        left, top = (edge * self._step for edge in region.box[:2])
        self._text((left, top), words, colour, anchor="ls" if top > 2 * self._letter else "lt")

    def sign(self, height: int) -> None:
        self._text((6, height - 6), NOTICE, (255, 255, 255), anchor="ls")

    def _text(self, place: tuple[float, float], words: str, colour: _Colour, *, anchor: str) -> None:
        self._draw.text(
            place, words, fill=colour, font=self._font, anchor=anchor, stroke_width=2, stroke_fill=(0, 0, 0)
        )
