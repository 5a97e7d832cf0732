"""The visual zone of passports and cards: values under their labels. Ignores the machine-readable zone.

Labels are those of Doc 9303-3, 3.2 in English, French, German and Spanish.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from difflib import SequenceMatcher

from verticals.finance.documents.ocr import Line

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
DIGIT_FOR = str.maketrans("OQDILZSB", "00011258")


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


def candidates(name: str, lines: Sequence[Line]) -> list[Seen]:
    """What each line would say as the field, whatever its label: for when the label cannot be read."""
    return [Seen(value, line.score) for line in lines if (value := _PARSERS[name](line.text))]


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
            return iso_date(match[3], str(_MONTHS.index(month) + 1), match[1])
    digits = plain.translate(DIGIT_FOR)
    if re.match(r"\d{4}[-/.]", text.strip()):
        return iso_date(digits[:4], digits[4:6], digits[6:]) if len(digits) == 8 else None
    return iso_date(digits[4:], digits[2:4], digits[:2]) if len(digits) == 8 else None


def iso_date(year: str, month: str, day: str) -> str | None:
    """ISO form; letters that look like digits count as them. None when it is no date."""
    try:
        return date(*(int(part.translate(DIGIT_FOR)) for part in (year, month, day))).isoformat()
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
