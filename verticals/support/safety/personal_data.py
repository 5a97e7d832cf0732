"""Personal data in text: typed finders with checksums, and masking with stable placeholders. Ignores names.

Precision before recall where a shape is common (nine bare digits are no social security number), recall before
precision where a checksum decides. Addresses are found where the form is reliable: US street lines. Names and free-form
addresses need a model of the language; what an answer may say of a customer is decided by where it comes from.
"""

from __future__ import annotations

import re
from collections.abc import Set
from datetime import date
from functools import lru_cache

from verticals.support.safety.shapes import Chars, Group, Part, Shape, Words, scan

Value = tuple[str, str]  # (kind, normal form), what two spellings of one value share


def passes_luhn(digits: str) -> bool:
    """The check digit of payment cards (ISO/IEC 7812-1, annex B)."""
    doubled = [int(d) * (2 if i % 2 else 1) for i, d in enumerate(reversed(digits))]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


def _is_card(text: str) -> bool:
    digits = re.sub(r"\D", "", text)
    return digits[0] in "23456" and len(set(digits)) > 1 and passes_luhn(digits)


def _is_iban(text: str) -> bool:
    """Remainder 1 modulo 97 (ISO 13616)."""
    code = re.sub(r"\W", "", text).upper()
    return len(code) >= 15 and int("".join(str(int(c, 36)) for c in code[4:] + code[:4])) % 97 == 1


def _is_ssn(text: str) -> bool:
    """Ranges that the US Social Security Administration has never issued are not numbers of people."""
    area, group, serial = re.split(r"[ -]", text)
    return area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"


def _is_chinese_id(text: str) -> bool:
    """Date of birth and check character (GB 11643-1999, ISO 7064 MOD 11-2)."""
    try:
        date(int(text[6:10]), int(text[10:12]), int(text[12:14]))
    except ValueError:
        return False
    total = sum(int(digit) * pow(2, 17 - i, 11) for i, digit in enumerate(text[:17]))
    return "10X98765432"[total % 11] == text[17].upper()


def _is_us_phone(text: str) -> bool:
    """Area and exchange codes begin with 2 to 9 (North American Numbering Plan)."""
    digits = re.sub(r"\D", "", text)
    return digits[-10] > "1" and digits[-7] > "1"


def _spaced(allowed: str, gap: str, at_least: int, at_most: int) -> tuple[Part, ...]:
    """Characters with an optional gap character between any two."""
    return Chars(allowed), Group((Chars(gap, 0, 1), Chars(allowed)), at_least - 1, at_most - 1)


_IBAN_COUNTRIES = (
    "AD AE AL AT AZ BA BE BG BH BR BY CH CR CY CZ DE DK DO EE EG ES FI FO FR GB GE GI GL GR GT HR HU "
    "IE IL IQ IS IT JO KW KZ LB LC LI LT LU LV LY MC MD ME MK MR MT MU NL NO PK PL PS PT QA RO RS RU "
    "SA SC SE SI SK SM ST SV TL TN TR UA VA VG XK"
)
_GAP = Chars(" ", 0, 1)
_IBAN_TAIL = Group((_GAP, Chars("A-Z0-9", 1, 3)), 0)
_STREETS = (
    *("Street", "Avenue", "Road", "Boulevard", "Lane", "Drive", "Court", "Place", "Terrace", "Parkway", "Highway"),
    *("St", "Ave", "Rd", "Blvd", "Ln", "Dr", "Ct", "Pl"),
)
_WORD = Group((Chars("A-Z"), Chars("a-z'", 1, 14), Chars(" ")), 1, 3)
_ZIP = Group((Chars(" "), Chars("A-Z", 2, 2), Chars(" "), Chars("0-9", 5, 5)), 0)
_TOWN = Group((Chars(","), Chars(" "), Chars("A-Z"), Chars("A-Za-z '", 1, 24), Chars(","), _ZIP), 0)

SHAPES: tuple[Shape, ...] = (
    Shape(
        "email",
        (Chars("A-Z0-9._%+-", 1, 64), Chars("@"), Chars("A-Z0-9.-", 1, 120), Chars("."), Chars("A-Z", 2, 18)),
    ),
    Shape(
        "iban",
        (
            Words(tuple(_IBAN_COUNTRIES.split())),
            Chars("0-9", 2, 2),
            Group((_GAP, Chars("A-Z0-9", 4, 4)), 2, 7),
            _IBAN_TAIL,
        ),
        _is_iban,
    ),
    Shape("card", _spaced("0-9", " -", 13, 19), _is_card),
    Shape("id card", (Chars("1-9"), Chars("0-9", 16, 16), Chars("0-9X")), _is_chinese_id),
    Shape("ssn", (Chars("0-9", 3, 3), Chars(" -"), Chars("0-9", 2, 2), Chars(" -"), Chars("0-9", 4, 4)), _is_ssn),
    Shape("phone", (Chars("+"), Chars("1-9"), Group((Chars(" .()/-", 0, 2), Chars("0-9")), 7, 14))),
    Shape(
        "phone",
        (
            *(Words(("", "1-", "1 ", "1.", "1 (", "(")), Chars("0-9", 3, 3), Words((") ", ")", "-", ".", " "))),
            *(Chars("0-9", 3, 3), Chars(" .-"), Chars("0-9", 4, 4)),
        ),
        _is_us_phone,
    ),
    Shape(
        "phone",  # a Chinese mobile number
        (
            *(Words(("", "86", "86 ", "86-")), Chars("1"), Chars("3-9"), Chars("0-9"), Chars(" -", 0, 1)),
            *(Chars("0-9", 4, 4), Chars(" -", 0, 1), Chars("0-9", 4, 4)),
        ),
    ),
    Shape("address", (Chars("0-9", 1, 5), Chars(" "), _WORD, Words(_STREETS), _TOWN), ignore_case=False),
    Shape("order", (Words(("MP",)), Chars(" #-", 0, 1), Chars("0-9", 5, 8))),  # of the shop
    Shape("customer", (Words(("C-",)), Chars("0-9", 4, 8))),
)
_NEVER_PUBLISHED = frozenset({"iban", "card", "id card", "ssn", "order", "customer"})


def values_in(text: str) -> frozenset[Value]:
    """The values that `text` holds: what its writer evidently knows."""
    text = fold(text)
    return frozenset(normal_form(f.kind, text[f.start : f.end]) for f in scan(text, SHAPES).found)


@lru_cache(4_096)  # the same few passages answer most questions
def contacts_in(text: str) -> frozenset[Value]:
    """As `values_in`, but only what a shop publishes of itself: addresses, e-mail addresses and phone numbers."""
    return frozenset(value for value in values_in(text) if value[0] not in _NEVER_PUBLISHED)


def normal_form(kind: str, text: str) -> Value:
    """A value without the freedom of its spelling: letters and digits in lower case, phones without country code."""
    bare = re.sub(r"[^a-z0-9@]", "", text.lower()) if kind != "email" else text.lower()
    return kind, re.sub(r"^(?:1(?=\d{10}$)|86(?=1\d{10}$))", "", bare) if kind == "phone" else bare


def fold(text: str) -> str:
    """Full-width characters, odd dashes and odd spaces as their ASCII forms, one for one, so that places stay."""
    return text.translate(_FOLDED)


def mask(text: str, *, allowed: Set[Value] = frozenset()) -> str:
    """`text` with each value that is not `allowed` replaced by its placeholder; see `Placeholders`."""
    folded, placeholders = fold(text), Placeholders(allowed)
    pieces, done = [], 0
    for found in scan(folded, SHAPES).found:
        shown = placeholders.shown(found.kind, text[found.start : found.end])
        pieces += [text[done : found.start], shown]
        done = found.end
    return "".join(pieces) + text[done:]


class Placeholders:
    """What is shown instead of each value: "[email 1]", the same for the same value as long as this object lives.

    Args:
        allowed: Values that are shown as they are.
    """

    def __init__(self, allowed: Set[Value] = frozenset()) -> None:
        self._allowed = allowed
        self._numbers: dict[Value, int] = {}

    def shown(self, kind: str, text: str) -> str:
        """`text` if its value is allowed, else its placeholder."""
        value = normal_form(kind, fold(text))
        if value in self._allowed or (kind == "address" and self._is_allowed_street(value[1])):
            return text
        others = sum(known == kind for known, _ in self._numbers)
        return f"[{kind} {self._numbers.setdefault(value, others + 1)}]"

    def _is_allowed_street(self, address: str) -> bool:
        """The street line alone and the line with its town are one address."""
        known = [other for kind, other in self._allowed if kind == "address"]
        return any(address.startswith(other) or other.startswith(address) for other in known)


_FOLDED: dict[int, int | str] = {
    **{code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)},
    **dict.fromkeys(range(0x2010, 0x2016), "-"),
    **dict.fromkeys((0x2212, 0xFE63), "-"),
    **dict.fromkeys((0xA0, 0x2007, 0x2009, 0x202F, 0x3000), " "),
}
