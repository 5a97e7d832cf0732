"""Emotions become one of six tones, and tone moves priority by one level at most."""

from __future__ import annotations

import pytest

from verticals.support.schemas import TicketPriority, Tone
from verticals.support.understanding.tone import EMOTIONS, chinese_tone, raise_priority, strongest, tone_shares


def test_every_emotion_has_exactly_one_tone() -> None:
    names = [name for names in EMOTIONS.values() for name in names]

    assert len(names) == len(set(names)) == 28
    assert EMOTIONS.keys() == set(Tone)


@pytest.mark.parametrize(
    ("strengths", "tone"),
    [
        ({"annoyance": 1.2, "anger": 1.9}, Tone.ANGRY),
        ({"disappointment": 1.1, "neutral": 0.4}, Tone.FRUSTRATED),
        ({"gratitude": 2.0, "sadness": 1.0}, Tone.HAPPY),
        ({"fear": 1.0}, Tone.ANXIOUS),
        ({"anger": 0.99, "sadness": 0.8}, Tone.CALM),
        ({}, Tone.CALM),
    ],
)
def test_the_emotion_furthest_above_its_threshold_gives_the_tone(strengths: dict[str, float], tone: Tone) -> None:
    shares = tone_shares(strengths)

    assert strongest(shares) is tone
    assert sum(shares.values()) == pytest.approx(1)


def test_an_angry_customer_is_looked_at_sooner_but_never_becomes_urgent() -> None:
    assert raise_priority(TicketPriority.LOW, Tone.ANGRY) is TicketPriority.NORMAL
    assert raise_priority(TicketPriority.NORMAL, Tone.ANXIOUS) is TicketPriority.HIGH
    assert raise_priority(TicketPriority.HIGH, Tone.ANGRY) is TicketPriority.HIGH
    assert raise_priority(TicketPriority.URGENT, Tone.ANGRY) is TicketPriority.URGENT


@pytest.mark.parametrize("tone", [Tone.CALM, Tone.HAPPY, Tone.SAD, Tone.FRUSTRATED])
def test_other_tones_leave_priority_alone(tone: Tone) -> None:
    assert all(raise_priority(priority, tone) is priority for priority in TicketPriority)


@pytest.mark.parametrize(
    ("text", "tone"),
    [
        ("太过分了，我很生气！退款要多久？", Tone.ANGRY),
        ("你们的服务真让人失望", Tone.FRUSTRATED),
        ("杯子碎了，我很难过", Tone.SAD),
        ("包裹还没到，我很着急", Tone.ANXIOUS),
        ("我不生气，只想知道运费", Tone.CALM),
        ("别担心，我只是问问", Tone.CALM),
        ("退款要多久？", Tone.CALM),
    ],
)
def test_chinese_says_its_feelings_in_words(text: str, tone: Tone) -> None:
    assert chinese_tone(text) is tone
