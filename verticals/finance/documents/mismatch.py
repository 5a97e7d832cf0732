"""What a document's fields say about an application: features for the score, findings for a person. Reads no image.

Neither holds a value of the document: features are rates and days, findings name fields.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from difflib import SequenceMatcher
from typing import Literal

from verticals.finance.documents.mrz import FILLER
from verticals.finance.documents.reading import FIELDS, Reading
from verticals.finance.documents.spelling import WAYS, Way

Severity = Literal["info", "review", "alert"]
RULES = "documents@1"  # of the fields, features and findings; counted up with each change of their meaning

FEATURES: Mapping[str, str] = {
    "name_agreement": "1: the stated name is the document's; 0.9: given names left out; below: likeness of letters.",
    "birth_date_agreement": "1: the stated birth date is the document's; 0: it is not.",
    "number_agreement": "1: the stated number is the document's; 0: it is not.",
    "expired": "1: the document expired before today; 0: it is valid today.",
    "days_to_expiry": "Days from today to the expiry; negative once expired.",
    "zone_missing": "1: a passport or identity card without a readable machine-readable zone; 0: with one.",
    "zone_checks_held": "Share of the zone's check digits that hold, 0-1.",
    "zones_differ": "Share of the fields shown twice that differ between the two zones, 0-1.",
    "citizen_number_invalid": "1: the citizen number breaks GB 11643; 0: it holds.",
    "date_in_future": "1: the birth date lies after today; 0: it does not.",
    "fields_missing": "Share of the fields of this kind of document that could not be read, 0-1.",
    "least_confidence": "Confidence of the field that is least sure, 0-1.",
}
"""Name -> meaning, in the order of the vector. Every feature may be None: not stated, not shown or not read."""

_NAME_REVIEW = 0.75  # about one letter in six; below it is another name
_SURE = 0.5  # a field below may itself be misread
ADULT_YEARS = 18

_TEXTS: Mapping[str, tuple[Severity, str, str]] = {
    "D01": ("alert", "No identity document could be read in the image.", "图像中未能读出身份证件。"),
    "D02": ("review", "The field could not be read.", "该字段未能读出。"),
    "D03": ("alert", "The stated name is not the document's.", "申请中的姓名与证件不一致。"),
    "D04": ("alert", "The stated birth date is not the document's.", "申请中的出生日期与证件不一致。"),
    "D05": ("alert", "The stated number is not the document's.", "申请中的证件号码与证件不一致。"),
    "D06": ("alert", "The document has expired.", "证件已过期。"),
    "D07": ("review", "The machine-readable zone is missing or could not be read.", "机读区缺失或未能读出。"),
    "D08": ("alert", "A check digit of the machine-readable zone does not hold.", "机读区校验位不符。"),
    "D09": (
        "alert",
        "The visual zone and the machine-readable zone (or the number) differ.",
        "目视区与机读区（或号码）不一致。",
    ),
    "D10": ("alert", "The citizen number breaks GB 11643.", "公民身份号码不符合 GB 11643。"),
    "D11": ("alert", "The birth date lies in the future.", "出生日期在今天之后。"),
    "D12": ("alert", "The holder is not of age.", "持证人未成年。"),
    "D13": (
        "info",
        "Name and document are in different scripts and were not compared.",
        "姓名与证件文字不同，未作比较。",
    ),
    "D14": (
        "info",
        "Letters that readers confuse were mended so that the check digits hold: compare with the image.",
        "易混淆字符已修正以使校验位成立，请与图像核对。",
    ),
}


@dataclass(frozen=True)
class Stated:
    """What the application says; None: it does not."""

    name: str | None = None
    birth_date: date | None = None
    number: str | None = None


@dataclass(frozen=True)
class Finding:
    """Something that a person should know, in words without personal data."""

    code: str
    severity: Severity
    field: str | None
    text: str
    text_zh: str


@dataclass(frozen=True)
class Examination:
    """Features by the names of `FEATURES`, all of them, and findings, the gravest first."""

    features: Mapping[str, float | None]
    findings: tuple[Finding, ...]


def examine(reading: Reading, stated: Stated, *, today: date) -> Examination:
    """Compare a document with an application and with itself."""
    if reading.kind == "unknown":
        empty = dict.fromkeys(FEATURES, None) | {"fields_missing": 1.0}
        return Examination(empty, (_finding("D01"),))
    missing = [name for name in FIELDS[reading.kind] if name not in reading.fields]
    agreement = _agreement(reading, stated)
    features: dict[str, float | None] = {
        **{f"{name}_agreement": agreement[name] for name in ("name", "birth_date", "number")},
        **_dates(reading, today),
        **_zones(reading),
        "citizen_number_invalid": None if reading.number_valid is None else float(not reading.number_valid),
        "fields_missing": len(missing) / len(FIELDS[reading.kind]),
        "least_confidence": min((field.confidence for field in reading.fields.values()), default=None),
    }
    findings = [_finding("D02", name) for name in missing]
    findings += _disagreements(reading, stated, agreement)
    findings += _contradictions(reading, features, today)
    order = ("alert", "review", "info")
    ordered = sorted(findings, key=lambda f: order.index(f.severity))
    return Examination({name: features[name] for name in FEATURES}, tuple(ordered))


def compare_names(stated: str, shown: str, *, family: str = "") -> float | None:
    """See `FEATURES["name_agreement"]`; None when the scripts differ. Order, case, accents and hyphens do not count.

    Args:
        family: The surname within `shown`; all of it must be stated. Empty for a name in one piece.
    """
    if _is_han(stated) != _is_han(shown):
        return None
    if _is_han(shown):
        mine, theirs = "".join(stated.split()), "".join(shown.split())
        return 1.0 if mine == theirs else 0.9 * SequenceMatcher(None, mine, theirs, autojunk=False).ratio()
    return max(_compare(stated, shown, family, mine, theirs) for mine in WAYS for theirs in WAYS)


def _compare(stated: str, shown: str, family: str, mine: Way, theirs: Way) -> float:
    """With each name spelled in one way; an accent may be lost on either side."""
    my_words, their_words = _words(stated, mine), _words(shown, theirs)
    if _joined(my_words) == _joined(their_words):
        return 1.0
    if family and my_words <= their_words and _words(family, theirs) < my_words:
        return 0.9
    return 0.9 * SequenceMatcher(None, _joined(my_words), _joined(their_words), autojunk=False).ratio()


def _words(name: str, way: Way) -> Counter[str]:
    return Counter(word for word in way(name).split(FILLER) if word)


def _joined(words: Counter[str]) -> str:
    return "".join(sorted(words.elements()))


def _is_han(text: str) -> bool:
    return any("\u3400" <= c <= "\u9fff" for c in text)


# --- features --------------------------------------------------------------------------------------------------------


def _agreement(reading: Reading, stated: Stated) -> dict[str, float | None]:
    shown = {name: field.value for name, field in reading.fields.items()}
    family = shown.get("surname", "")
    name = shown.get("name") or (f"{family} {shown['given_names']}" if family and "given_names" in shown else None)
    birth, number = shown.get("birth_date"), shown.get("number")
    return {
        "name": compare_names(stated.name, name, family=family) if stated.name and name else None,
        "birth_date": float(stated.birth_date.isoformat() == birth) if stated.birth_date and birth else None,
        "number": float(_plain(stated.number) == number) if stated.number and number else None,
    }


def _plain(number: str) -> str:
    return "".join(c for c in number.upper() if c.isalnum())


def _dates(reading: Reading, today: date) -> dict[str, float | None]:
    expiry, birth = (_day(reading, name) for name in ("expiry_date", "birth_date"))
    return {
        "expired": float(expiry < today) if expiry else None,
        "days_to_expiry": float((expiry - today).days) if expiry else None,
        "date_in_future": float(birth > today) if birth else None,
    }


def _day(reading: Reading, name: str) -> date | None:
    return date.fromisoformat(reading.fields[name].value) if name in reading.fields else None


def _zones(reading: Reading) -> dict[str, float | None]:
    zone = reading.mrz
    twice = sum(field.source == "both" for field in reading.fields.values()) + len(reading.disagreements)
    return {
        "zone_missing": None if reading.kind == "resident_card" else float(zone is None),
        "zone_checks_held": sum(zone.checks.values()) / len(zone.checks) if zone else None,
        "zones_differ": len(reading.disagreements) / twice if twice else None,
    }


# --- findings --------------------------------------------------------------------------------------------------------


def _finding(code: str, field: str | None = None, severity: Severity | None = None) -> Finding:
    usual, text, text_zh = _TEXTS[code]
    return Finding(code, severity or usual, field, text, text_zh)


def _disagreements(reading: Reading, stated: Stated, agreement: Mapping[str, float | None]) -> list[Finding]:
    """Between application and document; softened where the document's own field is not sure."""
    found = []
    parts = {"name": ("name", "surname", "given_names"), "birth_date": ("birth_date",), "number": ("number",)}
    for (name, value), code in zip(agreement.items(), ("D03", "D04", "D05"), strict=True):
        if value is None or value >= 0.9:
            continue
        sure = min(reading.fields[part].confidence for part in parts[name] if part in reading.fields)
        close = name == "name" and value >= _NAME_REVIEW
        found.append(_finding(code, name, "review" if close or sure < _SURE else "alert"))
    if stated.name and agreement["name"] is None and {"name", "surname"} & set(reading.fields):
        found.append(_finding("D13", "name"))
    return found


def _contradictions(reading: Reading, features: Mapping[str, float | None], today: date) -> list[Finding]:
    """Of the document with itself and with the calendar."""
    found = [_finding("D09", name) for name in reading.disagreements]
    if reading.mrz:
        found += [_finding("D08", name) for name, held in reading.mrz.checks.items() if not held]
        found += [_finding("D14", name) for name in reading.mrz.repaired]
    for feature, code, field in (
        ("expired", "D06", "expiry_date"),
        ("zone_missing", "D07", None),
        ("citizen_number_invalid", "D10", "number"),
        ("date_in_future", "D11", "birth_date"),
    ):
        if features[feature] == 1:
            found.append(_finding(code, field))
    birth = _day(reading, "birth_date")
    if birth and birth <= today and _age(birth, today) < ADULT_YEARS:
        found.append(_finding("D12", "birth_date"))
    return found


def _age(birth: date, today: date) -> int:
    return today.year - birth.year - ((today.month, today.day) < (birth.month, birth.day))
