"""The core's mixture-of-experts blocks as a judge of nodule candidates, on the features that the trees get.

Shapes: C candidates, F features, D width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from numpy.typing import NDArray
from torch import Tensor

from core_model.config import ModelConfig
from core_model.moe import MoE
from core_model.norm import RMSNorm
from core_model.weights import Weights
from verticals.medical.ct.training import Observation, Scorer

_DIM, _LAYERS, _EXPERTS, _PER_TOKEN, _EXPERT_DIM = 32, 2, 4, 2, 32
_STEPS, _BATCH, _RATE, _DECAY = 400, 256, 2e-3, 0.05
_POSITIVES = 0.25  # of each batch: nodules are rare among candidates
_CORRECTION = "e_score_correction_bias"


def expert_scorer(scans: Sequence[Observation]) -> Scorer:
    """Two blocks of experts that learned from these scans, as a function of (C, F)."""
    rows = np.concatenate([scan.features_CF for scan in scans])
    labels = torch.from_numpy(np.concatenate([scan.labels for scan in scans])).float()
    mean, spread = rows.mean(axis=0), rows.std(axis=0) + 1e-6
    x_CF = _scaled(rows, mean, spread)
    draw = torch.Generator().manual_seed(0)
    made = _first(x_CF.shape[1], draw)
    learned = [tensor.requires_grad_() for name, tensor in made.items() if not name.endswith(_CORRECTION)]
    optimizer = torch.optim.AdamW(learned, lr=_RATE, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, _STEPS, pct_start=0.15)
    yes, no = torch.nonzero(labels)[:, 0], torch.nonzero(labels == 0)[:, 0]
    for _ in range(_STEPS):
        num_yes = int(_BATCH * _POSITIVES)
        picked = [part[torch.randint(len(part), (n,), generator=draw)] for part, n in ((yes, num_yes), (no, _BATCH))]
        batch = torch.cat(picked)
        noisy_CF = x_CF[batch] + 0.05 * torch.randn(len(batch), x_CF.shape[1], generator=draw)
        loss = F.binary_cross_entropy_with_logits(_logits(made, noisy_CF), labels[batch])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()

    @torch.inference_mode()
    def score(features_CF: NDArray[np.float64]) -> NDArray[np.float64]:
        if not len(features_CF):
            return np.zeros(0)
        return np.asarray(_logits(made, _scaled(features_CF, mean, spread)).double().numpy())

    return score


def _scaled(rows: NDArray[np.float64], mean: NDArray[np.float64], spread: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(((rows - mean) / spread).clip(-5, 5)).float()


def _logits(made: dict[str, Tensor], x_CF: Tensor) -> Tensor:
    weights, config = Weights(made, precision="fp32"), _config()
    x_CD = weights.linear("input", "proj", bias=True)(x_CF)
    for i in range(_LAYERS):
        prefix = f"model.layers.{i}"
        norm = RMSNorm(weights, f"{prefix}.post_attention_layernorm", eps=1e-6)
        x_CD = x_CD + MoE(config, weights, prefix)(norm(x_CD))
    x_CD = RMSNorm(weights, "model.norm", eps=1e-6)(x_CD)
    return weights.linear("output", "proj", bias=True)(x_CD)[:, 0]


def _config() -> ModelConfig:
    """As the core's blocks read it; what only a decoder needs is at its smallest."""
    return ModelConfig(
        model_type="glm4_moe",
        vocab_size=1,
        hidden_size=_DIM,
        intermediate_size=_EXPERT_DIM,
        num_hidden_layers=_LAYERS,
        num_attention_heads=1,
        num_key_value_heads=1,
        head_dim=_DIM,
        max_position_embeddings=1,
        rms_norm_eps=1e-6,
        rope_theta=10_000.0,
        tie_word_embeddings=True,
        n_routed_experts=_EXPERTS,
        n_shared_experts=1,
        num_experts_per_tok=_PER_TOKEN,
        moe_intermediate_size=_EXPERT_DIM,
    )


def _first(num_features: int, draw: torch.Generator) -> dict[str, Tensor]:
    def normal(rows: int, columns: int) -> Tensor:
        drawn: Tensor = torch.randn(rows, columns, generator=draw)
        return drawn / math.sqrt(columns)

    made = {"model.norm.weight": torch.ones(_DIM), "input.proj.weight": normal(_DIM, num_features)}
    made |= {
        "input.proj.bias": torch.zeros(_DIM),
        "output.proj.weight": normal(1, _DIM),
        "output.proj.bias": torch.zeros(1),
    }
    for i in range(_LAYERS):
        layer = f"model.layers.{i}"
        made[f"{layer}.post_attention_layernorm.weight"] = torch.ones(_DIM)
        made[f"{layer}.mlp.gate.weight"] = normal(_EXPERTS, _DIM)
        made[f"{layer}.mlp.gate.{_CORRECTION}"] = torch.zeros(_EXPERTS)
        for expert in ("shared_experts", *(f"experts.{e}" for e in range(_EXPERTS))):
            made[f"{layer}.mlp.{expert}.gate_proj.weight"] = normal(_EXPERT_DIM, _DIM)
            made[f"{layer}.mlp.{expert}.up_proj.weight"] = normal(_EXPERT_DIM, _DIM)
            made[f"{layer}.mlp.{expert}.down_proj.weight"] = normal(_DIM, _EXPERT_DIM)
    return made
