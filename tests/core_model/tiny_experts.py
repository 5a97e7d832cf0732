"""A tiny DeepSeek-V2: latent attention, groups of experts, shared experts. Seeded weights for it and for others."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from core_model.config import parse_config
from core_model.layout import expected_tensors

DEEPSEEK: dict[str, Any] = {
    "model_type": "deepseek_v2",
    "vocab_size": 300,
    "hidden_size": 48,
    "intermediate_size": 40,
    "moe_intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "n_shared_experts": 2,
    "n_routed_experts": 8,
    "num_experts_per_tok": 3,
    "n_group": 4,
    "topk_group": 2,
    "topk_method": "group_limited_greedy",
    "scoring_func": "softmax",
    "norm_topk_prob": False,
    "routed_scaling_factor": 1.5,
    "first_k_dense_replace": 1,
    "q_lora_rank": None,
    "kv_lora_rank": 24,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8,
    "v_head_dim": 12,
    "max_position_embeddings": 256,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10_000.0,
    "tie_word_embeddings": False,
    "attention_bias": False,
}


def seeded_tensors(config: dict[str, Any]) -> dict[str, Tensor]:
    """Every tensor that a decoder of this config.json reads."""
    generator = torch.Generator("cpu").manual_seed(0)
    shapes = expected_tensors(parse_config(config)).items()
    made = {name: torch.randn(shape, generator=generator, device="cpu") for name, shape in shapes}
    return {name: tensor * 0.2 + ("norm" in name) for name, tensor in made.items()}
