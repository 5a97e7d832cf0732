"""Rebalancing on demand: from counted load to new selection biases and a placement of experts. Ignores training.

Two remedies with different costs. A placement moves experts between devices and changes no answer. New biases change
which experts are chosen for tokens near a tie, so answers may change a little: steps are bounded, the result is a new
set of tensors, and whoever serves it gives it a new version. Shapes: E experts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from core_model.expert_stats import LoadStats, describe_layers
from core_model.model import Decoder
from core_model.moe import MoE
from core_model.placement import Placement, plan_layers
from core_model.runner import ModelRunner
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


class Rebalanced(Protocol):
    """An `Engine`, or a `ServedModel`."""

    @property
    def model_version(self) -> str: ...

    def between_steps(self, change: Callable[[ModelRunner], str | None]) -> None: ...


def rebalance_engine(engine: Rebalanced, *, strength: float = 0.02, max_change: float = 0.05) -> Rebalance:
    """One step of `rebalance` on a running engine, over what it counted since the last such step.

    All layers change at once, between two steps of the engine. The new biases are part of its version
    ("model-int8+bias-1a2b3c4d"), so nothing that was cached under the old ones is used; they last until it is loaded
    again. Without biases to change (softmax routers, no tokens yet), the version stays.

    Raises:
        ValueError: as `rebalance`.
        EngineStopped: it is not running.
    """
    plans: list[Rebalance] = []

    def change(runner: ModelRunner) -> str | None:
        biases, counts = selection_biases(runner.decoder), runner.expert_counts()
        since = {i: _minus(counts_E, runner.balanced_at.get(i)) for i, counts_E in counts.items()}
        plan = rebalance(biases, since, strength=strength, max_change=max_change)
        plans.append(plan)
        if not plan.biases:
            return None
        set_selection_biases(runner.decoder, plan.biases)
        runner.balanced_at = counts
        return f"{engine.model_version.partition(_MARK)[0]}{_MARK}{_digest({**biases, **plan.biases})}"

    engine.between_steps(change)
    return plans[-1]


def selection_biases(decoder: Decoder) -> dict[str, Tensor]:
    """The biases that a decoder chooses experts by, by name."""
    return {
        bias_name(i): layer.mlp.gate.correction_E
        for i, layer in enumerate(decoder.layers)
        if isinstance(layer.mlp, MoE) and layer.mlp.gate.correction_E is not None
    }


def set_selection_biases(decoder: Decoder, biases: Mapping[str, Tensor]) -> None:
    """Replace them; the tensors that they were loaded from stay as they are.

    Raises:
        ValueError: a name or shape that the decoder does not have; then nothing is changed.
    """
    if decoder.share.size > 1:
        raise ValueError("biases: cannot be changed in a model on several devices. Load one with new biases.")
    old = selection_biases(decoder)
    for name, bias_E in biases.items():
        if name not in old or old[name].shape != bias_E.shape:
            raise ValueError(f"biases: {name} {tuple(bias_E.shape)} does not fit this model. Plan with its own biases.")
    for i, layer in enumerate(decoder.layers):
        if isinstance(layer.mlp, MoE) and bias_name(i) in biases:
            layer.mlp.gate.correction_E = biases[bias_name(i)].float().to(decoder.device)


_MARK = "+bias-"


def _minus(counts_E: Sequence[int], before_E: Sequence[int] | None) -> list[int]:
    return [now - before for now, before in zip(counts_E, before_E or [0] * len(counts_E), strict=True)]


def _digest(biases: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(biases):
        digest.update(f"{name}\0".encode() + biases[name].float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:8]
