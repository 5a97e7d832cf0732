"""From 28 emotions to the six tones that an answer is written in, and a hint for priority. Ignores models.

A rule, not a model: it changes how the agent speaks and how soon a person looks, never what a customer is entitled to.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from verticals.support.schemas import TicketPriority, Tone

EMOTIONS: Mapping[Tone, frozenset[str]] = {
    Tone.FRUSTRATED: frozenset({"annoyance", "disappointment", "disapproval"}),
    Tone.ANGRY: frozenset({"anger", "disgust"}),
    Tone.SAD: frozenset({"grief", "remorse", "sadness"}),
    Tone.ANXIOUS: frozenset({"embarrassment", "fear", "nervousness"}),
    Tone.HAPPY: frozenset(
        {"admiration", "amusement", "excitement", "gratitude", "joy", "love", "optimism", "pride", "relief"}
    ),
    Tone.CALM: frozenset(
        {"approval", "caring", "confusion", "curiosity", "desire", "neutral", "realization", "surprise"}
    ),
}
SOONER = frozenset({Tone.ANGRY, Tone.ANXIOUS})
_RAISED = {TicketPriority.LOW: TicketPriority.NORMAL, TicketPriority.NORMAL: TicketPriority.HIGH}


_CHINESE: Mapping[Tone, str] = {
    Tone.ANGRY: "生气|气人|气死|气愤|愤怒|过分|离谱|丢人|火大",
    Tone.FRUSTRATED: "失望|糟糕|差劲|无语|受不了|烦死|心烦",
    Tone.SAD: "难过|伤心|心碎",
    Tone.ANXIOUS: "着急|担心|害怕|焦虑|焦急",
}
_DENIED = r"(?<!不)(?<!别)(?<!没)(?<!不用)(?<!不太)(?<!不会)"


def tone_shares(strengths: Mapping[str, float]) -> dict[Tone, float]:
    """How strongly each tone is heard, 0-1, summing to 1.

    Args:
        strengths: Of each emotion, its probability over its threshold: 1 and more means that it holds. A tone is as
            strong as its strongest emotion, and emotions that do not hold do not speak against calm.
    """
    held = {
        tone: max((s for name in names if (s := strengths.get(name, 0.0)) >= 1), default=0.0)
        for tone, names in EMOTIONS.items()
    }
    total = sum(held.values())
    return {tone: held[tone] / total if total else float(tone is Tone.CALM) for tone in Tone}


def chinese_tone(text: str) -> Tone:
    """The tone that a Chinese message says in words, the gravest first; calm if none."""
    return next((tone for tone, words in _CHINESE.items() if re.search(f"{_DENIED}(?:{words})", text)), Tone.CALM)


def strongest(shares: Mapping[Tone, float]) -> Tone:
    """The tone with the largest share; calm where it is among them."""
    return max(Tone, key=lambda tone: (shares.get(tone, 0.0), tone is Tone.CALM))


def raise_priority(priority: TicketPriority, tone: Tone) -> TicketPriority:
    """One level up for an angry or anxious customer, high at most: urgent is what has happened, not how it is told."""
    return _RAISED.get(priority, priority) if tone in SOONER else priority
