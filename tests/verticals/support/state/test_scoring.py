"""Joint goal accuracy on frames worked by hand."""

from __future__ import annotations

import pytest

from tests.verticals.support.state.tiny_state import TABLES
from verticals.support.state.scoring import frame_score, similarity

GOLD = {"city": ["San Francisco", "SF"], "party_size": ["2"]}


@pytest.mark.parametrize(
    ("predicted", "score"),
    [
        ({"city": "San Francisco", "party_size": "2"}, 1.0),
        ({"city": "SF", "party_size": "2"}, 1.0),  # any wording of the value
        ({"city": "francisco, san", "party_size": "2"}, 1.0),  # case, order and punctuation do not count
        ({"city": "San Francisco"}, 0.0),  # a slot is missing
        ({"city": "San Francisco", "party_size": "2", "time": "7 pm"}, 0.0),  # one too many
        ({"city": "San Francisco", "party_size": "3"}, 0.0),
        ({"city": "San Francisco", "party_size": "2 "}, 0.0),  # listed values are compared exactly
        ({"city": "Francisco", "party_size": "2"}, 0.82),  # 2 x 9 of 9 + 13 characters
    ],
)
def test_a_frame_scores_the_product_of_its_slots(predicted: dict[str, str], score: float) -> None:
    assert frame_score(GOLD, predicted, TABLES) == pytest.approx(score)


def test_an_empty_frame_that_should_be_empty_is_right() -> None:
    assert frame_score({}, {}, TABLES) == 1.0


def test_two_fuzzy_slots_multiply() -> None:
    gold = {"city": ["abcd"], "restaurant_name": ["abcdefgh"]}

    score = frame_score(gold, {"city": "abxy", "restaurant_name": "abcd"}, TABLES)

    assert score == pytest.approx(0.5 * 0.67)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("fuzzy was a bear", "was a fuzzy bear", 1.0),  # the example of fuzzywuzzy's README
        ("8 pm", "8 am", 0.75),
        ("", "x", 0.0),
        ("Café", "Caf", 1.0),  # characters outside ASCII are left out
        ("7 pm", "7 PM.", 1.0),
    ],
)
def test_similarity_is_the_token_sort_ratio(first: str, second: str, expected: float) -> None:
    assert similarity(first, second) == pytest.approx(expected)
