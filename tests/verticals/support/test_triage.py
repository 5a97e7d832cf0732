"""Who gets a ticket and how soon: the same words, the same team, every time."""

from __future__ import annotations

import pytest

from tests.verticals.support.fakes import hit
from verticals.support.schemas import TicketCategory as Category
from verticals.support.schemas import TicketPriority as Priority
from verticals.support.triage import decide_category, decide_priority


@pytest.mark.parametrize(
    ("said", "category"),
    [
        ("Where is my parcel? The courier never came.", Category.DELIVERY),
        ("I want my money back for this return", Category.RETURNS),
        ("My card was charged twice", Category.PAYMENT),
        ("I forgot my password and cannot log in to my account", Category.ACCOUNT),
        ("The chair is faulty, is a repair under warranty?", Category.WARRANTY),
        ("Delete my personal data", Category.PRIVACY),
        ("How do I cancel? I lost the order number", Category.ORDERS),
        ("What size and color is the rug?", Category.PRODUCTS),
        ("Your staff was rude, this is unacceptable", Category.COMPLAINT),
        ("Do you like poetry?", Category.OTHER),
    ],
)
def test_category(said: str, category: Category) -> None:
    assert decide_category([said]) == category


def test_the_latest_message_outweighs_an_earlier_one() -> None:
    assert decide_category(["Where is my parcel?", "Now my card was refused"]) == Category.PAYMENT


def test_retrieved_articles_decide_only_when_words_do_not() -> None:
    hits = [hit("x", category="privacy"), hit("y", number=2, category="nonsense")]

    assert decide_category(["Can you help me with this?"], hits) == Category.PRIVACY
    assert decide_category(["My card was refused"], hits) == Category.PAYMENT


@pytest.mark.parametrize(
    ("said", "priority"),
    [
        ("The lamp caught fire", Priority.URGENT),
        ("I never authorised this payment", Priority.URGENT),
        ("This is the third time I ask", Priority.HIGH),
        ("The table arrived damaged", Priority.HIGH),
        ("Just a suggestion, no rush", Priority.LOW),
        ("Where is my parcel?", Priority.NORMAL),
        ("I bought a fireplace screen", Priority.NORMAL),
    ],
)
def test_priority(said: str, priority: Priority) -> None:
    assert decide_priority([said]) == priority


def test_the_most_urgent_message_counts() -> None:
    assert decide_priority(["The heater is smoking", "no rush"]) == Priority.URGENT
