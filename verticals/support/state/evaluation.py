"""How well a tracker follows labelled dialogues, services seen and unseen in training apart. Ignores its training.

Intervals are 95 % percentiles of a bootstrap over dialogues, whose frames belong together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verticals.bootstrap import bootstrap_interval
from verticals.support.state.dialogue import State
from verticals.support.state.schema import Service
from verticals.support.state.scoring import frame_score
from verticals.support.state.sgd import Dialogue
from verticals.support.state.tracker import Scorer, StateTracker

GROUPS = ("all", "seen", "unseen")


@dataclass(frozen=True)
class Figure:
    """Mean joint goal accuracy (0-1) over `n` frames, with its interval."""

    value: float
    low: float
    high: float
    n: int


def joint_goal_accuracy(
    dialogues: Iterable[Dialogue], services: Mapping[str, Service], scorer: Scorer, *, seen: Iterable[str]
) -> dict[str, Figure]:
    """Follow each dialogue from its beginning with the tracker's own state; by group of services.

    Args:
        services: Of the dialogues, by name.
        seen: Names of those that were trained on.
    """
    tracker, known = StateTracker(services.values(), scorer), frozenset(seen)
    sums = np.array([_follow(dialogue, services, tracker, known) for dialogue in dialogues])
    return {group: _figure(sums[:, i]) for i, group in enumerate(GROUPS)}


def _follow(
    dialogue: Dialogue, services: Mapping[str, Service], tracker: StateTracker, seen: frozenset[str]
) -> NDArray[np.float64]:
    """(GROUPS, 2): sum of scores and number of frames."""
    sums, state = np.zeros((len(GROUPS), 2)), State()
    for labelled in dialogue.turns:
        state = tracker.update(state, labelled.turn, services=labelled.gold)
        for name, gold in labelled.gold.items():
            score = frame_score(gold, state.of(name), services[name])
            sums[[0, 1 if name in seen else 2]] += (score, 1)
    return sums


def _figure(sums: NDArray[np.float64]) -> Figure:
    low, high = bootstrap_interval(sums, _mean)
    return Figure(_mean(sums), low, high, int(sums[:, 1].sum()))


def _mean(sums: NDArray[Any]) -> float:
    frames = sums[:, 1].sum()
    return float(sums[:, 0].sum() / frames) if frames else float("nan")


def every(dialogues: Sequence[Dialogue], count: int) -> list[Dialogue]:
    """`count` dialogues, evenly spread over the order, which goes from one service to several."""
    return [dialogues[i] for i in np.linspace(0, len(dialogues) - 1, min(count, len(dialogues))).astype(int)]
