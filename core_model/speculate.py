"""Speculative decoding: guess the next tokens, let the model check all guesses in one pass (arXiv:2211.17192).

The answer stays what it would have been: after each token the model's own next one is sampled, and a guess only saves a
pass if it is that token. For a guess that is one token and no distribution this is the paper's rejection sampling: the
guess is taken with the probability that the model gives it, and else another is drawn from the rest. So penalties,
grammars and seeds hold as they do without. Ignores tensors; `core_model/draft_models.py` guesses with models.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

_MAX_DRAFT = 15  # tokens of one guess
_PRICE = 0.12  # of checking one more token, in passes with one token: the embedded model in int8 on a CPU
_CREDIT = 1.0  # tokens that guessing may lose at first
_ALLOWANCE = 0.02  # and with each token of the answer
_MOST_CREDIT = 4.0  # so that guessing ends soon where it no longer pays


class Drafter(Protocol):
    """Guesses how one answer goes on."""

    @property
    def price(self) -> float:
        """What guessing a token costs, in passes of the model that checks it."""

    def propose(self, token_ids: Sequence[int], limit: int) -> Sequence[int]:
        """Up to `limit` tokens (1 or more) that may follow `token_ids`: the prompt and the answer so far.

        From call to call `token_ids` only grows; what it grew by says which guesses were right.
        """

    def observe(self, start: int, hidden_ND: Any) -> None:
        """What the model made of the tokens from number `start` on, whether prompt, answer or right guesses."""

    def end(self) -> None:
        """The answer is complete, or nobody wants it any more."""


class PromptLookup:
    """What followed the last tokens where they stood before, in the prompt or the answer (Saxena 2023).

    Right where an answer quotes its sources, repeats a name, or runs in a circle. The longest match counts, of matches
    alike the latest.

    Args:
        max_n: Tokens that are compared at most.
        min_n: And at least; fewer match often, and say little about what follows.
    """

    price = 0.0

    def __init__(self, *, max_n: int = 6, min_n: int = 2) -> None:
        if not 1 <= min_n <= max_n:
            raise ValueError(f"min_n: must be 1 to max_n={max_n} (got {min_n}). Leave both out for the usual ones.")
        self._sizes = range(max_n, min_n - 1, -1)
        self._followers: dict[tuple[int, ...], int] = {}  # some tokens in a row -> where their latest follower stands
        self._num_indexed = 1

    def propose(self, token_ids: Sequence[int], limit: int) -> Sequence[int]:
        """As in `Drafter`; costs microseconds but for the first call, which reads the prompt."""
        for follower in range(self._num_indexed, len(token_ids)):
            for n in self._sizes:
                if n <= follower:
                    self._followers[tuple(token_ids[follower - n : follower])] = follower
        self._num_indexed = max(self._num_indexed, len(token_ids))
        found = (self._followers.get(tuple(token_ids[-n:])) for n in self._sizes)
        first = next((follower for follower in found if follower is not None), None)
        if first is None:
            return ()
        guess = list(token_ids[first : first + limit])
        while len(guess) < limit:  # the match reaches the end: it repeats itself
            guess.append(guess[first - len(token_ids)])
        return guess

    def observe(self, start: int, hidden_ND: Any) -> None:
        """Nothing to learn from."""

    def end(self) -> None:
        """Nothing to give back."""


class Speculation:
    """How far to guess, for one request: further after right guesses, less after wrong ones, and within a budget.

    Guessing and checking a token has its price, right or wrong, and each right token saves a pass. The difference is
    kept as credit, and without credit nothing is guessed: so guessing that never helps costs the time of one token, and
    2 % of the answer's.
    """

    def __init__(self, drafter: Drafter) -> None:
        self.drafter = drafter
        self._price = _PRICE + drafter.price
        self._length, self._credit, self._num_seen = 3, _CREDIT, 0

    def propose(self, token_ids: Sequence[int], *, limit: int) -> tuple[int, ...]:
        """A guess of at most `limit` tokens; often none."""
        self._earn(_ALLOWANCE * (len(token_ids) - self._num_seen) if self._num_seen else 0.0)
        self._num_seen = len(token_ids)
        affordable = min(self._length, limit, int(self._credit / self._price))
        return tuple(self.drafter.propose(token_ids, affordable)) if affordable > 0 else ()

    def learn(self, *, num_drafted: int, num_accepted: int) -> None:
        """Take note of how many tokens of a guess were checked, and were right; no guess changes nothing."""
        if not num_drafted:
            return
        self._earn(num_accepted - self._price * num_drafted)
        if num_accepted == num_drafted:
            self._length = min(2 * self._length + 1, _MAX_DRAFT)
        else:
            self._length = max(num_accepted, 1)

    def _earn(self, credit: float) -> None:
        self._credit = min(self._credit + credit, _MOST_CREDIT)
