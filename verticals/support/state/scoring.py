"""Joint goal accuracy as the DSTC8 scorer counts it (Rastogi 2020, arXiv:2002.01359). Ignores intents and requests.

The rule, from `schema_guided_dst/metrics.py` and `evaluate.py` of google-research: a frame (one service in one turn of
the user) scores the product over all slots of the service. A slot that is empty in both scores 1, in one of them 0; a
categorical slot 1 if the values are equal, else 0; any other slot the best fuzzy similarity (0-1, not rounded to a hit)
with a wording of the right value. Scores are averaged over frames.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from functools import lru_cache
from math import prod

from verticals.support.state.schema import Service


def frame_score(gold: Mapping[str, Sequence[str]], predicted: Mapping[str, str], service: Service) -> float:
    """Score of one frame, 0-1.

    Args:
        gold: Wordings of the right value, by slot.
        predicted: One value by slot.
    """
    return prod(_slot_score(gold.get(s.name), predicted.get(s.name), bool(s.values)) for s in service.slots)


@lru_cache(maxsize=100_000)
def similarity(reference: str, value: str) -> float:
    """fuzzywuzzy's `token_sort_ratio` / 100: words sorted, then 2 x matching characters / all characters, in per cent.

    Letter case, punctuation and characters outside ASCII do not count; nothing in common with an empty text.
    """
    first, second = _sorted_words(reference), _sorted_words(value)
    if first == second:
        return 1.0
    return round(100 * SequenceMatcher(None, first, second).ratio()) / 100


def _slot_score(gold: Sequence[str] | None, predicted: str | None, is_categorical: bool) -> float:
    if gold is None or predicted is None:
        return float(gold is None and predicted is None)
    if is_categorical:
        return float(gold[0] == predicted)
    return max(similarity(wording, predicted) for wording in gold)


def _sorted_words(text: str) -> str:
    ascii_only = text.encode("ascii", "ignore").decode()
    return " ".join(sorted(re.sub(r"\W", " ", ascii_only).lower().split()))
