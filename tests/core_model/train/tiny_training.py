"""A tiny model to train and a text with structure: words of a small vocabulary in random order."""

from __future__ import annotations

from typing import Any

import torch

MOE: dict[str, Any] = {
    "architectures": ["Glm4MoeForCausalLM"],
    "model_type": "glm4_moe",
    "vocab_size": 128,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10_000.0,
    "partial_rotary_factor": 1.0,
    "tie_word_embeddings": True,
    "attention_bias": False,
    "use_qk_norm": False,
    "n_routed_experts": 8,
    "n_shared_experts": 1,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "first_k_dense_replace": 0,
    "n_group": 1,
    "topk_group": 1,
    "norm_topk_prob": True,
    "routed_scaling_factor": 1.0,
    "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0, "partial_rotary_factor": 1.0},
}
LLAMA: dict[str, Any] = {
    **{
        key: MOE[key]
        for key in ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    },
    **{key: MOE[key] for key in ("num_key_value_heads", "head_dim", "max_position_embeddings", "rms_norm_eps")},
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "rope_theta": 10_000.0,
    "tie_word_embeddings": False,
    "attention_bias": False,
}
WORDS = ("loan ", "scan ", "refund ", "rate ", "chest ", "parcel ", "bank. ", "lung. ", "order. ")


def make_ids(num_words: int, seed: int = 0) -> list[int]:
    """ASCII codes of words in random order."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randint(len(WORDS), (num_words,), generator=generator).tolist()
    return list("".join(WORDS[i] for i in order).encode())
