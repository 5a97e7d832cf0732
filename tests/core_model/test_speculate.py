"""Prompt look-up finds what a plain search would, and a guess never costs more than its budget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core_model.speculate import PromptLookup, Speculation


def test_what_followed_the_last_tokens_before_is_proposed() -> None:
    assert PromptLookup().propose([1, 2, 3, 4, 5, 9, 1, 2], 3) == [3, 4, 5]


def test_the_longest_match_wins_and_of_matches_alike_the_latest() -> None:
    assert PromptLookup().propose([1, 2, 3, 10, 2, 3, 20, 2, 3, 30, 1, 2, 3], 1) == [10]
    assert PromptLookup(max_n=2).propose([1, 2, 3, 10, 2, 3, 20, 2, 3, 30, 1, 2, 3], 1) == [30]


def test_a_circle_is_followed_round() -> None:
    assert PromptLookup().propose([7, 1, 2, 3, 1, 2, 3], 7) == [1, 2, 3, 1, 2, 3, 1]


def test_without_a_match_nothing_is_proposed() -> None:
    assert PromptLookup().propose([1, 2, 3, 4], 4) == ()
    assert PromptLookup(min_n=3).propose([1, 2, 9, 1, 2], 4) == ()
    assert PromptLookup().propose([1], 4) == ()


def test_a_smallest_match_above_the_longest_is_refused() -> None:
    with pytest.raises(ValueError, match=r"min_n: must be 1 to max_n=2 \(got 3\)"):
        PromptLookup(max_n=2, min_n=3)


def plain_search(tokens: Sequence[int], limit: int, *, max_n: int, min_n: int) -> list[int]:
    """The same by trying every length and place."""
    for n in range(min(max_n, len(tokens) - 1), min_n - 1, -1):
        for end in range(len(tokens) - 1, n - 1, -1):
            if tokens[end - n : end] == tokens[-n:]:
                circle = tokens[end:]
                return [circle[i % len(circle)] for i in range(limit)]
    return []


@given(st.lists(st.integers(0, 2), min_size=1, max_size=40), st.integers(1, 9), st.integers(1, 5), st.integers(1, 5))
def test_growing_text_is_indexed_as_a_plain_search_would_find(
    tokens: list[int], limit: int, min_n: int, more: int
) -> None:
    lookup = PromptLookup(max_n=min_n + more, min_n=min_n)

    for length in range(1, len(tokens) + 1, more):
        found = lookup.propose(tokens[:length], limit)
        assert list(found) == plain_search(tokens[:length], limit, max_n=min_n + more, min_n=min_n)


class Always:
    """Proposes as much as it may."""

    def __init__(self, price: float = 0.0) -> None:
        self.price = price

    def propose(self, token_ids: Sequence[int], limit: int) -> Sequence[int]:
        return [0] * limit

    def observe(self, start: int, hidden_ND: Any) -> None: ...

    def end(self) -> None: ...


def test_guesses_grow_while_they_are_right() -> None:
    speculation, lengths = Speculation(Always()), []
    for i in range(6):
        lengths.append(len(speculation.propose([0] * (10 + i), limit=100)))
        speculation.learn(num_drafted=lengths[-1], num_accepted=lengths[-1])

    assert lengths == sorted(lengths)
    assert lengths[0] < 4
    assert lengths[-1] == 15


def test_guesses_that_are_never_right_end_soon() -> None:
    speculation, num_drafted = Speculation(Always()), 0
    for i in range(1000):
        guess = speculation.propose([0] * (10 + i), limit=8)
        num_drafted += len(guess)
        if guess:
            speculation.learn(num_drafted=len(guess), num_accepted=0)

    assert 0 < num_drafted <= (1 + 1000 * 0.02) / 0.12  # tokens of credit, of so many passes each


def test_good_guesses_do_not_pay_for_bad_ones_forever() -> None:
    speculation = Speculation(Always())
    for _ in range(100):
        speculation.learn(num_drafted=3, num_accepted=3)
    num_wasted = 0
    for i in range(100):
        guess = speculation.propose([0] * (10 + i), limit=8)
        num_wasted += len(guess)
        speculation.learn(num_drafted=len(guess), num_accepted=0)

    assert num_wasted <= (4 + 100 * 0.02) / 0.12


def test_a_costly_drafter_is_asked_less() -> None:
    free, costly = Speculation(Always()), Speculation(Always(price=0.3))

    assert len(free.propose([0], limit=9)) > len(costly.propose([0], limit=9)) > 0


def test_a_guess_is_no_longer_than_the_answer_may_be() -> None:
    speculation = Speculation(Always())

    assert len(speculation.propose([0], limit=1)) == 1
    assert speculation.propose([0], limit=0) == ()
    assert speculation.propose([0], limit=-1) == ()
