"""Facts are what customers state of themselves: not what they ask, suppose, report, or should not be kept."""

from __future__ import annotations

import pytest

from verticals.support.memory.facts import read_facts


@pytest.mark.parametrize(
    ("text", "attribute", "value"),
    [
        ("Hi, please call me Sam.", "preferred_name", "Sam"),
        ("My name is Ana Lopez and my lamp is late.", "preferred_name", "Ana Lopez"),
        ("Please reply in German.", "language", "German"),
        ("I'd prefer to be contacted by phone.", "contact", "phone"),
        ("I would like to be reached by email.", "contact", "email"),
        ("We recently moved to Portland.", "place", "Portland"),
        ("I’m only home after 6 pm.", "at_home", "after 6 pm"),
        ("We have two small dogs.", "household", "two small dogs"),
        ("I bought your coffee machine last week.", "owns", "coffee machine last week"),
        ("I really love oak furniture.", "likes", "oak furniture"),
        ("I can't stand scented candles.", "dislikes", "scented candles"),
    ],
)
def test_a_statement_is_a_fact(text: str, attribute: str, value: str) -> None:
    found = [(fact.attribute, fact.value) for fact in read_facts(text)]

    assert found == [(attribute, value)]


@pytest.mark.parametrize(
    "text",
    [
        "Do I like oak?",
        "If I lived in Portland, would it be free?",
        "My sister said I love oak.",
        "I have a question about my order.",
        "I wish I had two dogs.",
        "I'm allergic to cats and we have two cats.",
        "I prefer my diabetes medicine in the morning.",
        "My password is Oakwood, call me Sam.",
        "Call me Sam on 0151 123 4567.",
        "",
    ],
)
def test_a_question_a_wish_a_report_and_private_matters_are_none(text: str) -> None:
    assert read_facts(text) == []


def test_liking_and_disliking_one_thing_exclude_each_other() -> None:
    liked, disliked, other = read_facts("I love oak tables. I no longer like oak tables. I love pine shelves.")

    assert liked.key == disliked.key != other.key


def test_a_statement_that_something_is_over_ends_the_earlier_one() -> None:
    had, has_not = read_facts("We have a dog. We no longer have a dog.")

    assert (had.key, had.ended, has_not.ended) == (has_not.key, False, True)
