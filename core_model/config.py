"""What a decoder is: sizes and choices, read from a Hugging Face style config.json. Ignores weights and training."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class ModelConfig:
    """One decoder. Field names are the checkpoint's; `n_routed_experts` 0 means that every layer is dense."""

    model_type: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    max_position_embeddings: int
    rms_norm_eps: float
    rope_theta: float
    tie_word_embeddings: bool
    attention_bias: bool = False  # on q, k and v
    output_bias: bool = False  # on o_proj
    use_qk_norm: bool = False
    partial_rotary_factor: float = 1.0
    n_routed_experts: int = 0
    n_shared_experts: int = 0
    num_experts_per_tok: int = 0
    moe_intermediate_size: int = 0
    first_k_dense_replace: int = 0
    n_group: int = 1
    topk_group: int = 1
    norm_topk_prob: bool = True
    routed_scaling_factor: float = 1.0
    scoring_func: str = "sigmoid"  # or "softmax"

    @property
    def rotary_dim(self) -> int:
        """How many of a head's `head_dim` dimensions are rotated."""
        return int(self.head_dim * self.partial_rotary_factor)

    @property
    def cache_entry(self) -> tuple[int, int]:
        """What one token leaves in a layer's cache: (rows, width); here a key and a value of each key-value head."""
        return 2 * self.num_key_value_heads, self.head_dim

    def is_moe_layer(self, layer_idx: int) -> bool:
        """Whether layer `layer_idx` has routed experts."""
        return self.n_routed_experts > 0 and layer_idx >= self.first_k_dense_replace

    def __post_init__(self) -> None:
        _require(
            self.num_attention_heads % self.num_key_value_heads == 0,
            "num_key_value_heads",
            self.num_key_value_heads,
            f"must divide num_attention_heads={self.num_attention_heads}",
        )
        if self.n_routed_experts:
            experts = self.n_routed_experts
            _require(experts % self.n_group == 0, "n_group", self.n_group, f"must divide n_routed_experts={experts}")
            _require(
                1 <= self.topk_group <= self.n_group, "topk_group", self.topk_group, f"must be 1 to {self.n_group}"
            )
            reachable = experts // self.n_group * self.topk_group
            _require(
                1 <= self.num_experts_per_tok <= reachable,
                "num_experts_per_tok",
                self.num_experts_per_tok,
                f"must be 1 to {reachable}, the experts in {self.topk_group} group(s)",
            )
            _require(
                experts // self.n_group >= 2,
                "n_group",
                self.n_group,
                "leaves fewer than two experts a group; a group's score is the sum of its two best",
            )
            _require(
                self.scoring_func in ("sigmoid", "softmax"),
                "scoring_func",
                self.scoring_func,
                "must be sigmoid or softmax",
            )


_COMMON = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "rms_norm_eps",
    "max_position_embeddings",
)
_MOE = (
    "n_routed_experts",
    "n_shared_experts",
    "num_experts_per_tok",
    "moe_intermediate_size",
    "first_k_dense_replace",
    "n_group",
    "topk_group",
    "norm_topk_prob",
    "routed_scaling_factor",
)
# model_type -> further required keys, and the value of a key that config.json leaves out (transformers' defaults).
_FAMILIES: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "llama": ((), {"partial_rotary_factor": 1.0, "rope_theta": 10_000.0}),
    "glm4_moe": (_MOE, {"partial_rotary_factor": 0.5, "rope_theta": 10_000.0}),
}


def parse_config(raw: Mapping[str, Any]) -> ModelConfig:
    """Read the keys of a config.json.

    Raises:
        ValueError: unknown family, a missing key, or a choice that this decoder does not implement.
    """
    model_type = str(raw.get("model_type"))
    if model_type not in _FAMILIES:
        known = ", ".join(sorted(_FAMILIES))
        raise ValueError(f"model_type: unknown family (got {model_type!r}). Use one of: {known}.")
    required, defaults = _FAMILIES[model_type]
    missing = [key for key in (*_COMMON, *required) if key not in raw]
    if missing:
        raise ValueError(f"config.json: missing key(s) {', '.join(missing)} for model_type {model_type!r}.")

    rope = {**(raw.get("rope_scaling") or {}), **(raw.get("rope_parameters") or {})}
    rope_type = rope.get("rope_type", rope.get("type", "default"))
    _require(rope_type == "default", "rope_type", rope_type, "is not implemented; only 'default' is")
    _require(raw.get("hidden_act", "silu") == "silu", "hidden_act", raw.get("hidden_act"), "must be 'silu'")
    _require(not raw.get("mlp_bias"), "mlp_bias", raw.get("mlp_bias"), "must be false")

    bias = bool(raw.get("attention_bias", False))
    return ModelConfig(
        model_type=model_type,
        **{key: raw[key] for key in (*_COMMON, *required)},
        num_key_value_heads=raw.get("num_key_value_heads") or raw["num_attention_heads"],
        head_dim=raw.get("head_dim") or raw["hidden_size"] // raw["num_attention_heads"],
        rope_theta=float(rope.get("rope_theta", raw.get("rope_theta", defaults["rope_theta"]))),
        partial_rotary_factor=float(
            rope.get("partial_rotary_factor", raw.get("partial_rotary_factor", defaults["partial_rotary_factor"]))
        ),
        tie_word_embeddings=bool(raw.get("tie_word_embeddings", False)),
        attention_bias=bias,
        output_bias=bias and model_type == "llama",
        use_qk_norm=bool(raw.get("use_qk_norm", False)),
    )


def load_config(folder: Path) -> ModelConfig:
    """Read `folder`/config.json.

    Raises:
        ValueError: there is no config.json, or as in `parse_config`.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise ValueError(f"folder: no config.json in it (got {folder.name!r}). Give a checkpoint folder.")
    return parse_config(json.loads(path.read_text(encoding="utf-8")))


def _require(holds: bool, field: str, value: object, rule: str) -> None:
    if not holds:
        raise ValueError(f"config.json: {field} {rule} (got {value!r}).")
