"""Stretches of a message that could be a value: dates, times, amounts, codes, numbers, names. Ignores whose.

Rules over words, so that a slot of a domain never seen gets the same candidates; the network chooses among them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

Kind = Literal["date", "time", "money", "code", "number", "other"]
KINDS: tuple[Kind, ...] = get_args(Kind)
MAX_WORDS, MAX_SPAN_WORDS = 60, 8  # read from the message, and in one candidate

NUMBER_WORDS = {
    **{"zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7"},
    **{"eight": "8", "nine": "9", "ten": "10", "eleven": "11", "twelve": "12"},
}
_SMALL = "|".join(NUMBER_WORDS)
_NUMBER = rf"(?:\d+(?:[.,]\d+)*|{_SMALL})"
_DAY_OF_MONTH = r"\d{1,2} ?(?:st|nd|rd|th)"
_ORDINAL = (
    rf"(?:{_DAY_OF_MONTH}|first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|"
    r"twelfth|thirteenth|fourteenth|fifteenth|twentieth)"
)
_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|"
    r"nov(?:ember)?|dec(?:ember)?)"
)
_DAY = r"(?:mon|tues|wednes|thurs|fri|satur|sun)day"
_HALF = r"(?:morning|afternoon|evening|night)"
_CLOCK = rf"(?:\d{{1,2}}(?:[:.]\d\d)?|{_SMALL})"
_THIS_MONTH = rf"(?:{_MONTH}|(?:this|next) month)"
_DATE = (
    rf"(?:{_ORDINAL} (?:of )?{_THIS_MONTH}|(?:the )?{_DAY_OF_MONTH}(?! (?:(?:of )?{_THIS_MONTH}|times?\b))"
    rf"|{_MONTH},? (?:the )?(?:{_ORDINAL}|\d{{1,2}})"
    rf"|(?:(?:later )?(?:this|next|coming) )?{_DAY}(?: (?:this|next) week)?"
    r"|day after tomorrow|(?:later )?today|tonight|tomorrow|(?:this|next) (?:week(?:end)?|month)"
    r"|\d{4}-\d\d-\d\d|\d{1,2}/\d{1,2}(?:/\d{2,4})?)(?:,? \d{4})?"
)
_TIME = (
    rf"(?:{_HALF} {_CLOCK}|(?:half past|quarter past|quarter to) {_CLOCK}"
    rf"|{_CLOCK} ?(?:[ap]m\b|[ap]\.m\.?|o ?'? ?clock)|\d{{1,2}}:\d\d|{_CLOCK}(?=,? (?:(?:in the |at ){_HALF}))"
    rf"|(?<=\bat ){_CLOCK}(?=[.,?!]|$)|noon|midnight)(?:,? (?:in the |at )?{_HALF})?"
)
_WORDED = rf"(?: (?:hundred|thousand|and|{_SMALL}|\w+ty))*"
_MONEY = rf"(?:[$€£¥] ?\d[\d,]*(?:\.\d+)?|{_NUMBER}{_WORDED} ?(?:dollars?|euros?|pounds?|bucks))"
_RULES: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("money", re.compile(rf"(?<!\w){_MONEY}(?!\w)", re.IGNORECASE)),
    ("time", re.compile(rf"(?<!\w){_TIME}(?!\w)", re.IGNORECASE)),
    ("date", re.compile(rf"(?<!\w){_DATE}(?!\w)", re.IGNORECASE)),
    ("code", re.compile(r"(?<![\w-])(?:(?=[\w-]*\d)[A-Za-z]{1,4}-?\d{4,}|\d{5,}(?:-\d{4})?)(?![\w-])")),
    ("number", re.compile(rf"(?<!\w){_NUMBER}(?!\w)", re.IGNORECASE)),
)
_WORD = re.compile(r"[^\W_]+(?:['’.&/@_-]+[^\W_]+)*")
_BREAK = re.compile(r"[?!;]\s|\.\s|\n")
_ABBREVIATION = re.compile(r"(?:\b(?:Dr|Mr|Mrs|Ms|St|Ave|Rd|Blvd|Jr|Sr|vs|No|[A-Za-z]))\.?$")
_EDGE = frozenset(  # no value begins or ends with these in lower case
    re.findall(
        r"\S+",
        "i i'm i'd i'll i've you your he she it we they me us them my is are was be been am do does did can could "
        "would will should may might shall have has had and or but if so that this these those there here which what "
        "who when where how for to of in on at by from with as not no please yes yeah ok okay hi hello thanks thank "
        "want need like",
    )
)


@dataclass(frozen=True)
class Span:
    """Characters [start, end) of a message."""

    start: int
    end: int
    text: str
    kind: Kind
    features: tuple[float, ...]


SPAN_FEATURES = ("capitalised", "all capitalised", "cuts a name", "article first", "words", "whole message")


@lru_cache(maxsize=256)  # asked for every service of one message; 12 kB each
def find_spans(message: str) -> tuple[Span, ...]:
    """Candidates in order of place: what the rules read, and every run of up to eight words that breaks none of it."""
    words = list(_WORD.finditer(message))[:MAX_WORDS]
    chunks = _read_chunks(message)
    found = {(start, end): kind for start, end, kind in chunks}
    for first, word in enumerate(words):
        for last in range(first, min(first + MAX_SPAN_WORDS, len(words))):
            if last > first and _is_break(message, words[last - 1].end(), words[last].start()):
                break
            start, end = word.start(), words[last].end()
            inside = any(s < start < e or s < end < e for s, e, _ in chunks)
            if not (inside or word[0] in _EDGE or words[last][0] in _EDGE):
                found.setdefault((start, end), "other")
    return tuple(
        Span(start, end, message[start:end], kind, _features(message, words, start, end))
        for (start, end), kind in sorted(found.items())
    )


def _read_chunks(message: str) -> list[tuple[int, int, Kind]]:
    """What the rules read, without overlaps; an earlier rule wins."""
    chunks: list[tuple[int, int, Kind]] = []
    for kind, rule in _RULES:
        for match in rule.finditer(message):
            if all(match.end() <= start or end <= match.start() for start, end, _ in chunks):
                chunks.append((match.start(), match.end(), kind))
    return chunks


def _is_break(message: str, start: int, end: int) -> bool:
    return bool(_BREAK.search(message[start:end])) and not _ABBREVIATION.search(message[max(0, start - 4) : start])


def _features(message: str, words: list[re.Match[str]], start: int, end: int) -> tuple[float, ...]:
    inner = [word[0] for word in words if start <= word.start() < end]
    before = next((word[0] for word in reversed(words) if word.end() <= start), "")
    after = next((word[0] for word in words if word.start() >= end), "")
    capitals = sum(word[:1].isupper() for word in inner)
    cuts = (before[:1].isupper() and before.lower() not in _EDGE) or after[:1].isupper()
    return (
        float(bool(inner) and inner[0][:1].isupper()),
        float(bool(inner) and capitals == len(inner)),
        float(bool(inner) and inner[0][:1].isupper() and cuts),
        float(bool(inner) and inner[0].lower() in ("the", "a", "an")),
        len(inner) / MAX_SPAN_WORDS,
        (end - start) / max(1, len(message)),
    )
