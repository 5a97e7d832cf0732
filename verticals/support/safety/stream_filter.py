"""Mask a text while it streams, holding back only what may be the beginning of something to hide.

Whatever the pieces, what comes out is what masking the whole text at once gives; what is held is always a possible
prefix of a match, at most `MAX_HELD` characters. (LangChain's `PIIMiddleware` checks the finished text only and lets
raw tokens through while streaming.) Ignores where the pieces come from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set

from verticals.support.safety.personal_data import SHAPES, Placeholders, Value, fold
from verticals.support.safety.shapes import Chars, Part, Shape, Words, scan

BLOCKED = "blocked"
MAX_HELD = max(shape.max_length for shape in SHAPES)  # longer blocked phrases hold as much as they are long
_INVISIBLE = dict.fromkeys([0xAD, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF])  # would split a value without being seen


class StreamFilter:
    """Masks personal data and phrases in one streamed text.

    Args:
        allowed: Values that may be shown: the customer's own, and what the shop publishes.
        phrases: Wordings that must never appear; case and kind of white space are ignored.
    Raises:
        ValueError: a phrase is blank.
    """

    def __init__(self, *, allowed: Set[Value] = frozenset(), phrases: Sequence[str] = ()) -> None:
        self._shapes = (*SHAPES, *map(_phrase, phrases))
        self._placeholders = Placeholders(allowed)
        self._held = ""  # visible text that is not yet decided
        self._before = ""  # the character before it

    @property
    def held(self) -> str:
        """What is held back now."""
        return self._held

    def feed(self, piece: str) -> str:
        """Take the next piece; give what can be shown now."""
        return self._advance(piece.translate(_INVISIBLE), complete=False)

    def finish(self) -> str:
        """The rest, when no more comes."""
        return self._advance("", complete=True)

    def _advance(self, piece: str, *, complete: bool) -> str:
        text = self._before + self._held + piece
        done = len(self._before)
        result = scan(fold(text), self._shapes, start=done, complete=complete)
        shown = []
        for found in result.found:
            value = text[found.start : found.end]
            shown.append(text[done : found.start])
            shown.append("[removed]" if found.kind == BLOCKED else self._placeholders.shown(found.kind, value))
            done = found.end
        shown.append(text[done : result.decided])
        self._held, self._before = text[result.decided :], text[: result.decided][-1:]
        return "".join(shown)


def filter_stream(pieces: Iterable[str], stream_filter: StreamFilter) -> Iterator[str]:
    """Pieces through a filter, then the rest; empty pieces are left out."""
    for piece in pieces:
        if shown := stream_filter.feed(piece):
            yield shown
    if shown := stream_filter.finish():
        yield shown


def _phrase(phrase: str) -> Shape:
    words = phrase.split()
    if not words:
        raise ValueError("phrases: a blocked phrase must not be blank.")
    parts: list[Part] = [Words((words[0],))]
    for word in words[1:]:
        parts += [Chars(r"\s", 1, 3), Words((word,))]
    return Shape(BLOCKED, tuple(parts))
