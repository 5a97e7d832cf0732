"""A sentence to what it claims: each finding named, whether it is there, where, on which side, how large.

Ignores what is true. The same reader holds a draft against its evidence, links sentences to findings, and labels
reports, so what it cannot read is nowhere taken for said.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from verticals.medical.evidence import Presence, Side
from verticals.medical.text.assertion import Cues
from verticals.medical.text.phrases import CONCEPTS, NORMAL, PLACES, SIDES
from verticals.medical.vocabulary import KINDS

SIZE = re.compile(
    r"\b(\d+(?:\.\d+)?(?:\s*[x×]\s*\d+(?:\.\d+)?){0,2})[\s-]*(mm|cm|ml|cc)(?:([23²³])(?!\d)|\b)", re.IGNORECASE
)
_PLURAL = re.compile(r"(?:(?<!si)(?<!s)s|thoraces)$", re.IGNORECASE)
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
# In mm, mm2 and mm3; by unit and exponent.
_UNITS = {
    **{("mm", ""): ("diameter", 1.0), ("cm", ""): ("diameter", 10.0)},
    **{("mm", "2"): ("area", 1.0), ("cm", "2"): ("area", 100.0)},
    **{("mm", "3"): ("volume", 1.0), ("cm", "3"): ("volume", 1000.0)},
    **{("ml", ""): ("volume", 1000.0), ("cc", ""): ("volume", 1000.0)},
}
_PREPOSITION = re.compile(
    r"\b(?:in|at|on|of|within|over|overlying|along|involving|measuring|measures|is|are|up to)\b", re.I
)
_BREAK = re.compile(r"[;:]|\b(?:and|or|nor|but|with|without|no)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Size:
    """One number as written: `half_digit` is half a unit of its last digit; mm, mm2 or mm3."""

    name: str
    value: float
    half_digit: float


@dataclass
class Mention:
    """One finding named in a sentence, and what is said of it.

    Attributes:
        concept: A key of `vocabulary.KINDS` or of `phrases.OTHERS`.
        start: In the sentence, with `end`; of the name alone.
        is_history: Of another time than the study.
        is_plural: Several are named at once, without saying how many.
    """

    concept: str
    start: int
    end: int
    presence: Presence
    is_history: bool = False
    is_plural: bool = False
    sides: set[Side] = field(default_factory=set)
    sites: set[str] = field(default_factory=set)
    sizes: list[Size] = field(default_factory=list)

    @property
    def side(self) -> Side | None:
        """None: not told."""
        return "both" if len(self.sides) > 1 else next(iter(self.sides), None)

    @property
    def site(self) -> str | None:
        """The one most exact place; None: not told, or several."""
        exact = self.sites - {"lung", "thorax"} or self.sites
        return next(iter(exact)) if len(exact) == 1 else None


def read(sentence: str) -> list[Mention]:
    """Every finding that a sentence names, in order."""
    cues = Cues(sentence)
    mentions = []
    for start, end, concepts, is_normal in _names(sentence):
        told = cues.assertion(start, end)
        if is_normal:
            presence: Presence = "absent" if told.presence == "present" else "uncertain"
            mentions += [Mention(concept, start, end, presence, told.is_history) for concept in concepts]
            continue
        (concept,) = concepts
        is_uncounted = concept in KINDS and KINDS[concept].number != "counted"
        plural = is_uncounted or bool(_PLURAL.search(sentence[start:end]))
        mentions.append(Mention(concept, start, end, told.presence, told.is_history, plural))
    _attach(sentence, mentions)
    return mentions


def _names(sentence: str) -> list[tuple[int, int, tuple[str, ...], bool]]:
    """(start, end, concepts, says that they are not there), without names inside longer ones."""
    found: list[tuple[int, int, tuple[str, ...], bool]]
    found = [(*m.span(), (concept,), False) for concept, name in CONCEPTS.items() for m in name.finditer(sentence)]
    found += [(*m.span(), concepts, True) for concepts, name in NORMAL.items() for m in name.finditer(sentence)]
    kept: list[tuple[int, int, tuple[str, ...], bool]] = []
    for name in sorted(found, key=lambda n: (n[0] - n[1], n[0])):
        if all(name[1] <= other[0] or other[1] <= name[0] for other in kept):
            kept.append(name)
    return sorted(kept)


def _attach(sentence: str, mentions: Sequence[Mention]) -> None:
    """Give each side, place and size to the mention that it describes."""
    taken = [(m.start, m.end) for m in mentions]
    for side, pattern in SIDES.items():
        for start, end in _free(pattern, sentence, ()):
            if owner := _owner(sentence, mentions, start, end):
                owner.sides.add(side)
    for site, pattern in PLACES.items():
        for start, end in _free(pattern, sentence, taken):
            if owner := _owner(sentence, mentions, start, end):
                owner.sites.add(site)
    for found in SIZE.finditer(sentence):
        if (unit := _UNITS.get((found[2].lower(), _exponent(found[3])))) and (
            owner := _owner(sentence, mentions, *found.span())
        ):
            owner.sizes += [_size(number, *unit) for number in _NUMBER.findall(found[1])]


def _exponent(mark: str | None) -> str:
    return {"²": "2", "³": "3"}.get(mark or "", mark or "")


def _size(number: str, name: str, scale: float) -> Size:
    digits = len(number.partition(".")[2])
    return Size(name, float(number) * scale, 0.5 * 10.0**-digits * scale)


def _free(pattern: re.Pattern[str], sentence: str, taken: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    spans = [m.span() for m in pattern.finditer(sentence)]
    return [(s, e) for s, e in spans if all(e <= start or end <= s for start, end in taken)]


def _owner(sentence: str, mentions: Sequence[Mention], start: int, end: int) -> Mention | None:
    """The mention before, if a preposition leads to here ("opacity in the left lung"), or else the one after."""
    before = [m for m in mentions if m.end <= start]
    after = [m for m in mentions if m.start >= end]
    if inside := [m for m in mentions if m.start <= start and end <= m.end]:
        return inside[0]
    if before:
        gap = sentence[before[-1].end : start]
        if _PREPOSITION.search(gap) and not _BREAK.search(gap):
            return before[-1]
    if after and not re.search(r"[;,:]", sentence[end : after[0].start]):
        return after[0]
    return before[-1] if before else None
