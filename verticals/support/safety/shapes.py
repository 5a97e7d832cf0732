"""Bounded text shapes that know their own prefixes: what matches here, and could this tail still become a match?

Python's `re` cannot say that a text is the beginning of a match, which a filter over a stream must know. A shape is a
sequence of parts of bounded length, so both patterns, for the whole and for its beginnings, are written from one list.
Ignores what the shapes stand for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property


@dataclass(frozen=True)
class Chars:
    """A run of characters of one class. `allowed` is the inside of a regular expression's brackets."""

    allowed: str
    at_least: int = 1
    at_most: int = 1

    @property
    def whole(self) -> str:
        return f"[{self.allowed}]{{{self.at_least},{self.at_most}}}"

    @property
    def begun(self) -> str:
        return f"[{self.allowed}]{{0,{self.at_most}}}"

    @property
    def max_length(self) -> int:
        return self.at_most


@dataclass(frozen=True)
class Words:
    """One of several literal texts; the empty text may be one."""

    choices: tuple[str, ...]

    @property
    def whole(self) -> str:
        return "(?:" + "|".join(map(re.escape, sorted(self.choices, key=len, reverse=True))) + ")"

    @property
    def begun(self) -> str:
        beginnings = {word[:length] for word in self.choices for length in range(len(word) + 1)}
        return "(?:" + "|".join(map(re.escape, sorted(beginnings, key=len, reverse=True))) + ")"

    @property
    def max_length(self) -> int:
        return max(map(len, self.choices))


@dataclass(frozen=True)
class Group:
    """Parts in a row, the row so many times: `Group(parts, 0)` makes them optional together."""

    parts: tuple[Part, ...]
    at_least: int = 1
    at_most: int = 1

    @property
    def whole(self) -> str:
        return f"(?:{_whole(self.parts)}){{{self.at_least},{self.at_most}}}"

    @property
    def begun(self) -> str:
        return f"(?:{_whole(self.parts)}){{0,{self.at_most - 1}}}{_begun(self.parts)}"

    @property
    def max_length(self) -> int:
        return self.at_most * sum(part.max_length for part in self.parts)


Part = Chars | Words | Group


def _whole(parts: Sequence[Part]) -> str:
    return "".join(part.whole for part in parts)


def _begun(parts: Sequence[Part]) -> str:
    """Pattern whose full matches are the beginnings of `parts`, none and all of them included."""
    pattern = ""
    for part in reversed(parts):
        pattern = f"(?:{part.whole}{pattern}|{part.begun})"
    return pattern


def _always(text: str) -> bool:
    return True


@dataclass(frozen=True)
class Shape:
    """A kind of text that can be found; never directly before or after an ASCII letter or digit.

    Args:
        kind: Its name, as placeholders show it.
        parts: What it consists of, in order.
        valid: Has the last word on a text of this shape (a checksum, a range).
        ignore_case: Whether "A-Z" means "a-z" too.
    """

    kind: str
    parts: tuple[Part, ...]
    valid: Callable[[str], bool] = field(default=_always, compare=False)
    ignore_case: bool = True

    @cached_property
    def max_length(self) -> int:
        """Characters of the longest match."""
        return sum(part.max_length for part in self.parts)

    def end_of_match(self, text: str, start: int) -> int | None:
        """End of the longest valid match that begins at `start`, an opening; None if there is none."""
        match = self._whole.match(text, start)
        while match:
            end = match.end()
            if not _ALNUM.match(text, end) and self.valid(match.group()):
                return end
            match = self._whole.match(text, start, end - 1)
        return None

    def may_continue(self, text: str, start: int) -> bool:
        """Whether all of `text` from `start` on is the beginning of a match, or one that the next character may end."""
        return len(text) - start <= self.max_length and self._begun.fullmatch(text, start) is not None

    @cached_property
    def _whole(self) -> re.Pattern[str]:
        return re.compile(_whole(self.parts), self._flags)

    @cached_property
    def _begun(self) -> re.Pattern[str]:
        return re.compile(_begun(self.parts), self._flags)

    @property
    def _flags(self) -> re.RegexFlag:
        return re.ASCII | re.IGNORECASE if self.ignore_case else re.ASCII


@dataclass(frozen=True)
class Found:
    """A match: `text[start:end]` is of `kind`."""

    kind: str
    start: int
    end: int


@dataclass(frozen=True)
class Scan:
    """What is decided of a text: the matches that begin before `decided`, from which on more text may matter."""

    found: tuple[Found, ...]
    decided: int


def scan(text: str, shapes: Sequence[Shape], *, start: int = 0, complete: bool = True) -> Scan:
    """Find matches from left to right; at each place the longest counts, of equals the first shape's.

    Args:
        text: The text, with what stands before `start` as context.
        shapes: What to look for.
        start: Where to begin.
        complete: Whether the text ends here; if not, the scan stops at the first place whose match could still change.
    """
    found: list[Found] = []
    longest, place = max(shape.max_length for shape in shapes), start
    while candidate := _OPENING.search(text, place):
        place = candidate.start()
        if not complete and len(text) - place <= longest and any(s.may_continue(text, place) for s in shapes):
            return Scan(tuple(found), place)
        ends = [(end, shape) for shape in shapes if (end := shape.end_of_match(text, place)) is not None]
        if ends:
            end, shape = max(ends, key=lambda pair: pair[0])
            found.append(Found(shape.kind, place, end))
            place = end
        else:
            place += 1
    return Scan(tuple(found), len(text))


_ALNUM = re.compile(r"[A-Za-z0-9]")
_OPENING = re.compile(r"(?<![A-Za-z0-9])\S")  # no match begins elsewhere
