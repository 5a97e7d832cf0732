"""What the agent hears in a message: intent, scope, tone, and which task of the shop it may mean. Ignores sessions.

What is heard chooses words, order and what to ask next. It never becomes an argument of a tool, never a yes, and
nothing that a customer is entitled to depends on it: `policy.py` decides without it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from typing import Protocol

from retrieval.chinese import has_chinese
from retrieval.grounding import content_stems
from verticals.contract import ModelRegistry, Unavailable
from verticals.support.phrases import both
from verticals.support.rule_planner import asks_about, read_args
from verticals.support.schemas import Message, Modality, TicketCategory, Tone, Understood
from verticals.support.shop.tools import TOOLS
from verticals.support.triage import decide_category
from verticals.support.understanding.messages import Understanding, load_reader
from verticals.support.understanding.signals import fuse
from verticals.support.understanding.tone import chinese_tone, strongest

# Share of an intent from which it may stand for a task that no rule found: chosen by cross-fitting on the training half
# of utterances.jsonl, which has some ten such tasks only. `benchmarks.suggestions` measures the test half.
CONFIDENT = 0.6
OWN_SUBJECT = 2  # content words from which a message says by itself what it is about
TOOL_OF = {"order_status": "order_status", "return_item": "request_refund", "change_address": "change_address"}
ACKNOWLEDGEMENTS = {  # Chinese in phrases_zh.json
    Tone.FRUSTRATED: "I understand that this is frustrating.",
    Tone.ANGRY: "I understand that this is upsetting.",
    Tone.SAD: "That is sad to hear.",
    Tone.ANXIOUS: "I understand that this is worrying.",
}
_FRUSTRATION = ("annoyance", "disappointment")  # disapproval is of a thing, or a mere "no"
_FOREIGN = re.compile(r"[^\W\d_a-zA-Z\u00c0-\u024f]")  # a letter that no Western European language writes

_log = logging.getLogger(__name__)


class Reader(Protocol):
    """Reads one message; `MessageReader` is one."""

    def read(self, text: str) -> Understanding:
        """Its intent, emotions and tone."""


class Listener:
    """Reads the customer's messages.

    Args:
        reader: Of English; without it no English is heard, and rules work alone. Of Chinese the feelings are heard that
            are said in words.
    """

    def __init__(self, reader: Reader | None) -> None:
        self._reader = reader

    def hear(self, text: str, signals: Mapping[Modality, Mapping[Tone, float]]) -> Understood | None:
        """One message, with the tones of consented signals that came with it; None if nothing reads it."""
        if has_chinese(text) and (tone := chinese_tone(text)) is not Tone.CALM:
            tones = fuse({tone: 1.0}, signals)
            return Understood(tone=strongest(tones), tones=tones)
        if self._reader is None or _FOREIGN.search(text):
            return None
        read = self._reader.read(text)
        tones = fuse(read.tones, signals)
        return Understood(
            intent=read.intent.intent,
            confidence=min(1.0, read.intent.confidence),
            in_scope=read.intent.in_scope,
            tone=strongest(tones),
            tones={tone: min(1.0, share) for tone, share in tones.items()},
            emotions={name: min(1.0, probability) for name, probability in read.emotions.items()},
        )

    def mood(self, window: Sequence[Message], now: Tone) -> Tone:
        """The tone of a conversation: now's, or if that is calm the last one that wasn't, in the last turns."""
        earlier = (message.content for message in reversed(window[:-1]) if message.role == "user")
        heard = (understood.tone for text in earlier if (understood := self.hear(text, {})))
        return now if now is not Tone.CALM else next((tone for tone in heard if tone is not Tone.CALM), Tone.CALM)


def open_listener(registry: ModelRegistry) -> Listener:
    """A listener with the prepared reader; without one the log says so, once."""
    try:
        return Listener(load_reader(registry))
    except Unavailable as error:
        _log.warning("Messages are read by rules alone: %s", error)
        return Listener(None)


def suggest(text: str, understood: Understood | None) -> str | None:
    """The tool that an intent stands for; a change is not read into a question about one."""
    if understood is None or not understood.in_scope or (understood.confidence or 0.0) < CONFIDENT:
        return None
    tool = TOOL_OF.get(understood.intent or "")
    return None if tool is None or (TOOLS[tool].apply and asks_about(text)) else tool


def is_strange(text: str, understood: Understood | None) -> bool:
    """Whether a question is not the shop's: read as out of scope, on its own feet, in none of the shop's words."""
    if understood is None or understood.in_scope is not False:
        return False
    is_own = len(content_stems(text)) >= OWN_SUBJECT
    return is_own and not read_args(text) and decide_category([text]) is TicketCategory.OTHER


def is_thanks(text: str, understood: Understood | None) -> bool:
    """Whether small talk that asks for nothing is a kind word."""
    heard = understood is not None and understood.intent == "small_talk" and understood.tone is Tone.HAPPY
    return heard and "?" not in text


def acknowledge(window: Sequence[Message], understood: Understood | None) -> str:
    """A sentence for a customer who is upset, unless one was said in the last turns; else nothing.

    Frustration is read into many plain reports ("my points are missing"), so its words must carry it alone.
    """
    words = ACKNOWLEDGEMENTS.get(understood.tone, "") if understood else ""
    if understood and understood.tone is Tone.FRUSTRATED and not _is_felt(understood.emotions):
        return ""
    said = [message.content for message in window if message.role != "user"]
    known = [sentence for one in ACKNOWLEDGEMENTS.values() for sentence in both(one)]
    return "" if any(sentence in text for sentence in known for text in said) else words


def _is_felt(emotions: Mapping[str, float]) -> bool:
    """Whether frustration is what a message says most, and nothing neutral; without emotions it was said in words.

    Args:
        emotions: Strongest first.
    """
    return not emotions or ("neutral" not in emotions and next(iter(emotions)) in _FRUSTRATION)
