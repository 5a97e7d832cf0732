"""Follows a conversation: state + turn -> state. Ignores where probabilities come from, and what the state is for.

Pure and stateless: the caller keeps the state (it is plain values) wherever it keeps the session.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from verticals.support.state.candidates import Frame, build_frame
from verticals.support.state.dialogue import State, Turn
from verticals.support.state.schema import Service

Probabilities = Mapping[str | None, float]  # of each value; None is "no change"


class Scorer(Protocol):
    """Says how likely each value is."""

    def score(self, turn: Turn, frames: Sequence[Frame]) -> Sequence[Sequence[Probabilities]]:
        """By frame and slot, in their order."""


class StateTracker:
    """Tracks any services that are described in words.

    Args:
        services: All that may occur; a value may be copied from one to another.
    """

    def __init__(self, services: Iterable[Service], scorer: Scorer) -> None:
        self._services = {service.name: service for service in services}
        self._scorer = scorer

    @property
    def services(self) -> Mapping[str, Service]:
        """What is tracked, by name."""
        return self._services

    def update(self, state: State, turn: Turn, *, services: Iterable[str] | None = None) -> State:
        """The state after a turn; `state` itself is not changed.

        Args:
            services: Names of those that the turn may be about; all if None.
        Raises:
            KeyError: a service that was not described.
        """
        turn = turn.cut()
        asked = [self._services[name] for name in (self._services if services is None else services)]
        frames = [build_frame(service, turn, state, self._services) for service in asked]
        changes = {}
        for frame, slots in zip(frames, self._scorer.score(turn, frames), strict=True):
            best = {view.slot.name: max(p, key=p.__getitem__) for view, p in zip(frame.slots, slots, strict=True)}
            changes[frame.service.name] = {slot: value for slot, value in best.items() if value is not None}
        return state.after(turn.acts, changes)
