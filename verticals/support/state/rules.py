"""Scorers that were never trained: rules for an installation without the trained one, and the baselines of the figures.

Ignores everything that needs reading between the words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from verticals.support.state.candidates import NAMED_FEATURES, SLOT_FEATURES, Frame, Named, SlotView
from verticals.support.state.dialogue import Turn
from verticals.support.state.schema import Slot
from verticals.support.state.spans import SPAN_FEATURES, Span
from verticals.support.state.tracker import Probabilities

_ACCEPTS = re.compile(
    r"\b(?:yes|yeah|yep|sure|ok(?:ay)?|correct|right|perfect|great|fine|good|works|go ahead|sounds|that one|nice|"
    r"like (?:it|that))\b"
)
_REFUSES = re.compile(r"\b(?:no|nope|not|don't|other|another|else|instead|different|change)\b")
_PLACES = (  # words of a slot, and the word before its value
    (re.compile(r"\b(?:origin|from|leaving|starting|departure|departing)\b"), "from"),
    (re.compile(r"\b(?:destination|going|arriving|recipient)\b|\bto\b"), "to"),
    (re.compile(r"\b(?:city|area|location|where)\b"), "in"),
)
_PLACE = re.compile(r"\b(?:city|area|location|where|destination)\b")
_POINTS = re.compile(r"\b(?:there|here|same|that (?:city|area|place)|the area|nearby|around|too|also|a|an)\b")
_SEEKS = re.compile(r"\b(?:find|search|look|looking|book|want|need)\b")
_PLAIN = frozenset(
    ["has", "is", "the", "a", "an", "of", "whether", "to", "if", "for", "in", "with", "and", "or", "user", "not", "are"]
)


class RuleScorer:
    """Takes what the customer accepts, listed values they say, and values of a slot's kind or that were asked for."""

    def score(self, turn: Turn, frames: Sequence[Frame]) -> list[list[Probabilities]]:
        """One value with probability 1 for each slot."""
        said = turn.user.lower()
        accepts = bool(_ACCEPTS.search(said)) and not _REFUSES.search(said)
        return [[{_decide(frame, i, said, accepts): 1.0} for i in range(len(frame.slots))] for frame in frames]


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


def _decide(frame: Frame, slot_idx: int, said: str, accepts: bool) -> str | None:
    view = frame.slots[slot_idx]
    named = [candidate for candidate in frame.named if candidate.slot_idx == slot_idx]
    requested = bool(view.features[SLOT_FEATURES.index("requested")])
    if view.slot.is_boolean:
        return _decide_boolean(view.slot, said, requested, accepts)
    if view.slot.values:
        stated = [c for c in named if _has(c, "said as number" if _has(c, "number") else "said")]
        if stated and (view.kind != "number" or requested or len(_of_kind(frame, "number", listed=True)) == 1):
            return stated[-1].value
    elif (span := _choose_span(frame, view, said, requested)) is not None:
        return span.text
    if requested:
        return None
    filled = bool(view.features[SLOT_FEATURES.index("filled")])
    earlier = _is_required(view) and not filled
    offered = [c.value for c in named if _has(c, "named now") or (earlier and _has(c, "named earlier"))]
    return offered[0] if accepts and offered else None if filled else _copy(view, named, said)


def _copy(view: SlotView, named: Sequence[Named], said: str) -> str | None:
    """A place of another service, if the customer points to it."""
    if not (_is_required(view) and _PLACE.search(view.slot.text.lower()) and _POINTS.search(said)):
        return None
    return next(
        (c.value for c in reversed(named) if _has(c, "a wish elsewhere") and _PLACE.search(c.about.lower())), None
    )


def _decide_boolean(slot: Slot, said: str, requested: bool, accepts: bool) -> str | None:
    """What was asked is answered; what is spoken of unasked is wanted."""
    if requested:
        return str(accepts or not _REFUSES.search(said))
    if "?" in said and not _SEEKS.search(said):
        return None
    telling = set(slot.spoken_name.lower().split()) - _PLAIN
    return "True" if telling and all(word.removesuffix("s") in said for word in telling) else None


def _choose_span(frame: Frame, view: SlotView, said: str, requested: bool) -> Span | None:
    """The span of the slot's form, if it can be no other slot's; for names, the one behind a telling word."""
    if view.kind != "other":
        spans, alike = [s for s in frame.spans if s.kind == view.kind], _of_kind(frame, view.kind)
        if len(spans) == len(alike):
            return spans[alike.index(view)]
        return spans[0] if spans and (requested or len(alike) == 1) else None
    names = [span for span in frame.spans if span.kind == "other" and _is_whole_name(span)]
    text = view.slot.text.lower()
    for words, before in _PLACES:
        if words.search(text):
            placed = [span for span in names if said[: span.start].endswith(f" {before} ")]
            return placed[-1] if placed else (names[-1] if requested and len(names) == 1 else None)
    if not requested:
        return None
    spoken = [span for span in frame.spans if span.kind == "other"]
    return max(names or spoken, key=lambda span: span.end - span.start, default=None)


def _is_whole_name(span: Span) -> bool:
    features = dict(zip(SPAN_FEATURES, span.features, strict=True))
    whole = bool(features["all capitalised"]) and not features["cuts a name"]
    return whole and not (span.start == 0 and " " not in span.text and features["whole message"] < 0.8)


def _is_required(view: SlotView) -> bool:
    return bool(view.features[SLOT_FEATURES.index("required")])


def _of_kind(frame: Frame, kind: str, *, listed: bool = False) -> list[SlotView]:
    return [view for view in frame.slots if view.kind == kind and bool(view.slot.values) == listed]


def _last_named(frame: Frame, slot_idx: int) -> str | None:
    named = [candidate for candidate in frame.named if candidate.slot_idx == slot_idx]
    stated = [candidate.value for candidate in named if _has(candidate, "listed", "said")]
    offered = [candidate.value for candidate in named if _has(candidate, "named now")]
    return next(iter([*stated, *offered]), None)


def _has(candidate: Named, *features: str) -> bool:
    return all(candidate.features[NAMED_FEATURES.index(feature)] for feature in features)
