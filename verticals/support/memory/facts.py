"""What customers state of themselves, read from their own sentences by rules. Ignores where it is kept.

A fact is a sentence of the customer with an attribute of the table below. A question, a condition, a wish and what
others said are no facts. Health, faith, politics and the like are not kept, whoever states them (GDPR, art. 9).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from retrieval.grounding import content_stems
from retrieval.sentences import split_sentences

_NAME = r"[A-Z][\w'’-]+(?: [A-Z][\w'’-]+)?"
_THING = r"[a-z][a-z-]*(?: [a-z][a-z-]*){0,4}"
_OFTEN = r"(?:(?:really|just|also|recently|always|only|usually|now|quite|still) )*"
_I_AM = r"(?:I am|I'm|we are|we're)"


@dataclass(frozen=True)
class Attribute:
    """A kind of fact."""

    name: str
    description: str
    pattern: re.Pattern[str]  # with a group `value`, and `ended` where a sentence may say that it is over
    topic: str  # statements on one topic exclude each other
    single: bool  # whether the topic is one, or each thing is its own
    always: bool = False  # matters to every answer, whatever it is about


@dataclass(frozen=True)
class Fact:
    """One statement. `key` tells which statements exclude each other; `ended` that this one only ends the earlier."""

    attribute: str
    key: str
    value: str
    text: str  # the customer's sentence
    ended: bool = False


class FactReader(Protocol):
    """Reads facts from one message of a customer."""

    def __call__(self, text: str) -> list[Fact]:
        """Facts in the order of the sentences that state them."""


def _attribute(
    name: str, description: str, pattern: str, *, topic: str = "", single: bool = False, always: bool = False
) -> Attribute:
    return Attribute(name, description, re.compile(pattern), topic or name, single, always)


ATTRIBUTES = (
    _attribute(
        "preferred_name",
        "what the customer wants to be called",
        rf"(?:[Cc]all me|[Mm]y name is|I go by) (?P<value>{_NAME})",
        single=True,
        always=True,
    ),
    _attribute(
        "language",
        "the language the customer wants to be answered in",
        rf"(?:(?:[Ww]rite|[Rr]eply|[Aa]nswer|[Ss]peak)(?: to me)? in|I {_OFTEN}(?:prefer|speak)) "
        r"(?P<value>English|Chinese|Mandarin|Spanish|German|French|Italian|Portuguese|Polish|Arabic|Japanese|Korean)\b",
        single=True,
        always=True,
    ),
    _attribute(
        "contact",
        "how the customer wants to be reached",
        rf"(?:I(?:'d| would)? {_OFTEN}(?:prefer|like) (?:to be (?:contacted|reached) )?(?:(?:by|via|over) )?(?:the )?|"
        r"(?:contact|reach) me (?:only )?(?:by|via|over) )(?P<value>e-?mail|phone|text|SMS|post|WhatsApp)\b",
        single=True,
        always=True,
    ),
    _attribute(
        "place",
        "where the customer lives",
        rf"(?:(?:I|[Ww]e) {_OFTEN}live in|{_I_AM} {_OFTEN}(?:living|based) in|"
        rf"(?:I|[Ww]e)(?: have|'ve)? {_OFTEN}moved to) (?P<value>{_NAME})",
        single=True,
    ),
    _attribute(
        "at_home",
        "when the customer is at home for a delivery",
        rf"{_I_AM} {_OFTEN}(?:at )?home (?P<value>(?:after|before|from|until|on|in) [\w: ]{{2,30}}\w)",
        single=True,
    ),
    _attribute(
        "household",
        "who lives with the customer",
        r"(?:I|[Ww]e) (?:(?P<ended>no longer|don't|do not) )?have "
        r"(?P<value>(?:(?:an?|one|two|three|four|five|any|my) )?(?:\w+ )?"
        r"(?:dogs?|cats?|pets?|child(?:ren)?|kids?|bab(?:y|ies)|toddlers?|puppy|kittens?|teenagers?))\b",
    ),
    _attribute(
        "owns",
        "a thing that the customer has",
        rf"I {_OFTEN}(?:(?P<ended>sold|gave away|no longer (?:have|own|use))|own|bought|have bought|use) "
        rf"(?:an? |the |my |your |one of your |two )(?P<value>{_THING})",
    ),
    _attribute(
        "likes",
        "what the customer likes",
        rf"I {_OFTEN}(?:like|love|prefer|enjoy) (?P<value>{_THING})",
        topic="taste",
    ),
    _attribute(
        "dislikes",
        "what the customer does not like",
        rf"I {_OFTEN}(?:hate|dislike|can't stand|cannot stand|don't like|do not like|no longer like) "
        rf"(?P<value>{_THING})",
        topic="taste",
    ),
)
BY_NAME = {attribute.name: attribute for attribute in ATTRIBUTES}
_NOT_STATED = re.compile(
    r"\?\s*$|\b(?:if|unless|wish|would(?! (?:prefer|like to be))|could|might|maybe|perhaps|suppose|imagine|pretend|"
    r"said|says|told|asked|"
    r"(?:friend|neighbou?r|sister|brother|mother|father|wife|husband|colleague)(?:'s)? (?:has|have|is|lives|likes))\b",
    re.IGNORECASE,
)
_SENSITIVE = re.compile(
    r"\b(?:allerg\w*|diabet\w*|cancer|illness|disease|disab\w*|depress\w*|anxiety|pregnan\w*|medic\w*|therap\w*|HIV|"
    r"christian|muslim|jewish|hindu|buddhist|catholic|atheist|church|mosque|synagogue|pray\w*|"
    r"vote[ds]?|voting|republican|democrat|conservative|labour party|trade union|gay|lesbian|bisexual|transgender|"
    r"password|passcode|pin)\b|\d[\d -]{5,}\d|@",
    re.IGNORECASE,
)
_TRAILING = re.compile(r" (?:and|but|so|because|from|for|with|at|in|on|to|that|which|when|of|very|a|the|too|please).*$")


def read_facts(text: str) -> list[Fact]:
    """Facts that a message states; see `FactReader`."""
    return [fact for sentence in split_sentences(text.replace("’", "'")) for fact in _of_sentence(sentence.text)]


def _of_sentence(sentence: str) -> Iterator[Fact]:
    if _NOT_STATED.search(sentence) or _SENSITIVE.search(sentence):
        return
    for attribute in ATTRIBUTES:
        if found := attribute.pattern.search(sentence):
            parts = found.groupdict()
            value = _TRAILING.sub("", parts["value"])
            if fact := make_fact(attribute, value, sentence, ended=bool(parts.get("ended"))):
                yield fact


def make_fact(attribute: Attribute, value: str, sentence: str, *, ended: bool = False) -> Fact | None:
    """The fact, with the key that its contradictions share; None if the value says nothing."""
    stems = content_stems(value)
    if not stems and not attribute.single:
        return None
    key = attribute.topic if attribute.single else f"{attribute.topic}:{' '.join(sorted(stems))}"
    return Fact(attribute.name, key, value, sentence, ended)
