"""An image to a document's fields, each with a confidence. Ignores applications; stores and logs nothing.

Where both zones show a field they are cross-checked. The machine-readable zone is preferred, since check digits prove
it; names have none, so the zones must agree on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal

from PIL import Image

from verticals.finance.documents import chinese_id
from verticals.finance.documents.images import open_image
from verticals.finance.documents.mrz import FILLER, LAYOUTS, Mrz
from verticals.finance.documents.ocr import Line, Ocr
from verticals.finance.documents.resident import read_resident
from verticals.finance.documents.spelling import WAYS, Way
from verticals.finance.documents.visual import Seen, candidates, read_travel
from verticals.finance.documents.zones import Zone, find_zone

Kind = Literal["passport", "identity_card", "resident_card", "unknown"]
Source = Literal["both", "zone", "visual"]

FIELDS: Mapping[Kind, tuple[str, ...]] = {
    "passport": ("surname", "given_names", "birth_date", "sex", "nationality", "number", "expiry_date"),
    "identity_card": ("surname", "given_names", "birth_date", "sex", "nationality", "number", "expiry_date"),
    "resident_card": ("name", "sex", "ethnicity", "birth_date", "address", "number"),
    "unknown": (),
}
# How sure a field is, from how it was established; the reader's own score of the line lowers it further.
BOTH_ZONES, PROVEN, CONTRADICTED, UNPROVEN, REFUTED = 0.99, 0.95, 0.7, 0.6, 0.3


@dataclass(frozen=True)
class Field:
    """A value: dates in ISO form, names in capitals, sex F, M or X. `confidence` is 0-1, an order, not a frequency."""

    value: str
    confidence: float
    source: Source


@dataclass(frozen=True)
class Reading:
    """What a document says. A field that could not be read is absent from `fields`."""

    kind: Kind
    fields: Mapping[str, Field]
    mrz: Mrz | None
    disagreements: tuple[str, ...] = ()  # fields that the zones show differently
    number_valid: bool | None = None  # citizen number by GB 11643; None for other documents


def read_document(content: bytes, ocr: Ocr, *, today: date) -> Reading:
    """Read an image file, turned by a half or a quarter when it makes no sense as it is.

    Raises:
        InvalidInput, UnsupportedMedia, TooLarge: see `images.open_image`.
    """
    image, readings = open_image(content), []
    for turn in (None, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_270):
        lines = ocr.read(image if turn is None else image.transpose(turn))
        reading = interpret(lines, today=today)
        if len(reading.fields) >= 3 and not _is_sideways(lines):
            return reading
        readings.append(reading)
    return max(readings, key=lambda reading: len(reading.fields))


def _is_sideways(lines: list[Line]) -> bool:
    """Whether most lines stand upright; the reader turns such lines itself, but then their places make no sense."""
    return 2 * sum(line.height > line.right - line.left for line in lines if len(line.text) > 3) > len(lines)


def interpret(lines: list[Line], *, today: date) -> Reading:
    """Fields from lines of text."""
    if resident := read_resident(lines):
        return _resident(resident, today)
    seen, zone = read_travel(lines), find_zone(lines, today=today)
    kind: Kind = "unknown" if not zone and not seen else _kind(zone, lines)
    seen |= _unlabelled(set(FIELDS[kind]) - {*seen, "sex", "nationality"}, lines, zone)
    merged = {name: _merge(name, seen.get(name), zone) for name in FIELDS[kind]}
    return Reading(
        kind=kind,
        fields={name: field for name, (field, _) in merged.items() if field},
        mrz=zone.mrz if zone else None,
        disagreements=tuple(name for name, (_, differ) in merged.items() if differ),
    )


def _kind(zone: Zone | None, lines: list[Line]) -> Kind:
    if zone:
        return "passport" if zone.mrz.document_code.startswith("P") else "identity_card"
    return "passport" if any("PASSPORT" in line.text.upper() for line in lines) else "identity_card"


def _resident(seen: Mapping[str, Seen], today: date) -> Reading:
    """The number proves birth date and sex, and they it; name, ethnicity and address stand alone."""
    number = seen.get("number")
    valid = chinese_id.is_valid(number.value, today=today) if number else None
    proven: dict[str, str] = {}
    if number and valid:
        said = chinese_id.parse(number.value, today=today)
        proven = {"birth_date": said.birth_date.isoformat(), "sex": said.sex, "number": number.value}
    fields, differ = {}, []
    for name in FIELDS["resident_card"]:
        printed, by_number = seen.get(name), proven.get(name)
        if by_number is None:
            if printed:
                sure = REFUTED if name == "number" else UNPROVEN
                fields[name] = Field(printed.value, sure * printed.score, "visual")
        elif printed and printed.value != by_number:
            differ.append(name)
            fields[name] = Field(printed.value, CONTRADICTED * printed.score, "visual")
        else:
            twice = printed and name != "number"
            fields[name] = Field(by_number, BOTH_ZONES if twice else PROVEN, "visual")
    return Reading("resident_card", fields, None, tuple(differ), valid)


# --- the two zones of a travel document ------------------------------------------------------------------------------


def _merge(name: str, seen: Seen | None, zone: Zone | None) -> tuple[Field | None, bool]:
    """The field from both zones, and whether they differ."""
    coded = _in_zone(name, zone.mrz) if zone else None
    if zone is None or not coded:
        return (Field(seen.value, UNPROVEN * seen.score, "visual") if seen else None), False
    proven = zone.mrz.checks.get(name)  # None: no digit covers it
    if seen is None:
        sure = {True: PROVEN, None: UNPROVEN, False: REFUTED}[proven]
        return Field(coded, sure * zone.score, "zone"), False
    if _agree(name, seen.value, coded, zone.mrz):
        value = _spelled(seen.value, coded, zone.mrz) if name in ("surname", "given_names") else coded
        return Field(value, BOTH_ZONES, "both"), False
    if proven is False or (proven is None and seen.score > zone.score):
        return Field(seen.value, UNPROVEN * seen.score, "visual"), True
    return Field(coded, CONTRADICTED * zone.score, "zone"), True


def _unlabelled(names: set[str], lines: list[Line], zone: Zone | None) -> dict[str, Seen]:
    """Values under labels that could not be read: what the other zone says, found anywhere, is the same value."""
    found = {}
    for name in names if zone else ():
        coded = _in_zone(name, zone.mrz) if zone else None
        same = (s for s in candidates(name, lines) if coded and zone and _agree(name, s.value, coded, zone.mrz))
        if match := next(same, None):
            found[name] = match
    return found


def _in_zone(name: str, zone: Mrz) -> str | None:
    value = getattr(zone, name)
    return value.isoformat() if isinstance(value, date) else value or None


def _agree(name: str, seen: str, coded: str, zone: Mrz) -> bool:
    if name not in ("surname", "given_names"):
        return seen == coded
    return _way_of(seen, coded, zone) is not None


def _way_of(seen: str, coded: str, zone: Mrz) -> Way | None:
    """How the zone spells the name that was seen; None when in no way."""
    _, start, end = LAYOUTS[zone.size].names
    full = len(zone.surname) + len(zone.given_names) + 2 >= end - start  # the zone cuts long names (9303-4, 4.2.3)
    theirs = coded.replace(" ", "")
    for way in WAYS:
        mine = _letters(seen, way)
        if mine == theirs or (full and mine.startswith(theirs)):
            return way
    return None


def _spelled(seen: str, coded: str, zone: Mrz) -> str:
    """The visual zone's letters with the other's gaps: readers lose spaces, the coded form loses accents."""
    way = _way_of(seen, coded, zone)
    assert way is not None
    rest, words = seen.replace(" ", ""), []
    for word in coded.split():
        taken = next(i for i in range(len(rest) + 1) if len(_letters(rest[:i], way)) >= len(word))
        words.append(rest[:taken])
        rest = rest[taken:]
    return " ".join(words).replace(" -", "-") + rest


def _letters(name: str, way: Way) -> str:
    return way(name).replace(FILLER, "")
