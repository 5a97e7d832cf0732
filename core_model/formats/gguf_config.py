"""A GGUF file's metadata as the keys of a config.json: the table of architectures that are read. Ignores tensors' data.

Keys are those of gguf.constants.Keys; what llama.cpp fixes for an architecture (and so writes nowhere) is fixed here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from core_model.formats.gguf_header import GGUFHeader

_SIGMOID = 2  # gguf.ExpertGatingFuncType
_NO_DEFAULT = object()


class _Keys:
    """Metadata of the file's own architecture, without its prefix."""

    def __init__(self, header: GGUFHeader) -> None:
        self.metadata, self.tensors = header.metadata, header.tensors
        self.architecture = str(header.metadata.get("general.architecture"))

    def __call__(self, key: str, default: Any = _NO_DEFAULT) -> Any:
        value = self.metadata.get(f"{self.architecture}.{key}", default)
        if value is _NO_DEFAULT:
            raise ValueError(f"GGUF: key {self.architecture}.{key} is missing. Convert the model again.")
        return value


def config_from_gguf(header: GGUFHeader) -> dict[str, Any]:
    """The keys of config.json.

    Raises:
        ValueError: an architecture that is not read, or a key that it needs is missing.
    """
    keys = _Keys(header)
    if keys.architecture not in ARCHITECTURES:
        known = ", ".join(sorted(ARCHITECTURES))
        raise ValueError(f"general.architecture: is not read (got {keys.architecture!r}). Use one of: {known}.")
    if header.metadata.get("split.count", 1) > 1:
        raise ValueError("split.count: the file is one of several. Join them with llama-gguf-split --merge.")
    if "token_embd.weight" not in header.tensors:
        raise ValueError("GGUF: tensor token_embd.weight is missing. Give a file of a language model.")
    return {**_common(keys), **ARCHITECTURES[keys.architecture](keys)}


def _common(keys: _Keys) -> dict[str, Any]:
    heads, dim = keys("attention.head_count"), keys("embedding_length")
    width = keys("feed_forward_length", None)
    layers = keys("block_count") - keys("nextn_predict_layers", 0)
    config = {
        "vocab_size": keys.tensors["token_embd.weight"].shape[0],
        "hidden_size": dim,
        "intermediate_size": keys("expert_feed_forward_length") if width is None else width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": keys("attention.head_count_kv", heads),
        "head_dim": keys("attention.key_length", dim // heads),
        "max_position_embeddings": keys("context_length"),
        "rms_norm_eps": float(f"{keys('attention.layer_norm_rms_epsilon'):.6g}"),  # was rounded to fp32
        "tie_word_embeddings": "output.weight" not in keys.tensors,
        **_rope(keys),
    }
    for name in ("bos", "eos", "padding"):
        if f"tokenizer.ggml.{name}_token_id" in keys.metadata:
            config[f"{name[:3]}_token_id"] = keys.metadata[f"tokenizer.ggml.{name}_token_id"]
    return config


def _rope(keys: _Keys) -> dict[str, Any]:
    """Both places: programs before and after transformers 5 look for one of them."""
    theta, kind = float(keys("rope.freq_base", 10_000.0)), keys("rope.scaling.type", "none")
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": theta}
    if kind not in ("none", "linear", "yarn"):
        raise ValueError(f"rope.scaling.type: must be none, linear or yarn (got {kind!r}).")
    if kind != "none" and keys("rope.scaling.factor", 1.0) != 1.0:
        rope |= {"rope_type": kind, "factor": float(keys("rope.scaling.factor"))}
    if rope["rope_type"] == "yarn":
        rope["original_max_position_embeddings"] = keys("rope.scaling.original_context_length")
        betas = {
            "beta_fast": keys("rope.scaling.yarn_beta_fast", None),
            "beta_slow": keys("rope.scaling.yarn_beta_slow", None),
        }
        rope |= {name: float(value) for name, value in betas.items() if value is not None}
    return {"rope_theta": theta, "rope_parameters": rope}


def _llama(keys: _Keys) -> dict[str, Any]:
    if keys("expert_count", 0):
        experts = {"num_local_experts": keys("expert_count"), "num_experts_per_tok": keys("expert_used_count")}
        return {**_family("mixtral", "Mixtral"), **experts, "sliding_window": None}
    biases = {"attention_bias": _has(keys, "attn_q.bias"), "mlp_bias": _has(keys, "ffn_gate.bias")}
    return {**_family("llama", "Llama"), "hidden_act": "silu", **biases}


def _qwen3(keys: _Keys) -> dict[str, Any]:
    return {**_family("qwen3", "Qwen3"), "attention_bias": _has(keys, "attn_q.bias")}


def _qwen3_moe(keys: _Keys) -> dict[str, Any]:
    experts = {"num_experts": keys("expert_count"), "num_experts_per_tok": keys("expert_used_count")}
    width = keys("expert_feed_forward_length")
    return {**_family("qwen3_moe", "Qwen3Moe"), **experts, "moe_intermediate_size": width, "norm_topk_prob": True}


def _olmoe(keys: _Keys) -> dict[str, Any]:
    experts = {"num_experts": keys("expert_count"), "num_experts_per_tok": keys("expert_used_count")}
    return {**_family("olmoe", "Olmoe"), **experts, "norm_topk_prob": False}


def _fine_grained(keys: _Keys) -> dict[str, Any]:
    return {
        "n_routed_experts": keys("expert_count"),
        "n_shared_experts": keys("expert_shared_count", 0),
        "num_experts_per_tok": keys("expert_used_count"),
        "moe_intermediate_size": keys("expert_feed_forward_length"),
        "first_k_dense_replace": keys("leading_dense_block_count", 0),
        "routed_scaling_factor": float(f"{keys('expert_weights_scale', 1.0):.6g}"),
        "n_group": keys("expert_group_count", 1),
        "topk_group": keys("expert_group_used_count", 1),
    }


def _glm4_moe(keys: _Keys) -> dict[str, Any]:
    head_dim = keys("attention.key_length", keys("embedding_length") // keys("attention.head_count"))
    partial = keys("rope.dimension_count", head_dim // 2) / head_dim
    return {
        **_family("glm4_moe", "Glm4Moe"),
        **_fine_grained(keys),
        "norm_topk_prob": bool(keys("expert_weights_norm", True)),
        "use_qk_norm": _has(keys, "attn_q_norm.weight"),
        "attention_bias": _has(keys, "attn_q.bias"),
        "num_nextn_predict_layers": keys("nextn_predict_layers", 0),
        "rope_parameters": {**_rope(keys)["rope_parameters"], "partial_rotary_factor": partial},
    }


def _deepseek(keys: _Keys) -> dict[str, Any]:
    rotated, heads = keys("rope.dimension_count"), keys("attention.head_count")
    experts = _fine_grained(keys)
    rope = dict(_rope(keys)["rope_parameters"])
    if rope["rope_type"] == "yarn" and keys("rope.scaling.yarn_log_multiplier", 0.0):
        # llama.cpp keeps a tenth of mscale_all_dim, and takes mscale to be the same, as all released models have it.
        rope["mscale"] = rope["mscale_all_dim"] = round(keys("rope.scaling.yarn_log_multiplier") * 10, 6)
    config = {
        "num_key_value_heads": heads,
        "q_lora_rank": keys("attention.q_lora_rank", None),
        "kv_lora_rank": keys("attention.kv_lora_rank"),
        "qk_rope_head_dim": rotated,
        "qk_nope_head_dim": keys("attention.key_length_mla", keys("attention.key_length", 0)) - rotated,
        "v_head_dim": keys("attention.value_length_mla", keys("attention.value_length", 0)),
        "norm_topk_prob": bool(keys("expert_weights_norm", False)),
        "head_dim": rotated,
        "rope_parameters": rope,
        **experts,
    }
    if keys("expert_gating_func", 0) == _SIGMOID:
        return {**_family("deepseek_v3", "DeepseekV3"), **config}
    method = "group_limited_greedy" if experts["n_group"] > 1 else "greedy"
    return {**_family("deepseek_v2", "DeepseekV2"), **config, "topk_method": method}


def _gpt_oss(keys: _Keys) -> dict[str, Any]:
    rope = _rope(keys)["rope_parameters"]
    return {
        **_family("gpt_oss", "GptOss"),
        "num_local_experts": keys("expert_count"),
        "num_experts_per_tok": keys("expert_used_count"),
        "intermediate_size": keys("expert_feed_forward_length"),
        "sliding_window": keys("attention.sliding_window"),
        "rope_parameters": {**rope, "truncate": False} if rope["rope_type"] == "yarn" else rope,
    }


def _family(model_type: str, class_name: str) -> dict[str, Any]:
    return {"model_type": model_type, "architectures": [f"{class_name}ForCausalLM"]}


def _has(keys: _Keys, end: str) -> bool:
    return f"blk.0.{end}" in keys.tensors


ARCHITECTURES: Mapping[str, Callable[[_Keys], dict[str, Any]]] = {
    "llama": _llama,
    "qwen2": lambda keys: _family("qwen2", "Qwen2"),
    "qwen3": _qwen3,
    "qwen3moe": _qwen3_moe,
    "olmoe": _olmoe,
    "glm4moe": _glm4_moe,
    "deepseek2": _deepseek,
    "gpt-oss": _gpt_oss,
}
