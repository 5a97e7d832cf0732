"""A turn and the state before and after it, as plain values. Ignores how the state is found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

Source = Literal["value", "offer"]
MAX_CHARS = 2_000  # of a message that are read: of the customer's the first, of the system's the last

Values = Mapping[str, Mapping[str, str]]  # service -> slot -> value


@dataclass(frozen=True)
class Act:
    """What the system did in its last message, as it knows itself.

    Attributes:
        kind: REQUEST, CONFIRM, OFFER, INFORM or another act of arXiv:1909.05855, table 4.
        slot: Empty for acts about no slot.
        value: As said; empty if the act has none.
    """

    service: str
    kind: str
    slot: str = ""
    value: str = ""


@dataclass(frozen=True)
class Turn:
    """The customer's message, and the system's message and acts that it answers (none at the start)."""

    user: str
    system: str = ""
    acts: tuple[Act, ...] = ()

    def cut(self) -> Turn:
        """The turn with no more than MAX_CHARS of each message."""
        return replace(self, user=self.user[:MAX_CHARS], system=self.system[-MAX_CHARS:])


@dataclass(frozen=True)
class State:
    """What is known after a turn.

    Attributes:
        values: What the customer wants, by service and slot.
        offers: The last value that the system itself named, by service and slot.
    """

    values: Values = field(default_factory=dict)
    offers: Values = field(default_factory=dict)

    def of(self, service: str) -> Mapping[str, str]:
        """Slot values of a service; empty if nothing is known."""
        return self.values.get(service, {})

    def after(self, acts: tuple[Act, ...], changes: Values) -> State:
        """The state with `changes` to the values, and the values that `acts` name among the offers."""
        offers = {service: dict(slots) for service, slots in self.offers.items()}
        for act in acts:
            if act.slot and act.value:
                offers.setdefault(act.service, {})[act.slot] = act.value
        values = {**self.values, **{name: {**self.of(name), **slots} for name, slots in changes.items() if slots}}
        return State(values, offers)
