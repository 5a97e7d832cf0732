"""The machine-readable zone among lines of text. Ignores labels and what the visual zone says."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from verticals.contract import InvalidInput
from verticals.finance.documents import mrz
from verticals.finance.documents.mrz import FILLER, LAYOUTS, Layout, Mrz, Part, Size
from verticals.finance.documents.ocr import Line, rows

SLACK = 6  # fillers that a reader may lose or add in a line
_ANGLES = str.maketrans(dict.fromkeys("＜‹〈<く≤({[", FILLER) | dict.fromkeys("«《≪", FILLER * 2))
_LETTER_FOR = str.maketrans("012568", "OIZSGB")  # in a place that holds letters only (Doc 9303-3, 4.3)


@dataclass(frozen=True)
class Zone:
    """The zone and how sure the reader was of its least sure line, 0-1."""

    mrz: Mrz
    score: float


def find_zone(lines: Sequence[Line], *, today: date) -> Zone | None:
    """The zone whose check digits hold best; None when no lines have the shape of one."""
    texts = [("".join(_clean(line.text) for line in row), min(line.score for line in row)) for row in rows(lines)]
    likely = [(text, score) for text, score in texts if len(text) >= 30 - SLACK and _looks_like_zone(text)]
    found = []
    for size, layout in LAYOUTS.items():
        for at in range(len(likely) - layout.lines + 1):
            part = likely[at : at + layout.lines]
            if zone := _try([text for text, _ in part], size, today):
                found.append(Zone(zone, min(score for _, score in part)))
    return max(found, key=lambda zone: sum(zone.mrz.checks.values()), default=None)


def _try(texts: Sequence[str], size: Size, today: date) -> Mrz | None:
    layout = LAYOUTS[size]
    if any(abs(len(text) - layout.width) > SLACK for text in texts):
        return None
    try:
        return mrz.parse(_letters([mrz.fit_width(text, layout.width) for text in texts], layout), today=today)
    except InvalidInput:
        return None  # a line without fillers to mend


def _letters(lines: Sequence[str], layout: Layout) -> list[str]:
    """Digits read in places for letters become the letters that look like them; nothing proves it but the place."""
    state: Part = (0, 2, 5)
    found = list(lines)
    for line, start, end in (state, layout.nationality, layout.names):
        text = found[line]
        found[line] = text[:start] + text[start:end].translate(_LETTER_FOR) + text[end:]
    return found


def _clean(text: str) -> str:
    return re.sub(r"[^A-Z0-9<]", "", text.upper().translate(_ANGLES))


def _looks_like_zone(text: str) -> bool:
    return FILLER * 2 in text or sum(c.isdigit() for c in text) >= 12
