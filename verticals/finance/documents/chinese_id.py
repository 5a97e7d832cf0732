"""The citizen identification number of China: 18 characters with a check character. Ignores cards.

GB 11643-1999: six digits of the region (GB/T 2260), the birth date, three of order (odd for men), one check character
(ISO 7064 MOD 11-2), which finds every single wrong character and every swap of two neighbours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import Literal

from verticals.contract import InvalidInput

FIELD = "citizen_number"
_SHAPE = re.compile(r"[0-9]{17}[0-9X]")
# Provinces of GB/T 2260 by their two digits; 83: numbers of residents from Taiwan since 2018.
_PROVINCES = frozenset(
    {*range(11, 16), *range(21, 24), *range(31, 38), *range(41, 47), *range(50, 55), *range(61, 66)} | {71, 81, 82, 83}
)
_EARLIEST = date(1900, 1, 1)


@dataclass(frozen=True)
class CitizenNumber:
    """What a valid number says."""

    region: str
    birth_date: date
    sex: Literal["F", "M"]


def check_character(first_17: str) -> str:
    """ISO 7064 MOD 11-2 over 17 digits: "0" to "9", or "X" for ten.

    Raises:
        InvalidInput: not 17 digits.
    """
    if not re.fullmatch(r"[0-9]{17}", first_17):
        raise InvalidInput("must be 17 digits", field=FIELD, value=f"{len(first_17)} characters")
    total = 0
    for digit in first_17:
        total = (total + int(digit)) * 2 % 11
    return "0123456789X"[(12 - total) % 11]


def parse(text: str, *, today: date) -> CitizenNumber:
    """Read a number, or say which rule it breaks.

    Raises:
        InvalidInput: shape, check character, region or birth date; the message holds lengths only.
    """
    length = f"{len(text)} characters"
    if not _SHAPE.fullmatch(text):
        raise InvalidInput("must be 17 digits and a digit or X", field=FIELD, value=length)
    if check_character(text[:17]) != text[17]:
        raise InvalidInput("its last character must be the check character of GB 11643", field=FIELD, value=length)
    if int(text[:2]) not in _PROVINCES:
        raise InvalidInput("must begin with a province's code of GB/T 2260", field=FIELD, value=length)
    try:
        birth = date(int(text[6:10]), int(text[10:12]), int(text[12:14]))
    except ValueError:
        raise InvalidInput("characters 7 to 14 must be a date", field=FIELD, value=length) from None
    if not _EARLIEST <= birth <= today:
        raise InvalidInput("the birth date must lie between 1900 and today", field=FIELD, value=length)
    return CitizenNumber(region=text[:6], birth_date=birth, sex="M" if int(text[16]) % 2 else "F")


def is_valid(text: str, *, today: date) -> bool:
    """Whether every rule holds."""
    try:
        parse(text, today=today)
    except InvalidInput:
        return False
    return True
