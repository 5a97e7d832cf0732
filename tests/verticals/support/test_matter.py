"""Feelings and courtesies are not searched for; whatever else a message says is."""

from __future__ import annotations

import pytest

from verticals.support.matter import without_preface


@pytest.mark.parametrize(
    ("message", "matter"),
    [
        ("This is a disgrace, I am furious. How long do refunds take?", "How long do refunds take?"),
        ("this is ridiculous!!! how long do refunds take", "how long do refunds take"),
        ("Hello, I'm so worried, my card was stolen. What now?", "my card was stolen. What now?"),
        ("I am angry. My lamp arrived broken. I want help", "My lamp arrived broken. I want help"),
        ("How long do refunds take? I am fed up!", "How long do refunds take?"),
        ("太过分了，我很生气！退款要多久？", "退款要多久？"),
    ],
)
def test_what_says_a_feeling_alone_is_left_out(message: str, matter: str) -> None:
    assert without_preface(message) == matter


@pytest.mark.parametrize(
    "message",
    [
        "I bought a sofa. How long is the warranty?",
        "I am furious about the refund. Where is it?",
        "I moved, it is 12 Elm Street, Springfield, IL 62704.",
        "No. 5 is broken, e.g. its shade",
        "I am furious",
        "This is a disgrace!",
        "I bought a sofa. What kind? Is it nice?",
        "",
        "?!",
        "我买了沙发。保修多久？",
    ],
)
def test_a_message_without_a_preface_or_without_anything_else_stays(message: str) -> None:
    assert without_preface(message) == message
