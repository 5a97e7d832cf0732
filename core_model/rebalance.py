"""Rebalancing on demand: from counted load to new selection biases and a placement of experts. Changes no decoder.

Two remedies with different costs. A placement moves experts between devices and changes no answer. New biases change
which experts are chosen for tokens near a tie, so answers may change a little: steps are bounded, the result is a new
set of tensors, and whoever serves it gives it a new version. Shapes: E experts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core_model.expert_stats import LoadStats, describe_layers
from core_model.placement import Placement, plan_layers
from core_model.train.balance import update_bias


@dataclass(frozen=True)
class Rebalance:
    """What to change, and why. `biases` are checkpoint tensors by name; the rest is by layer index."""

    biases: dict[str, Tensor]
    placements: dict[int, Placement]
    load: dict[int, LoadStats]  # as counted, before any change


def bias_name(layer_idx: int) -> str:
    """Where GLM-4-MoE and DeepSeek-V3 keep a layer's selection bias."""
    return f"model.layers.{layer_idx}.mlp.gate.e_score_correction_bias"


def rebalance(
    tensors: Mapping[str, Tensor],
    counts: Mapping[int, Sequence[int]],
    *,
    strength: float = 0.02,
    max_change: float = 0.05,
    num_devices: int = 1,
    num_spare_slots: int = 0,
) -> Rebalance:
    """Plan one step; count again before the next.

    Args:
        tensors: The checkpoint's selection biases, (E,), by name; other tensors are ignored. Routers without a bias
            (softmax families) keep their choice and get a placement only.
        counts: Tokens per expert by MoE layer, from `Decoder.expert_counts()`.
        strength: Bias for an expert without any token; others in proportion to their shortfall (arXiv:2408.15664).
        max_change: Bound of one expert's step. Sigmoid scores lie in 0-1, so 0.05 decides only near ties.
        num_devices, num_spare_slots: For `placement.plan_placement`.

    Raises:
        ValueError: counts that do not fit the biases, a strength or bound that is not positive, or a bad placement.
    """
    if strength <= 0 or max_change <= 0:
        raise ValueError(f"strength, max_change: must be above 0 (got {strength} and {max_change}).")
    load = describe_layers(counts)
    biases = {}
    for layer_idx in load:
        name = bias_name(layer_idx)
        if name not in tensors or not load[layer_idx].num_pairs:
            continue
        bias_E, counts_E = tensors[name].float(), torch.tensor(counts[layer_idx], dtype=torch.float32)
        if bias_E.shape != counts_E.shape:
            raise ValueError(
                f"counts: layer {layer_idx} has {len(bias_E)} experts (got {len(counts_E)}). Count with the same model."
            )
        step_E = update_bias(torch.zeros_like(bias_E), counts_E, rate=strength, rule="proportional", max_abs=max_change)
        biases[name] = bias_E + step_E
    return Rebalance(biases, plan_layers(counts, num_devices=num_devices, num_spare_slots=num_spare_slots), load)
