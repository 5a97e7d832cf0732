"""How the core's experts are used of late, and whether tokens are routed as they were. Ignores alarms and storage.

Counts since the start become windows of the last minutes. The first window with enough tokens of a model version is
its reference. Tokens of one text resemble each other, so counts are worth fewer independent ones: by the design effect
of the looks within both windows (`verticals.drift.design_effect`).
Shapes: N looks, E experts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core_model.expert_stats import LoadStats, describe_load, utilisation_sd
from service.operations.signals import Signal
from verticals.drift import Counts, Drift, compare, design_effect

WINDOW = 20  # looks with tokens: of late, and of a reference
ENOUGH = 2000  # tokens of a reference
MIN_LOOKS = 5  # with fewer, how much tokens resemble each other cannot be told

ByLayer = Mapping[int, Sequence[int]]


@dataclass(frozen=True)
class LayerHealth:
    """One layer of late. `drift` is None until there is a reference and enough to compare with it."""

    counts: tuple[int, ...]
    load: LoadStats
    utilisation_sd: float
    reference: tuple[int, ...] | None
    drift: Drift | None


class ExpertWatch:
    """Follows one model; another version starts anew.

    Args:
        reference: As `reference` gave it before a restart.
    """

    def __init__(self, reference: Mapping[str, Any] | None = None) -> None:
        self.version = str(reference["version"]) if reference else ""
        self._looks: deque[dict[int, list[int]]] = deque(maxlen=WINDOW)
        self._before: ByLayer = {}
        self._reference: dict[int, Counts] = {}
        if reference:
            self._reference = {int(layer): np.array(blocks) for layer, blocks in reference["layers"].items()}

    @property
    def reference(self) -> Mapping[str, Any] | None:
        """What a restart needs to compare with the same: JSON."""
        if not self._reference:
            return None
        layers = {str(layer): blocks.tolist() for layer, blocks in self._reference.items()}
        return {"version": self.version, "layers": layers}

    def look(self, counts: ByLayer, *, version: str, num_experts_per_tok: int) -> None:
        """Take the counts since the start."""
        if version != self.version:
            self.version, self._reference = version, {}
            self._looks.clear()
            self._before = counts
            return
        if not self._before or any(sum(counts[i]) < sum(self._before.get(i, ())) for i in counts):
            self._before = counts  # the first look of this process, or of a model that was loaded again
            return
        since = {i: [a - b for a, b in zip(counts[i], self._before[i], strict=True)] for i in counts}
        self._before = counts
        if any(sum(counts_E) for counts_E in since.values()):
            self._looks.append(since)
        if not self._reference and len(self._looks) == WINDOW and self._tokens(num_experts_per_tok) >= ENOUGH:
            self._reference = {i: self._blocks(i) for i in self._looks[0]}
            self._looks.clear()

    def layers(self, *, num_experts_per_tok: int) -> dict[int, LayerHealth]:
        """Each layer of late; nothing before the first tokens."""
        found = {}
        for i in self._looks[0] if self._looks else ():
            blocks_NE, reference_NE = self._blocks(i), self._reference.get(i)
            counts_E = blocks_NE.sum(axis=0)
            found[i] = LayerHealth(
                tuple(int(count) for count in counts_E),
                describe_load(counts_E),
                utilisation_sd(counts_E, num_experts_per_tok=num_experts_per_tok),
                None if reference_NE is None else tuple(int(count) for count in reference_NE.sum(axis=0)),
                None if reference_NE is None or len(blocks_NE) < MIN_LOOKS else _moved(reference_NE, blocks_NE),
            )
        return found

    def signals(self, *, num_experts_per_tok: int) -> list[Signal]:
        """The figures of the layer that is worst in each; their weight is the window's tokens."""
        layers = list(self.layers(num_experts_per_tok=num_experts_per_tok).values())
        if not layers:
            return []
        tokens = self._tokens(num_experts_per_tok)
        loads = [layer.load for layer in layers]
        figures = {
            "expert_utilisation_sd": max(layer.utilisation_sd for layer in layers),
            "expert_entropy_min": min(load.entropy for load in loads),
            "expert_gini_max": max(load.gini for load in loads),
            "expert_cv_max": max(load.cv for load in loads),
            "expert_dead_share": sum(load.num_dead for load in loads) / sum(len(layer.counts) for layer in layers),
        }
        if moved := [layer.drift.interval()[0] for layer in layers if layer.drift is not None]:
            figures["routing_drift"] = max(moved)
        return [Signal(name, "core", value, tokens) for name, value in figures.items()]

    def _tokens(self, num_experts_per_tok: int) -> float:
        first = next(iter(self._looks[0]))
        return sum(sum(look[first]) for look in self._looks) / max(num_experts_per_tok, 1)

    def _blocks(self, layer_idx: int) -> Counts:
        return np.array([look[layer_idx] for look in self._looks])


def _moved(reference_NE: Counts, now_NE: Counts) -> Drift:
    effect = max(design_effect(reference_NE), design_effect(now_NE))
    return compare(reference_NE.sum(axis=0) / effect, now_NE.sum(axis=0) / effect)
