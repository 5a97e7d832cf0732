"""Is this request harmful? A logistic head on the sentence vector that retrieval computes anyway, and rules beside it.

A rule alone refuses nobody where the head can read: "your driver was racist to me" has the words and is a complaint. It
lowers the bar for the head instead. Where the head cannot read (no embedder, Chinese), the rules decide. Ignores what
is done with a harmful request.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrieval.embed import Embedder
from verticals.support.safety.harm_rules import Category, match_rules
from verticals.support.safety.head import open_head
from verticals.support.safety.reveal import reveal

HEAD = "harm"
RULE_FACTOR = 0.5  # share of the threshold that is enough where a rule agrees
WINDOW_CHARS = 300  # a harmful sentence would drown in the mean over a long message
MAX_WINDOWS = 16  # bounds the cost of the longest message; what exceeds the embedder's 256 tokens is small
_CUT = re.compile(r"(?<=[.!?。！？])\s*|\n+")
_CHINESE = re.compile(r"[\u3400-\u9fff]")


@dataclass(frozen=True)
class Judgement:
    """`category` is None for an ordinary request. `probability` is the head's, 0 if it was not asked."""

    category: Category | None
    probability: float


class RequestClassifier:
    """Judges customers' messages.

    Args:
        embedder: Of the vectors that the shipped head was fitted to; the rules decide alone if None.
    Raises:
        ValueError: it is another embedder.
    """

    def __init__(self, embedder: Embedder | None) -> None:
        self._embedder = embedder
        self._head = open_head(HEAD, embedder)

    def judge(self, text: str, *, vector_D: NDArray[np.float32] | None = None) -> Judgement:
        """Judge one message; a long one by its worst part.

        Args:
            text: The customer's words.
            vector_D: Their embedding, (dim,), if somebody has computed it: a short message then costs no model.
        """
        revealed = reveal(text)
        rule = match_rules(revealed)
        if rule is Category.SELF_HARM or self._head is None or _CHINESE.search(revealed):
            return Judgement(rule, 0.0)
        parts = windows(revealed)
        if vector_D is not None and parts == [text.strip()]:
            vectors_ND = vector_D[None]
        else:
            assert self._embedder is not None
            vectors_ND = self._embedder.embed(parts)
        probability = float(self._head.probabilities(vectors_ND).max(initial=0.0))
        bar = self._head.threshold * (RULE_FACTOR if rule else 1.0)
        return Judgement((rule or Category.OTHER) if probability >= bar else None, probability)


def windows(text: str) -> Sequence[str]:
    """A short text as it is; of a longer one its sentences, short ones together, so that there are few.

    A sentence longer than `WINDOW_CHARS`, or than a sixteenth of the text, is cut.
    """
    if len(text) <= WINDOW_CHARS:
        return [text.strip()] if text.strip() else []
    share = len(text) // MAX_WINDOWS
    stretches: list[str] = []
    for sentence in filter(None, (part.strip() for part in _CUT.split(text))):
        for start in range(0, len(sentence), max(share, WINDOW_CHARS)):
            piece = sentence[start : start + max(share, WINDOW_CHARS)]
            if stretches and len(stretches[-1]) + 1 + len(piece) <= share:
                stretches[-1] += f" {piece}"
            else:
                stretches.append(piece)
    return stretches
