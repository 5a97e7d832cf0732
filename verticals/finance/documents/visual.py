"""The visual zone: values beside or under their labels, Latin and Chinese. Ignores the machine-readable zone.

Labels are those of Doc 9303-3, 3.2 in English, French, German and Spanish, and of China's resident identity card.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from difflib import SequenceMatcher

from verticals.finance.documents.ocr import Line, rows

LABELS: Mapping[str, tuple[str, ...]] = {
    "surname": ("surname", "nom", "nachname", "apellidos", "lastname"),
    "given_names": ("givennames", "prenoms", "vornamen", "nombres", "givenname", "firstname"),
    "birth_date": ("dateofbirth", "datedenaissance", "geburtsdatum", "fechadenacimiento"),
    "sex": ("sex", "sexe", "geschlecht", "sexo"),
    "nationality": ("nationality", "nationalite", "staatsangehorigkeit", "nacionalidad"),
    "number": ("passportno", "documentno", "nodepasseport", "passportnumber", "documentnumber", "cardno"),
    "expiry_date": ("dateofexpiry", "datedexpiration", "gultigbis", "fechadecaducidad", "expirydate"),
}
_OTHER_LABELS = ("code", "type", "authority", "dateofissue", "placeofbirth", "identitycard", "passport", "specimen")
_ALIKE = 0.8  # of a label's letters
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DIGITS = str.maketrans("OQDILZSB", "00011258")


@dataclass(frozen=True)
class Seen:
    """A value as read, dates in ISO form; `score` is the reader's of its least sure line, 0-1."""

    value: str
    score: float


def read_travel(lines: Sequence[Line]) -> dict[str, Seen]:
    """Fields of a passport or card by the lines under their labels; a field that is not found is absent."""
    named = [(line, _label(line.text)) for line in lines]
    values = [line for line, name in named if name is None]
    found: dict[str, Seen] = {}
    for label, name in named:
        if name and name in LABELS and name not in found:
            under = min((line for line in values if _is_under(label, line)), key=lambda v: v.top, default=None)
            value = _PARSERS[name](under.text) if under else None
            if under and value:
                found[name] = Seen(value, under.score)
    return found


def read_resident(lines: Sequence[Line]) -> dict[str, Seen]:
    """Fields of China's resident identity card; empty when fewer than two of its labels are there."""
    text = [(re.sub(r"\s", "", line.text), line) for row in rows(lines) for line in row]
    if sum(any(re.search(label, t) for t, _ in text) for label in ("姓名", "性别", "民族", "住址", "公民身份")) < 2:
        return {}
    found: dict[str, Seen] = {}
    all_text, least = " ".join(t for t, _ in text), min(line.score for _, line in text)
    for name, pattern, build in _RESIDENT:
        if match := re.search(pattern, all_text):
            value = build(match)
            if value:
                score = next((line.score for t, line in text if match.group(1) in t), least)
                found[name] = Seen(value, score)
    if address := _address(text):
        found["address"] = address
    return found


def _address(text: Sequence[tuple[str, Line]]) -> Seen | None:
    """What stands between the label of the address and that of the number, right of the label."""
    label = next((line for t, line in text if t.startswith("住址")), None)
    if label is None:
        return None
    below = next((line for t, line in text if "公民身份" in t or "身份号码" in t), None)
    part = [
        (t.removeprefix("住址"), line)
        for t, line in text
        if line.middle > label.middle - 0.6 * label.height
        and (below is None or line.middle < below.top - 0.2 * below.height)
        and line.left > label.left - label.height
    ]
    joined = "".join(t for t, _ in part)
    return Seen(joined, min(line.score for _, line in part)) if joined else None


# --- labels and values -----------------------------------------------------------------------------------------------


def _label(text: str) -> str | None:
    """The field that the line labels; "other" for a label of none; None for no label."""
    if any(c.isdigit() for c in text):
        return None
    parts = [_letters(part) for part in text.split("/")]
    for name, words in (*LABELS.items(), ("other", _OTHER_LABELS)):
        if any(_alike(part, word) for part in parts for word in words):
            return name
    return None


def _alike(part: str, word: str) -> bool:
    """Short words must be equal: names differ from "sex" or "nom" by one letter."""
    return part == word if len(word) <= 4 else SequenceMatcher(None, part, word).ratio() >= _ALIKE


def _letters(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.lower())
    return "".join(c for c in plain if "a" <= c <= "z")


def _is_under(label: Line, line: Line) -> bool:
    below, aside = line.middle - label.middle, line.left - label.left
    return 0.4 * label.height < below < 3 * label.height and abs(aside) < 2.5 * label.height


def _name(text: str) -> str | None:
    return " ".join(re.sub(r"[^\w' -]", " ", text.replace("’", "'").upper()).split()) or None


def _number(text: str) -> str | None:
    return re.sub(r"[^A-Z0-9]", "", text.upper()) or None


def _sex(text: str) -> str | None:
    return text.strip()[:1].upper() if text.strip()[:1].upper() in ("F", "M", "X") else None


def _nationality(text: str) -> str | None:
    letters = re.sub(r"[^A-Z]", "", text.upper().translate(str.maketrans("01", "OI")))
    return letters[:3] or None


def read_date(text: str) -> str | None:
    """ISO form of "05 JAN 1962", "05JAN1962", "05.06.1997" or "1997-06-05"; None when it is no date."""
    plain = re.sub(r"[\s./\\,-]", "", text.upper())
    if match := re.fullmatch(r"(\w{2})([A-Z0-9]{3})(\w{4})", plain):
        month = max(_MONTHS, key=lambda m: SequenceMatcher(None, m, match[2]).ratio())
        if SequenceMatcher(None, month, match[2]).ratio() > 0.6:
            return _iso(match[3], str(_MONTHS.index(month) + 1), match[1])
    digits = plain.translate(_DIGITS)
    if re.match(r"\d{4}[-/.]", text.strip()):
        return _iso(digits[:4], digits[4:6], digits[6:]) if len(digits) == 8 else None
    return _iso(digits[4:], digits[2:4], digits[:2]) if len(digits) == 8 else None


def _iso(year: str, month: str, day: str) -> str | None:
    try:
        return date(*(int(part.translate(_DIGITS)) for part in (year, month, day))).isoformat()
    except ValueError:
        return None


_PARSERS: Mapping[str, Callable[[str], str | None]] = {
    "surname": _name,
    "given_names": _name,
    "birth_date": read_date,
    "sex": _sex,
    "nationality": _nationality,
    "number": _number,
    "expiry_date": read_date,
}
_Build = Callable[[re.Match[str]], str | None]
_RESIDENT: tuple[tuple[str, str, _Build], ...] = (
    ("name", r"姓名:?\s?([\u3400-\u9fff·]{2,20}?)(?= |性别|$)", lambda m: m[1]),
    ("sex", r"性别:?\s?(男|女)", lambda m: "M" if m[1] == "男" else "F"),
    ("ethnicity", r"民族:?\s?([\u3400-\u9fff]{1,4}?)族?(?= |出生|$)", lambda m: m[1]),
    ("birth_date", r"(\d{4})年\s?(\d{1,2})月\s?(\d{1,2})日?", lambda m: _iso(m[1], m[2], m[3])),
    ("number", r"([\dOQDILZSB]{17}[\dXx])", lambda m: m[1][:17].translate(_DIGITS) + m[1][17].upper()),
)
