"""Which device holds which expert, so that devices are equally busy: copy the busiest, then pack. Moves no weights.

The greedy balancer of DeepSeek's EPLB (DeepSeek-V3, arXiv:2412.19437, 3.4): spare slots go to copies of the experts
with most load per copy; copies are packed, heaviest first, onto the least busy device that has a free slot.
Shapes: E experts, S slots in all, N devices.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Placement:
    """Experts of each device, every device with the same number of slots.

    `load_N` is what each device computes if the counted load comes again and copies share it evenly.
    """

    experts_of_device: tuple[tuple[int, ...], ...]
    load_N: tuple[float, ...]

    @property
    def max_over_mean(self) -> float:
        """Load of the busiest device over the mean, 1 or more: the slow-down that placement leaves."""
        mean = sum(self.load_N) / len(self.load_N)
        return max(self.load_N) / mean if mean else 1.0


def place_in_order(counts_E: ArrayLike, *, num_devices: int) -> Placement:
    """The usual placement, to compare with: device 0 takes the first E / N experts, and so on.

    Raises:
        ValueError: num_devices does not divide the number of experts.
    """
    counts = np.asarray(counts_E, dtype=np.float64)
    _require_division(len(counts), num_devices, "experts")
    experts = np.arange(len(counts)).reshape(num_devices, -1)
    return Placement(tuple(tuple(int(e) for e in row) for row in experts), tuple(counts[experts].sum(1).tolist()))


def plan_placement(counts_E: ArrayLike, *, num_devices: int, num_spare_slots: int = 0) -> Placement:
    """Balance one layer.

    Args:
        counts_E: Token-expert pairs per expert, (E,).
        num_devices: Devices that share the layer.
        num_spare_slots: Slots beyond one per expert, for copies of busy experts.

    Raises:
        ValueError: the slots cannot be shared evenly, or a negative number of spare slots.
    """
    counts = np.asarray(counts_E, dtype=np.float64)
    if num_spare_slots < 0:
        raise ValueError(f"num_spare_slots: must be 0 or more (got {num_spare_slots}).")
    num_slots = len(counts) + num_spare_slots
    _require_division(num_slots, num_devices, "slots")
    copies = _copies(counts, num_spare_slots)
    expert_S = np.repeat(np.arange(len(counts)), copies)
    load_S = (counts / copies)[expert_S]

    held: list[list[int]] = [[] for _ in range(num_devices)]
    load_N = np.zeros(num_devices)
    for slot in np.argsort(-load_S, kind="stable"):
        free = [n for n in range(num_devices) if len(held[n]) < num_slots // num_devices]
        # Two copies on one device help nobody: prefer a device without one.
        device = min(free, key=lambda n: (int(expert_S[slot]) in held[n], load_N[n], n))
        held[device].append(int(expert_S[slot]))
        load_N[device] += load_S[slot]
    return Placement(tuple(tuple(sorted(row)) for row in held), tuple(load_N.tolist()))


def plan_layers(counts: Mapping[int, ArrayLike], *, num_devices: int, num_spare_slots: int = 0) -> dict[int, Placement]:
    """`plan_placement` for each MoE layer, by layer index."""
    return {
        layer_idx: plan_placement(counts_E, num_devices=num_devices, num_spare_slots=num_spare_slots)
        for layer_idx, counts_E in sorted(counts.items())
    }


def _copies(counts_E: NDArray[np.float64], num_spare_slots: int) -> NDArray[np.int64]:
    copies = np.ones(len(counts_E), dtype=np.int64)
    for _ in range(num_spare_slots):
        copies[np.argmax(counts_E / copies)] += 1
    return copies


def _require_division(number: int, num_devices: int, what: str) -> None:
    if num_devices < 1 or number % num_devices:
        raise ValueError(f"num_devices: must divide the {number} {what} (got {num_devices}).")
