"""Sparse upcycling: a dense Llama becomes a GLM-4-MoE that computes the same (arXiv:2212.05055). Ignores training.

Each layer's feed-forward network becomes the shared expert. Beside it stand small routed experts whose down-projection
is zero, so that they add exactly nothing until training fills it. Their gate and up projections start as slices of the
dense network (expert i takes a contiguous block of neurons, wrapping around), so that training starts from useful
features; the router starts small and random from a fixed seed, so that no two experts tie.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class UpcycleRecipe:
    """Sizes of the added experts. The groups' names are for people; the router knows only their order."""

    num_experts: int = 16
    expert_dim: int = 128
    experts_per_token: int = 2
    topk_group: int = 2
    groups: tuple[str, ...] = ("general", "finance", "medical", "support")
    router_std: float = 0.02
    seed: int = 0


def upcycle(
    config: Mapping[str, Any], tensors: Mapping[str, Tensor], recipe: UpcycleRecipe
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Turn a dense Llama checkpoint into the GLM-4-MoE layout.

    Returns:
        config.json keys and tensors, upstream names, in the dtype of the input.

    Raises:
        ValueError: not a Llama without biases, or its feed-forward size is no multiple of the experts'.
    """
    if config["model_type"] != "llama" or config.get("attention_bias"):
        raise ValueError(f"model_type: only a Llama without biases is upcycled (got {config['model_type']!r}).")
    if config["intermediate_size"] % recipe.expert_dim:
        raise ValueError(
            f"expert_dim: must divide intermediate_size={config['intermediate_size']} (got {recipe.expert_dim})."
        )
    generator = torch.Generator().manual_seed(recipe.seed)
    result: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        result[name.replace(".mlp.", ".mlp.shared_experts.")] = tensor
    for layer_idx in range(config["num_hidden_layers"]):
        result |= _routed_experts(f"model.layers.{layer_idx}.mlp", tensors, recipe, generator)
    return _config(config, recipe), result


def expert_rows(recipe: UpcycleRecipe, expert: int, *, num_neurons: int) -> slice:
    """The neurons of the dense network that an expert starts from."""
    first = expert * recipe.expert_dim % num_neurons
    return slice(first, first + recipe.expert_dim)


def _routed_experts(
    prefix: str, tensors: Mapping[str, Tensor], recipe: UpcycleRecipe, generator: torch.Generator
) -> dict[str, Tensor]:
    gate, up = tensors[f"{prefix}.gate_proj.weight"], tensors[f"{prefix}.up_proj.weight"]
    num_neurons, dim = gate.shape
    added = {
        f"{prefix}.gate.weight": torch.randn(recipe.num_experts, dim, generator=generator).to(gate.dtype)
        * recipe.router_std,
        f"{prefix}.gate.e_score_correction_bias": torch.zeros(recipe.num_experts),
    }
    for expert in range(recipe.num_experts):
        rows = expert_rows(recipe, expert, num_neurons=num_neurons)
        added[f"{prefix}.experts.{expert}.gate_proj.weight"] = gate[rows].clone()
        added[f"{prefix}.experts.{expert}.up_proj.weight"] = up[rows].clone()
        added[f"{prefix}.experts.{expert}.down_proj.weight"] = torch.zeros(dim, recipe.expert_dim, dtype=gate.dtype)
    return added


def _config(dense: Mapping[str, Any], recipe: UpcycleRecipe) -> dict[str, Any]:
    # GLM-4-MoE gives the shared expert moe_intermediate_size * n_shared_experts neurons, hence the count.
    rope = {"rope_type": "default", "rope_theta": dense["rope_theta"], "partial_rotary_factor": 1.0}
    return {
        **dense,
        "architectures": ["Glm4MoeForCausalLM"],
        "model_type": "glm4_moe",
        "use_qk_norm": False,
        "partial_rotary_factor": 1.0,
        "rope_parameters": rope,
        "n_routed_experts": recipe.num_experts,
        "n_shared_experts": dense["intermediate_size"] // recipe.expert_dim,
        "num_experts_per_tok": recipe.experts_per_token,
        "moe_intermediate_size": recipe.expert_dim,
        "first_k_dense_replace": 0,
        "n_group": len(recipe.groups),
        "topk_group": recipe.topk_group,
        "norm_topk_prob": True,
        "routed_scaling_factor": 1.0,
        "num_nextn_predict_layers": 0,
    }
