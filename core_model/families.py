"""The model families that this decoder runs, as data: how their config.json and tensors say what `ModelConfig` holds.

A new family is an entry in `FAMILIES`, as long as its parts exist. Ignores what fields mean, and computes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

NOTHING: Any = object()  # no value stands in for a null


@dataclass(frozen=True)
class Key:
    """Where a config.json keeps a field.

    Attributes:
        names: The first one present counts; programs differ in what they write.
        default: Stands in for null, and for a missing key unless it is `required`.
    """

    names: tuple[str, ...]
    default: Any = NOTHING
    required: bool = False


@dataclass(frozen=True)
class ExpertNames:
    """What checkpoints call the parts of a mixture-of-experts layer, below `model.layers.N`.

    Attributes:
        stacked: One tensor (experts, inputs, outputs) holds all experts, gate and up taking turns in its outputs.
    """

    block: str = "mlp"
    router: str = "gate"
    gate_proj: str = "gate_proj"
    up_proj: str = "up_proj"
    down_proj: str = "down_proj"
    stacked: bool = False


@dataclass(frozen=True)
class Family:
    """What tells one model_type from the others.

    Attributes:
        keys: `ModelConfig` field -> where it is written, beyond and before `COMMON`.
        fixed: Fields that config.json does not say, because the whole family shares them.
        neutral: Keys that must have this value if they are there: others are not implemented.
        windows: Which layers have a sliding window if there is one and no `layer_types`: all, those from
            `max_window_layers` on ("upper"), or every other one from the first.
        window_switch: The window counts only if `use_sliding_window` is true.
        rope: Used where config.json says nothing about rotary positions.
    """

    keys: Mapping[str, Key] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    neutral: Mapping[str, Any] = field(default_factory=dict)
    windows: Literal["none", "all", "upper", "alternate"] = "none"
    window_switch: bool = False
    rope: Mapping[str, Any] = field(default_factory=lambda: {"rope_theta": 10_000.0})
    experts: ExpertNames = ExpertNames()

    @property
    def window_keys(self) -> set[str]:
        """The keys that say which layers have a window, and which."""
        if self.windows == "none":
            return set()
        return {"sliding_window", "layer_types"} | ({"use_sliding_window"} if self.window_switch else set())


def _required(*names: str) -> dict[str, Key]:
    return {name: Key((name,), required=True) for name in names}


def _optional(**defaults: Any) -> dict[str, Key]:
    return {name: Key((name,), default) for name, default in defaults.items()}


COMMON: Mapping[str, Key] = {
    **_required("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"),
    **_required("rms_norm_eps", "max_position_embeddings"),
    **_optional(num_key_value_heads=0, head_dim=0, tie_word_embeddings=False),  # 0: from the other sizes
}
_BIASES = {"attention_bias": Key(("attention_bias",), False), "output_bias": Key(("attention_bias",), False)}
_KV_HEADS = _required("num_key_value_heads")
_NEXT_TOKENS = {"num_nextn_predict_layers": Key(("num_nextn_predict_layers", "num_mtp_layers"), 0)}
_SOFTMAX = {"scoring_func": "softmax", "topk_method": "greedy"}
_SIGMOID = {"scoring_func": "sigmoid", "topk_method": "noaux_tc"}
_FINE_GRAINED = {
    **_required("n_routed_experts", "num_experts_per_tok", "moe_intermediate_size", "first_k_dense_replace"),
    **_required("n_shared_experts", "norm_topk_prob", "routed_scaling_factor"),
}
_LATENT = {
    "q_lora_rank": Key(("q_lora_rank",), 0, required=True),  # null: queries are not compressed
    **_required("kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"),
    **_FINE_GRAINED,
    **_optional(n_group=1, topk_group=1),
    **_BIASES,
}


def _experts(count: str, width: str) -> dict[str, Key]:
    return {
        "n_routed_experts": Key((count, "num_local_experts"), required=True),
        "moe_intermediate_size": Key((width,), required=True),
        **_required("num_experts_per_tok"),
    }


FAMILIES: Mapping[str, Family] = {
    "llama": Family({**_BIASES, **_optional(mlp_bias=False)}),
    "mistral": Family(_KV_HEADS, windows="all"),
    "qwen2": Family(_KV_HEADS, {"attention_bias": True}, windows="upper", window_switch=True),
    "qwen3": Family(
        {**_KV_HEADS, **_BIASES, **_required("head_dim")},
        {"use_qk_norm": True},
        windows="upper",
        window_switch=True,
    ),
    "mixtral": Family(
        {**_KV_HEADS, **_experts("num_local_experts", "intermediate_size")},
        _SOFTMAX,
        windows="all",
        rope={"rope_theta": 1e6},
        experts=ExpertNames("block_sparse_moe", gate_proj="w1", up_proj="w3", down_proj="w2"),
    ),
    "olmoe": Family(
        {
            **_experts("num_experts", "intermediate_size"),
            **_BIASES,
            **_optional(norm_topk_prob=False, clip_qkv=0.0),
        },
        {**_SOFTMAX, "use_qk_norm": True, "qk_norm_per_head": False},
    ),
    "qwen3_moe": Family(
        {
            **_experts("num_experts", "moe_intermediate_size"),
            **_KV_HEADS,
            **_BIASES,
            **_optional(norm_topk_prob=False, decoder_sparse_step=1, mlp_only_layers=()),
        },
        {**_SOFTMAX, "use_qk_norm": True},
        windows="all",
        window_switch=True,
    ),
    "glm4_moe": Family(
        {
            **_FINE_GRAINED,
            **_KV_HEADS,
            **_required("n_group", "topk_group"),
            **_optional(attention_bias=False, use_qk_norm=False),
            **_NEXT_TOKENS,
        },
        _SIGMOID,
        neutral=_SIGMOID,
        rope={"rope_theta": 10_000.0, "partial_rotary_factor": 0.5},
    ),
    "deepseek_v2": Family(
        {**_LATENT, **_optional(mlp_bias=False), **_required("topk_method")},
        {"scoring_func": "softmax", "rope_interleave": True},
        # Released programs disagree on what a true norm_topk_prob means here, and no released model has one.
        neutral={"scoring_func": "softmax", "norm_topk_prob": False, "moe_layer_freq": 1, "rope_interleave": True},
    ),
    "deepseek_v3": Family(
        {**_LATENT, **_optional(rope_interleave=True), **_NEXT_TOKENS},
        _SIGMOID,
        neutral={**_SIGMOID, "moe_layer_freq": 1},
    ),
    "gpt_oss": Family(
        {
            **_experts("num_local_experts", "intermediate_size"),
            **_KV_HEADS,
            **_required("head_dim"),
            "attention_bias": Key(("attention_bias",), True),
            "output_bias": Key(("attention_bias",), True),
            **_optional(swiglu_limit=7.0, swiglu_alpha=1.702),
        },
        {**_SOFTMAX, "attention_sinks": True, "router_bias": True, "expert_bias": True},
        windows="alternate",
        rope={
            **{"rope_theta": 150_000.0, "rope_type": "yarn", "factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0},
            **{"original_max_position_embeddings": 4096, "truncate": False},
        },
        experts=ExpertNames(router="router", stacked=True),
    ),
}

# rope_type -> the keys that it needs, and those that it may have.
ROPE_TYPES: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "default": ((), ()),
    "linear": (("factor",), ()),
    "llama3": (("factor", "low_freq_factor", "high_freq_factor"), ("original_max_position_embeddings",)),
    "yarn": (
        ("factor",),
        (
            *("original_max_position_embeddings", "attention_factor", "mscale", "mscale_all_dim"),
            *("beta_fast", "beta_slow", "truncate"),
        ),
    ),
}

# Keys that mean something to some model, and the one value that means nothing to a family that does not read them.
NEUTRAL: Mapping[str, Any] = {
    **{"hidden_act": "silu", "attention_bias": False, "mlp_bias": False, "use_sliding_window": False},
    **{"use_qk_norm": False, "rope_interleaved": False, "rope_interleave": False, "is_encoder_decoder": False},
    **{"add_cross_attention": False, "cross_attention_hidden_size": None, "tie_encoder_decoder": False},
}
# Keys about training, generation, files and programs. Names that start with "_" or end with "_token_id" are such, too.
_HARMLESS = """
architectures attention_dropout auto_map aux_loss_alpha chunk_size_feed_forward dtype embd_pdrop ep_size
experts_per_token finetuning_task hidden_dropout id2label initial_context_length initializer_range is_decoder
is_llama_config label2id max_window_layers model_type num_mtp_layers num_nextn_predict_layers
original_max_position_embeddings output_attentions output_hidden_states output_router_logits partial_rotary_factor
pretraining_tp problem_type pruned_heads qk_head_dim quantization_config resid_pdrop return_dict rope_parameters
rope_scaling rope_theta router_aux_loss_coef router_jitter_noise sep_token_id seq_aux task_specific_params
tf_legacy_loss tokenizer_class torch_dtype torchscript transformers.js_config transformers_version use_bfloat16
use_cache
"""
HARMLESS = frozenset(_HARMLESS.split())
