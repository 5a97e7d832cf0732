"""The scorers of the nightly evaluation, on cases whose answer is known."""

from __future__ import annotations

import json

import numpy as np
import pytest

from verticals.support.demo import KNOWLEDGE_DIR
from verticals.support.evals import choose_threshold
from verticals.support.evals_answers import says
from verticals.support.evals_questions import load_questions
from verticals.support.schemas import TicketCategory, TicketPriority

PASSAGE = "You can return most items within 30 days of delivery. The label costs $6.95."


@pytest.mark.parametrize(
    ("sentence", "said"),
    [
        ("You can return most items within 30 days of delivery.", True),
        ("The label costs $6.95.", True),
        ("You can return items within 30 days of delivery.", True),
        ("You can return most items within 45 days of delivery.", False),
        ("We sell lamps in many colors.", False),
        ("Hi", False),
    ],
)
def test_the_independent_check(sentence: str, said: bool) -> None:
    assert says(PASSAGE, sentence) is said


def test_the_threshold_separates_what_can_be_separated() -> None:
    similarities = np.array([0.7, 0.6, 0.55, 0.45, 0.3])

    assert choose_threshold(similarities, np.array([True, True, True, False, False])) == pytest.approx(0.505)


def test_dev_and_test_questions_are_apart_and_hold_both_kinds() -> None:
    dev, test = load_questions("dev"), load_questions("test")

    assert not {q.text for q in dev} & {q.text for q in test}
    for questions in (dev, test):
        assert any(q.doc_ids for q in questions)
        assert any(not q.doc_ids for q in questions)


def test_the_ticket_talks_name_known_categories_and_end_with_the_customer() -> None:
    lines = (KNOWLEDGE_DIR.parent / "ticket_talks.jsonl").read_text("utf-8").splitlines()

    for talk in map(json.loads, lines):
        assert len(talk["talk"]) % 2 == 1
        assert TicketCategory(talk["category"])
        assert TicketPriority(talk["priority"])
