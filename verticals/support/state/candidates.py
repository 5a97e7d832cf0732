"""The values that a slot could take after a turn, each with what is known of it. Ignores which one is right.

Three sources: stretches of the customer's message (for slots without a list of values), the listed values, and values
already named: by the system for this slot, or for any slot of another service (Heck 2020, arXiv:2005.02877, copies
from the same three places).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from verticals.support.state.dialogue import Act, State, Turn
from verticals.support.state.schema import Service, Slot
from verticals.support.state.spans import KINDS, NUMBER_WORDS, Kind, Span, find_spans

_NAMING = ("CONFIRM", "OFFER", "INFORM", "REQUEST")  # acts that may name a value
_SLOT_KINDS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("money", re.compile(r"\b(?:amount|price|cost|fare|money|balance|total|fee)\b")),
    ("code", re.compile(r"\b(?:id|code)\b")),
    ("date", re.compile(r"\b(?:date|day)\b")),
    ("time", re.compile(r"\btime\b")),
    ("number", re.compile(r"\bnumber of (?!the\b)|\bhow many\b|\brating\b|\bcount\b")),
)
_WORD = re.compile(r"[^\W_]+")
SLOT_FEATURES = (  # the kinds in the order of KINDS
    *("requested", "requested with others", "named now", "confirmed now", "named earlier", "filled"),
    *("listed", "boolean", "required", "service new", "service acted", "offers intent"),
    *(f"kind {kind}" for kind in KINDS[:-1]),
)
NAMED_FEATURES = (
    *("listed", "named now", "named earlier", "elsewhere", "is current"),
    *("by CONFIRM", "by OFFER", "by INFORM", "by REQUEST"),
    *("said", "said as number", "share said", "in system message", "same slot name", "a wish elsewhere", "number"),
    *("true", "false"),
)


@dataclass(frozen=True)
class SlotView:
    """A slot in a turn: `features` as in SLOT_FEATURES."""

    slot: Slot
    kind: Kind
    features: tuple[float, ...]


@dataclass(frozen=True)
class Named:
    """A value that needs no reading of the message.

    Attributes:
        slot_idx: Of the slot that may take it, in `Frame.slots`.
        about: The text that stands for it: the listed value, or the slot from which it would be copied.
        features: As in NAMED_FEATURES.
    """

    slot_idx: int
    value: str
    about: str
    features: tuple[float, ...]


@dataclass(frozen=True)
class Frame:
    """A service in a turn: its slots, spans that any slot without listed values may take, and named values."""

    service: Service
    slots: tuple[SlotView, ...]
    spans: tuple[Span, ...]
    named: tuple[Named, ...]


def build_frame(service: Service, turn: Turn, state: State, services: Mapping[str, Service]) -> Frame:
    """Every candidate for every slot that the service takes.

    Args:
        service: One of the turn's.
        state: Before the turn.
        services: All that `state` and the acts may name, by name; others are ignored.
    """
    acts = [act for act in turn.acts if act.service == service.name]
    slots = tuple(_view(slot, service, acts, state) for slot in service.inputs)
    named: list[Named] = []
    said = _Said(turn)
    elsewhere = list(_elsewhere(service, turn, state, services))
    for slot_idx, view in enumerate(slots):
        named += _candidates(slot_idx, view.slot, service, acts, state, said, elsewhere)
    return Frame(service, slots, find_spans(turn.user), tuple(named))


def slot_kind(slot: Slot) -> Kind:
    """What a slot's own words say about the form of its values."""
    text = slot.text.lower()
    return next((kind for kind, rule in _SLOT_KINDS if rule.search(text)), "other")


def _view(slot: Slot, service: Service, acts: list[Act], state: State) -> SlotView:
    requested = {act.slot for act in acts if act.kind == "REQUEST"}
    now = {act.kind for act in acts if act.slot == slot.name and act.value}
    kind = slot_kind(slot)
    features = (
        slot.name in requested,
        slot.name in requested and len(requested) > 1,
        bool(now),
        "CONFIRM" in now,
        slot.name in state.offers.get(service.name, {}),
        slot.name in state.of(service.name),
        bool(slot.values),
        slot.is_boolean,
        any(slot.name in intent.required for intent in service.intents),
        not state.of(service.name),
        bool(acts),
        any(act.kind == "OFFER_INTENT" for act in acts),
        *(kind == other for other in KINDS[:-1]),
    )
    return SlotView(slot, kind, tuple(map(float, features)))


class _Said:
    """What is found in the words of a turn."""

    def __init__(self, turn: Turn) -> None:
        self.user, self.system = _spaced(turn.user), _spaced(turn.system)
        self.words = set(self.user.split())
        self.numbers = {NUMBER_WORDS.get(s.text.lower(), s.text) for s in find_spans(turn.user) if s.kind == "number"}


@dataclass(frozen=True)
class _Elsewhere:
    """A value of a slot of another service: wished by the customer, or named by the system."""

    slot: Slot
    value: str
    wished: bool
    now: bool


def _elsewhere(service: Service, turn: Turn, state: State, services: Mapping[str, Service]) -> Iterator[_Elsewhere]:
    by_name = {
        name: {slot.name: slot for slot in other.slots} for name, other in services.items() if name != service.name
    }
    for name, slots in by_name.items():
        wished = state.of(name)
        offered = dict(state.offers.get(name, {}))
        now = {act.slot: act.value for act in turn.acts if act.service == name and act.value}
        for slot_name, value in wished.items():
            if slot_name in slots:
                yield _Elsewhere(slots[slot_name], value, wished=True, now=now.get(slot_name) == value)
        for slot_name, value in {**offered, **now}.items():
            if slot_name in slots and wished.get(slot_name) != value:
                yield _Elsewhere(slots[slot_name], value, wished=False, now=slot_name in now)


def _candidates(
    slot_idx: int, slot: Slot, service: Service, acts: list[Act], state: State, said: _Said, elsewhere: list[_Elsewhere]
) -> Iterator[Named]:
    now = {act.value: act.kind for act in acts if act.slot == slot.name and act.value}
    earlier = state.offers.get(service.name, {}).get(slot.name)
    current = state.of(service.name).get(slot.name)

    def named(value: str, about: str, *, listed: bool = False, copied: _Elsewhere | None = None) -> Named:
        features = (
            listed,
            value in now,
            value == earlier,
            copied is not None,
            value == current,
            *(now.get(value) == kind for kind in _NAMING),
            *_word_features(value, said),
            copied is not None and copied.slot.name == slot.name,
            copied is not None and copied.wished,
            value.isdigit(),
            value == "True",
            value == "False",
        )
        return Named(slot_idx, value, about, tuple(map(float, features)))

    if slot.values:
        for value in slot.values:
            same = next((other for other in elsewhere if other.value == value and not slot.is_boolean), None)
            yield named(value, value_text(slot, value), listed=True, copied=same)
        return
    for value in dict.fromkeys([*now, *([earlier] if earlier else [])]):
        yield named(value, slot.text)
    for other in elsewhere:
        if not other.slot.values:
            yield named(other.value, other.slot.text, copied=other)


def value_text(slot: Slot, value: str) -> str:
    """A listed value in words that can be embedded."""
    answer = {"True": "yes", "False": "no"}.get(value, value) if slot.is_boolean else value
    return f"{slot.spoken_name}: {answer}"


def _word_features(value: str, said: _Said) -> tuple[float, float, float, float]:
    text = _spaced(value)
    words = text.split()
    return (
        float(text in said.user),
        float(value in said.numbers),
        sum(word in said.words for word in words) / max(1, len(words)),
        float(text in said.system),
    )


def _spaced(text: str) -> str:
    """Words in lower case, each between blanks, so that whole words are found in it."""
    return f" {' '.join(_WORD.findall(text.lower()))} "
