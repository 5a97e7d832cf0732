"""The machine-readable zone of travel documents: text to fields, each with its check digits. Ignores images.

ICAO Doc 9303 (8th edition): part 3, 4.9 (check digits); part 4, 4.2 (TD3); part 5, 4.2 (TD1); part 6, 4.2 (TD2).
A letter is repaired only by what the zone itself says: in a place for digits, or where exactly one reading of the
document number satisfies its check digit and the composite one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import combinations, product
from typing import Literal

from verticals.contract import InvalidInput

Size = Literal["TD1", "TD2", "TD3"]
Part = tuple[int, int, int]  # line, first, after last

FILLER = "<"
_WEIGHTS = (7, 3, 1)
_CHARACTERS = re.compile(r"[A-Z0-9<]*")
# What a reader takes for what. In a place for digits the letter can only be the digit.
_DIGIT_FOR = str.maketrans("OQDUILTZASGB", "000011724568")
_LOOK_ALIKE: Mapping[str, str] = {
    **{"0": "OQD", "O": "0", "Q": "0", "D": "0", "1": "I", "I": "1", "2": "Z", "Z": "2", "4": "A", "A": "4"},
    **{"5": "S", "S": "5", "7": "T", "T": "7", "8": "B", "B": "8"},
}
MAX_SUBSTITUTIONS = 2  # more readings than one digit can tell apart


@dataclass(frozen=True)
class Layout:
    """Where the parts stand. `composite_of` is what the composite digit covers, in order."""

    lines: int
    width: int
    number: Part
    nationality: Part
    birth_date: Part
    sex: Part
    expiry_date: Part
    names: Part
    optional: tuple[Part, ...]
    optional_check: Part | None
    composite: Part
    composite_of: tuple[Part, ...]


LAYOUTS: Mapping[Size, Layout] = {
    "TD1": Layout(
        lines=3,
        width=30,
        number=(0, 5, 14),
        nationality=(1, 15, 18),
        birth_date=(1, 0, 6),
        sex=(1, 7, 8),
        expiry_date=(1, 8, 14),
        names=(2, 0, 30),
        optional=((0, 15, 30), (1, 18, 29)),
        optional_check=None,
        composite=(1, 29, 30),
        composite_of=((0, 5, 30), (1, 0, 7), (1, 8, 15), (1, 18, 29)),
    ),
    "TD2": Layout(
        lines=2,
        width=36,
        number=(1, 0, 9),
        nationality=(1, 10, 13),
        birth_date=(1, 13, 19),
        sex=(1, 20, 21),
        expiry_date=(1, 21, 27),
        names=(0, 5, 36),
        optional=((1, 28, 35),),
        optional_check=None,
        composite=(1, 35, 36),
        composite_of=((1, 0, 10), (1, 13, 20), (1, 21, 35)),
    ),
    "TD3": Layout(
        lines=2,
        width=44,
        number=(1, 0, 9),
        nationality=(1, 10, 13),
        birth_date=(1, 13, 19),
        sex=(1, 20, 21),
        expiry_date=(1, 21, 27),
        names=(0, 5, 44),
        optional=((1, 28, 42),),
        optional_check=(1, 42, 43),
        composite=(1, 43, 44),
        composite_of=((1, 0, 10), (1, 13, 20), (1, 21, 43)),
    ),
}


@dataclass(frozen=True)
class Mrz:
    """A zone as read. `checks` holds each check digit's verdict; `repaired` names the parts that were mended.

    A date is None when it is unknown (fillers) or none; then `problems` says so. `problems` names part, length, rule.
    """

    size: Size
    document_code: str
    issuing_state: str
    surname: str
    given_names: str
    number: str
    nationality: str
    birth_date: date | None
    sex: Literal["F", "M", "X"]
    expiry_date: date | None
    optional: str
    checks: Mapping[str, bool]
    problems: tuple[str, ...]
    repaired: tuple[str, ...]

    @property
    def valid(self) -> bool:
        """Every check digit holds."""
        return all(self.checks.values())


def check_digit(text: str) -> str:
    """The digit of Doc 9303-3, 4.9: weights 7, 3, 1 from the left, modulo 10; A is 10, Z 35, the filler 0.

    Raises:
        InvalidInput: a character outside A-Z, 0-9 and "<".
    """
    if not _CHARACTERS.fullmatch(text):
        raise InvalidInput("may hold A-Z, 0-9 and < only", field="mrz", value=f"{len(text)} characters")
    return str(sum(value(c) * _WEIGHTS[i % 3] for i, c in enumerate(text)) % 10)


def value(character: str) -> int:
    """0-35; the filler counts as 0."""
    return 0 if character == FILLER else int(character, 36)


def parse(lines: Sequence[str], *, today: date) -> Mrz:
    """Read a zone of exactly two or three lines.

    Args:
        lines: From the top; A-Z, 0-9 and "<". A shorter or longer filler run is mended by `fit_width`, not here.
        today: Decides the century of years of two digits: no birth in the future, an expiry within fifty years.
    Raises:
        InvalidInput: number of lines, their length, or a character that no zone holds.
    """
    size = size_of(lines)
    layout = LAYOUTS[size]
    lines, repaired = _repair(lines, layout)
    checks = check(lines, layout)
    surname, _, given = _cut(lines, layout.names).partition(FILLER * 2)
    birth, expiry = _cut(lines, layout.birth_date), _cut(lines, layout.expiry_date)
    birth_date, expiry_date = _birth(birth, today), _expiry(expiry, today)
    dates = (("birth_date", birth_date, birth), ("expiry_date", expiry_date, expiry))
    problems = [f"{name} ({len(text)} characters): must be a date, year first" for name, day, text in dates if not day]
    problems += [f"{name}: its check digit must be the one of Doc 9303-3, 4.9" for name, ok in checks.items() if not ok]
    letter = _cut(lines, layout.sex)
    return Mrz(
        size=size,
        document_code=lines[0][:2].rstrip(FILLER),
        issuing_state=lines[0][2:5].rstrip(FILLER),
        surname=_words(surname),
        given_names=_words(given),
        number=_number(lines, layout)[0].rstrip(FILLER),
        nationality=_cut(lines, layout.nationality).rstrip(FILLER),
        birth_date=birth_date,
        sex="F" if letter == "F" else "M" if letter == "M" else "X",
        expiry_date=expiry_date,
        optional="".join(_cut(lines, part) for part in layout.optional).strip(FILLER),
        checks=checks,
        problems=tuple(problems),
        repaired=repaired,
    )


def size_of(lines: Sequence[str]) -> Size:
    """Which layout has so many lines of this width.

    Raises:
        InvalidInput: none has, or a line holds another character.
    """
    widths = [len(line) for line in lines]
    for i, line in enumerate(lines, start=1):
        if not _CHARACTERS.fullmatch(line):
            raise InvalidInput("may hold A-Z, 0-9 and < only", field=f"mrz.line_{i}", value=f"{len(line)} characters")
    for size, layout in LAYOUTS.items():
        if widths == [layout.width] * layout.lines:
            return size
    rule = "must be 3 lines of 30 characters (TD1), 2 of 36 (TD2) or 2 of 44 (TD3)"
    raise InvalidInput(rule, field="mrz", value=f"lines of {widths} characters")


def fit_width(line: str, width: int) -> str:
    """The line with its longest filler run made longer or shorter: readers miscount fillers, seldom characters.

    Unchanged when it has no run that can give up as many. The check digits tell whether it was right.
    """
    run = max(re.finditer(r"<+", line), key=lambda m: (len(m.group()), m.start()), default=None)
    missing = width - len(line)
    if run is None or len(run.group()) + missing < 1:
        return line
    return line[: run.start()] + FILLER * (len(run.group()) + missing) + line[run.end() :]


def check(lines: Sequence[str], layout: Layout) -> dict[str, bool]:
    """Each check digit's verdict, by the name of what it covers."""
    number, digit = _number(lines, layout)
    found = {"number": check_digit(number) == digit}
    for name in ("birth_date", "expiry_date"):
        line, start, end = getattr(layout, name)
        found[name] = check_digit(lines[line][start:end]) == lines[line][end]
    if layout.optional_check:
        content, digit = _cut(lines, layout.optional[0]), _cut(lines, layout.optional_check)
        # Doc 9303-4, 4.2.2: an empty field may have a filler for its digit.
        found["optional"] = check_digit(content) == digit or (digit == FILLER and not content.strip(FILLER))
    covered = "".join(_cut(lines, part) for part in layout.composite_of)
    found["composite"] = check_digit(covered) == _cut(lines, layout.composite)
    return found


# --- parts -----------------------------------------------------------------------------------------------------------


def _cut(lines: Sequence[str], part: Part) -> str:
    line, start, end = part
    return lines[line][start:end]


def _put(lines: Sequence[str], part: Part, text: str) -> list[str]:
    line, start, end = part
    return [old[:start] + text + old[end:] if i == line else old for i, old in enumerate(lines)]


def _number(lines: Sequence[str], layout: Layout) -> tuple[str, str]:
    """The document number and its check digit; a TD1 number of more than nine characters goes on (9303-5, 4.2.4)."""
    number = _cut(lines, layout.number)
    line, _, end = layout.number
    digit = lines[line][end]
    if layout.lines == 3 and digit == FILLER:
        rest = _cut(lines, layout.optional[0]).split(FILLER)[0]
        if rest:
            return number + rest[:-1], rest[-1]
    return number, digit


def _words(names: str) -> str:
    return " ".join(names.replace(FILLER, " ").split())


def _birth(text: str, today: date) -> date | None:
    day = _day(text, today.year // 100 * 100)
    return day if day is None or day <= today else _day(text, today.year // 100 * 100 - 100)


def _expiry(text: str, today: date) -> date | None:
    century = today.year // 100 * 100
    days = [day for shift in (-100, 0, 100) if (day := _day(text, century + shift))]
    return min(days, key=lambda day: abs((day - today).days), default=None)


def _day(text: str, century: int) -> date | None:
    if not text.isdigit():
        return None
    try:
        return date(century + int(text[:2]), int(text[2:4]), int(text[4:6]))
    except ValueError:
        return None


# --- repair ----------------------------------------------------------------------------------------------------------


def _repair(lines: Sequence[str], layout: Layout) -> tuple[list[str], tuple[str, ...]]:
    """The lines with letters mended where the zone proves it, and the names of the mended parts."""
    found, repaired = list(lines), []
    for name in ("birth_date", "expiry_date"):
        line, start, end = part = getattr(layout, name)
        with_digit = (line, start, end + 1)
        mended = _put(found, with_digit, _cut(found, with_digit).translate(_DIGIT_FOR))
        if mended != found and check_digit(_cut(mended, part)) == mended[line][end]:
            found = mended
            repaired.append(name)
    composite = _put(found, layout.composite, _cut(found, layout.composite).translate(_DIGIT_FOR))
    if composite != found and check(composite, layout)["composite"]:
        found = composite
    if not check(found, layout)["number"] and (number := _mend_number(composite, layout)):
        found = number
        repaired.append("number")
    return found, tuple(repaired)


def _mend_number(lines: list[str], layout: Layout) -> list[str] | None:
    """The one reading with fewest changes for which the number's and the composite digit hold, if it is one."""
    line, start, end = layout.number
    whole = (line, start, end + 1)
    for count in range(1, MAX_SUBSTITUTIONS + 1):
        readings = (_put(lines, whole, text) for text in _look_alikes(_cut(lines, whole), count))
        right = [found for found in readings if (v := check(found, layout))["number"] and v["composite"]]
        if right:
            return right[0] if len(right) == 1 else None
    return None


def _look_alikes(text: str, count: int) -> Iterator[str]:
    """Every text with exactly `count` characters replaced by what they look like."""
    for places in combinations([i for i, c in enumerate(text) if c in _LOOK_ALIKE], count):
        for letters in product(*(_LOOK_ALIKE[text[i]] for i in places)):
            found = list(text)
            for i, letter in zip(places, letters, strict=True):
                found[i] = letter
            yield "".join(found)
