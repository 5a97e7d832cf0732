"""Scorers that were never trained: rules for an installation without the trained one, and the baselines of the figures.

Ignores everything that needs reading between the words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from verticals.support.state.candidates import NAMED_FEATURES, SLOT_FEATURES, Frame, Named, SlotView
from verticals.support.state.dialogue import Turn
from verticals.support.state.spans import Span
from verticals.support.state.tracker import Probabilities

_ACCEPTS = re.compile(
    r"\b(?:yes|yeah|yep|sure|ok(?:ay)?|correct|right|perfect|great|fine|good|works|go ahead|sounds|that one)\b"
)
_REFUSES = re.compile(r"\b(?:no|nope|not|don't|other|another|else|instead|different|change)\b")


class RuleScorer:
    """Takes what the customer accepts, listed values they say, and values of a slot's kind or that were asked for."""

    def score(self, turn: Turn, frames: Sequence[Frame]) -> list[list[Probabilities]]:
        """One value with probability 1 for each slot."""
        said = turn.user.lower()
        accepts = bool(_ACCEPTS.search(said)) and not _REFUSES.search(said)
        return [[{_decide(frame, i, accepts): 1.0} for i in range(len(frame.slots))] for frame in frames]


class CopyLastValue:
    """A baseline: each slot holds the last value that either side named for it word for word, whatever was meant.

    The system names values in its acts; the customer by saying a listed value.
    """

    def score(self, turn: Turn, frames: Sequence[Frame]) -> list[list[Probabilities]]:
        """One value with probability 1 for each slot."""
        return [[{_last_named(frame, i): 1.0} for i in range(len(frame.slots))] for frame in frames]


class NoChange:
    """A baseline: nothing is ever known."""

    def score(self, turn: Turn, frames: Sequence[Frame]) -> list[list[Probabilities]]:
        """ "No change" with probability 1 for each slot."""
        return [[{None: 1.0} for _ in frame.slots] for frame in frames]


def _decide(frame: Frame, slot_idx: int, accepts: bool) -> str | None:
    view = frame.slots[slot_idx]
    named = [candidate for candidate in frame.named if candidate.slot_idx == slot_idx]
    stated = [candidate.value for candidate in named if _has(candidate, "listed", "said")]
    stated += [candidate.value for candidate in named if _has(candidate, "listed", "said as number")]
    if stated and not view.slot.is_boolean:
        return stated[0]
    requested = bool(view.features[SLOT_FEATURES.index("requested")])
    if view.slot.is_boolean:
        return str(accepts) if requested else None
    if spans := list(_of_kind(frame, view, alone=requested)):
        return spans[0].text
    offered = [candidate.value for candidate in named if _has(candidate, "named now") and not _has(candidate, "listed")]
    return offered[0] if accepts and offered and not requested else None


def _of_kind(frame: Frame, view: SlotView, *, alone: bool) -> Iterator[Span]:
    """Spans of the slot's kind, if no other slot has it; the longest name if the slot was asked for."""
    same_kind = [other for other in frame.slots if other.kind == view.kind and not other.slot.values]
    if view.slot.values:
        return
    if view.kind != "other":
        if alone or len(same_kind) == 1:
            yield from (span for span in frame.spans if span.kind == view.kind)
    elif alone:
        yield from sorted((s for s in frame.spans if s.kind == "other"), key=lambda s: s.start - s.end)


def _last_named(frame: Frame, slot_idx: int) -> str | None:
    named = [candidate for candidate in frame.named if candidate.slot_idx == slot_idx]
    stated = [candidate.value for candidate in named if _has(candidate, "listed", "said")]
    offered = [candidate.value for candidate in named if _has(candidate, "named now")]
    return next(iter([*stated, *offered]), None)


def _has(candidate: Named, *features: str) -> bool:
    return all(candidate.features[NAMED_FEATURES.index(feature)] for feature in features)
