"""Clinical prose to sentences, each with its place. Ignores what they say.

A line is at least one sentence: reports are written in lines ("Lungs: clear") as often as in paragraphs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_GAP = re.compile(
    r"(?<=[.!?])(?<!\bDr\.)(?<!\bvs\.)(?<!\be\.g\.)(?<!\bi\.e\.)(?<!\bapprox\.)(?<![ap]\.m\.)\s+(?=[\[\"(A-Z0-9])"
)
_NUMBER = re.compile(r"\s*\d{1,2}[.)]\s*")  # "2." before an item of a numbered impression


@dataclass(frozen=True)
class Sentence:
    """`text` is `passage[start:end]`."""

    text: str
    start: int
    end: int


def split(passage: str) -> list[Sentence]:
    """Sentences in order, without the space around them; a list's number belongs to its item."""
    return [sentence for start, line in _lines(passage) for sentence in _split_line(line, start)]


def _lines(passage: str) -> Iterator[tuple[int, str]]:
    at = 0
    for line in passage.splitlines(keepends=True):
        yield at, line
        at += len(line)


def _split_line(line: str, at: int) -> Iterator[Sentence]:
    start = 0
    for end in (*(gap.start() for gap in _GAP.finditer(line)), len(line)):
        if _NUMBER.fullmatch(line, start, end):
            continue
        piece = line[start:end]
        if text := piece.strip():
            first = at + start + len(piece) - len(piece.lstrip())
            yield Sentence(text, first, first + len(text))
        start = end
