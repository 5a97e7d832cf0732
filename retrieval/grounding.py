"""Is this sentence said by these passages? Choice of evidence, and a strict lexical support check.

Ignores meaning beyond words: a sentence that drops an adjective of its source ("furniture" for "made-to-measure
furniture") can pass, a correct free paraphrase can fail. It errs towards failing: the caller then quotes the source.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import Stemmer

from retrieval import chinese
from retrieval.documents import Hit
from retrieval.irregular import BASE_OF
from retrieval.sentences import SENTENCE_END, Sentence, split_sentences
from retrieval.words import tokenize

MAX_SENTENCE_CHARS = 600


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_STOPWORDS = _words(
    "a about above after all also am an and any are as at be been before below but by can cannot could did do "
    "does each except for from get had has have he her here him his how i if in into is it its just let like "
    "may me might more most must my never no not of on only or other our out over own per please shall she "
    "should so some such than that the their them then there these they this those to too under unless until "
    "up us was we were what when where which while who why will with within without would yes you your"
)
_NEGATION = re.compile(r"\b(?:not?|never|none|neither|nor|cannot|without)\b|n['’]t\b", re.IGNORECASE)
# A sentence may not bring a limit that its source does not state, and may not lose a condition that it does.
_LIMITS = _words(
    "above after all always before below both either every except free if least less more most must only over under "
    "unless until within"
)
_CONDITIONS = _words("above after before below except if only over under unless until within")
_NUMBER_WORDS = {
    word: value
    for words, values in (
        ("one two three four five six seven eight nine", range(1, 10)),
        ("ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen", range(10, 20)),
        ("twenty thirty forty fifty sixty seventy eighty ninety", range(20, 100, 10)),
    )
    for word, value in zip(words.split(), values, strict=True)
}
_UNITS = {
    "working day": "working day", "business day": "working day", "calendar day": "day", "day": "day", "week": "week",
    "month": "month", "year": "year", "hour": "hour", "minute": "minute", "%": "%", "percent": "%", "per cent": "%",
    "£": "£", "gbp": "£", "$": "$", "dollar": "$", "usd": "$", "€": "€", "euro": "€", "eur": "€", "cent": "cent",
    "pound": "pound", "lb": "pound", "kg": "kg", "inch": "inch", "inche": "inch", "foot": "foot", "feet": "foot",
    "mile": "mile", "cm": "cm", "mm": "mm", "mb": "mb", "am": "am", "a.m.": "am", "pm": "pm", "p.m.": "pm",
    "night": "night", "point": "point", **chinese.UNITS,
}  # fmt: skip
_ANY_UNIT = "|".join(re.escape(unit) for unit in sorted(_UNITS, key=len, reverse=True))
_QUANTITY = re.compile(
    rf"(?P<sign>[£$€¥])?(?P<value>\d[\d,]*(?:[.:]\d+)?|\b(?:{'|'.join(_NUMBER_WORDS)})\b|{chinese.NUMERAL})"
    rf"(?:[\s-]?(?P<unit>{_ANY_UNIT})s?(?![a-z]))?",
    re.IGNORECASE,
)
_RANGE = re.compile(r"\s?(?:to|or|-|–|~|至|到|或)\s?", re.IGNORECASE)
_STREAM_END = re.compile(r"\n|(?:" + SENTENCE_END.pattern + ")")
_WORD = re.compile(r"[a-z]+(?:['’][a-z]+)*")


@dataclass(frozen=True)
class Evidence:
    """A sentence of a passage. `source` is its passage's index in the list searched, `context` title and heading.

    `span` is where the passage says it: characters [start, end) of its text, mark-up and all.
    """

    text: str
    source: int
    context: str = ""
    doc_id: str = ""
    span: tuple[int, int] = (0, 0)


def content_stems(text: str) -> list[str]:
    """Stems of the words that carry content, in order; quantities and stop words are left out.

    Of Chinese the words and their signs, after all others.
    """
    rest = _QUANTITY.sub(lambda found: " " if _is_amount(found) else found[0], chinese.plain_numbers(text.lower()))
    words = [word.replace("’", "'").removesuffix("'s") for word in _WORD.findall(rest)]
    stems: list[str] = Stemmer.Stemmer("english").stemWords(
        [word for word in words if word not in _STOPWORDS and "n't" not in word and len(word) > 1]
    )
    return stems + chinese.content_words(rest)


def quantities(text: str) -> frozenset[tuple[str, str]]:
    """Numbers with their units: "thirty-day", "30 days" and "三十天" are all ("30", "day"); no unit is "".

    In "two to three weeks" both numbers are weeks. A number word counts only with a unit: "one of them" and "no one"
    state no amount.
    """
    found = set()
    later_start, later_unit = 0, ""
    text = chinese.plain_numbers(text)
    for match in reversed(list(_QUANTITY.finditer(text))):
        value, unit = match["value"].lower(), _UNITS.get((match["unit"] or match["sign"] or "").lower(), "")
        if not unit and _RANGE.fullmatch(text[match.end() : later_start]):
            unit = later_unit
        later_start, later_unit = match.start(), unit
        if not value[0].isdigit():
            if not unit:
                continue
            value = str(_NUMBER_WORDS[value]) if value in _NUMBER_WORDS else chinese.number(value)
        value = value.replace(",", "")
        if "." in value:
            value = value.rstrip("0").rstrip(".")
        found.add((value, unit))
    return frozenset(found)


def choose_evidence(
    question: str,
    passages: Sequence[Hit],
    *,
    usable: Callable[[str], bool] = lambda sentence: True,
    length: int = 3,
    spans: int = 3,
) -> list[Evidence]:
    """What to answer `question` from: `length` neighbouring sentences of each of `spans` passages.

    Neighbours rather than the best single sentences, because "Until then you can undo it" says nothing alone: those
    that share most with the question, the first ones if several do. Words that few sentences of the passages hold count
    most, and "sold" counts as "sell". This was measured against vectors of sentences, which cost a model and chose
    worse (`benchmarks/evidence.py`). After the best passage come the others of its document, then the rest: an opening
    line is completed by its own article.

    Args:
        question: In self-contained words.
        passages: Hits, best first.
        usable: Sentences for which this is false are left out; a passage of such sentences alone is passed over.
        length: Sentences of a span, at least 1.
        spans: Passages, at least 1.

    Returns:
        Spans best first, the sentences of each in their order.
    """
    useful: dict[int, list[Sentence]] = {}
    for index in _own_document_first(passages):
        hit = passages[index]
        split = _split(hit.text, heading=hit.heading.split(" > ")[-1])
        if sentences := [sentence for sentence in split if usable(sentence.text)]:
            useful[index] = sentences
        if len(useful) == spans:
            break
    chosen: list[Evidence] = []
    for (index, sentences), shared in zip(useful.items(), _shared_words(question, list(useful.values())), strict=True):
        hit = passages[index]
        context = f"{hit.title}. {hit.heading}" if hit.heading else hit.title
        best = _best_start(shared, length)
        chosen += [
            Evidence(sentence.text, index, context, hit.doc_id, span=(sentence.start, sentence.end))
            for sentence in sentences[best : best + length]
        ]
    return chosen


def narrow(question: str, span: Sequence[Evidence], length: int) -> list[Evidence]:
    """Those `length` neighbours of a span (at least 1) that share most with the question; all of a shorter one."""
    (shared,) = _shared_words(question, [span])
    best = _best_start(shared, length)
    return list(span[best : best + length])


_split = lru_cache(4_096)(split_sentences)  # the same few passages answer most questions


@lru_cache(16_384)
def _words_of(text: str) -> tuple[str, ...]:
    return tuple(tokenize([_WORD.sub(lambda found: BASE_OF.get(found[0], found[0]), text.lower())])[0])


def _best_start(shared: Sequence[dict[str, float]], length: int) -> int:
    starts = range(max(1, len(shared) - length + 1))
    return int(np.argmax([sum(_joined(shared[start : start + length]).values()) for start in starts]))


def _own_document_first(passages: Sequence[Hit]) -> list[int]:
    return sorted(range(len(passages)), key=lambda i: passages[i].doc_id != passages[0].doc_id)  # stable


def _shared_words(
    question: str, passages: Sequence[Sequence[Sentence]] | Sequence[Sequence[Evidence]]
) -> list[list[dict[str, float]]]:
    """For each sentence of each passage the words that it shares with the question, with their rarity (BM25's idf)."""
    asked, said = _words_of(question), [_words_of(sentence.text) for sentences in passages for sentence in sentences]
    held = Counter(word for words in said for word in set(words))
    rarity = {word: math.log(1 + (len(said) - held[word] + 0.5) / (held[word] + 0.5)) for word in dict.fromkeys(asked)}
    words = iter(said)
    return [
        [{word: rarity[word] for word in dict.fromkeys(next(words)) if word in rarity} for _ in sentences]
        for sentences in passages
    ]


def _joined(words: Iterable[dict[str, float]]) -> dict[str, float]:
    return {word: weight for of_one in words for word, weight in of_one.items()}


def find_support(
    sentence: str, evidence: Sequence[Evidence], *, coverage: float = 0.8, kept: float = 0.4
) -> Evidence | None:
    """The evidence that says `sentence`, or None.

    One piece of evidence must hold every quantity with its unit, agree on negation, hold every limiting word ("over",
    "only") and see its own conditions ("if", "unless") kept; it must hold `coverage` of the sentence's content stems
    (title and heading help), and the sentence must keep `kept` of the evidence's stems and quantities, so that a
    fragment that turns its meaning does not pass.

    Args:
        sentence: Plain text, without citations.
        evidence: Candidates, best first; the first that supports is returned.
        coverage: Share of the sentence's content stems, 0-1.
        kept: Share of the evidence's content stems and quantities, 0-1.
    """
    stems, amounts = set(content_stems(sentence)), quantities(sentence)
    if not stems and not amounts:
        return None
    limits, denied = _limits(sentence), _denied(sentence)
    for candidate in evidence:
        said, stated = set(content_stems(candidate.text)), quantities(candidate.text)
        if (
            _has_amounts(amounts, stated)
            and denied == _denied(candidate.text)
            and limits <= _limits(candidate.text)
            and _limits(candidate.text) & _CONDITIONS <= limits
            and len(stems & (said | set(content_stems(candidate.context)))) >= coverage * len(stems)
            and len(stems & said) + len(amounts & stated) >= kept * (len(said) + len(stated))
        ):
            return candidate
    return None


def _limits(text: str) -> frozenset[str]:
    return _LIMITS.intersection(_WORD.findall(text.lower())) | chinese.limits(text)


def _denied(text: str) -> frozenset[str]:
    """That an English text denies something; of a Chinese one also what."""
    return frozenset(["not"] if _NEGATION.search(text) else []) | chinese.negated(text)


def _is_amount(found: re.Match[str]) -> bool:
    """Whether a match of `_QUANTITY` is more than a numeral that is part of a Chinese word, as in "统一"."""
    return bool(found["unit"]) or not chinese.has_chinese(found["value"])


def _has_amounts(claimed: frozenset[tuple[str, str]], stated: frozenset[tuple[str, str]]) -> bool:
    """A bare number may match any unit; a unit must match itself."""
    bare = {value for value, _ in stated}
    return all((value, unit) in stated or (not unit and value in bare) for value, unit in claimed)


def stream_sentences(pieces: Iterable[str]) -> Iterator[str]:
    """Whole sentences of a text that arrives in pieces; the rest comes when the pieces end. Line ends end sentences.

    Text that goes on for `MAX_SENTENCE_CHARS` without an end is cut there, so a rambling model costs no time.
    """
    held = ""
    for piece in pieces:
        held += piece
        while cut := _STREAM_END.search(held):
            done, held = held[: cut.start()].strip(), held[cut.end() :]
            if done:
                yield done
        if len(held) > MAX_SENTENCE_CHARS:
            yield held.strip()
            held = ""
    if held.strip():
        yield held.strip()
