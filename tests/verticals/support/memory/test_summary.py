"""A running summary keeps the customer's words, and first those that name an order or an amount."""

from __future__ import annotations

from verticals.support.memory.summary import summarize

TALK = [
    "Hello there. My order AB-12345 has not arrived.",
    "I ordered two oak chairs for 240 dollars. The weather is nice.",
    "The chairs were promised for Monday. The weather is nice.",
    "Thanks.",
]


def test_every_sentence_was_said_and_the_order_is_there() -> None:
    summary = summarize(TALK, max_chars=120)

    assert "AB-12345" in summary
    assert len(summary) <= 120
    assert all(part.rstrip(".") in " ".join(TALK) for part in summary.split(". "))


def test_a_repeated_sentence_is_kept_once() -> None:
    assert summarize(TALK).count("weather") == 1


def test_a_summary_can_be_summed_up_again_with_what_came_after() -> None:
    again = summarize([summarize(TALK), "Please send them to the pickup point instead."])

    assert "AB-12345" in again
    assert "pickup point" in again


def test_a_sentence_beyond_the_limit_is_cut() -> None:
    assert summarize(["oak " * 100], max_chars=10) == "oak oak oa"


def test_nothing_sums_up_to_nothing() -> None:
    assert summarize([]) == ""
