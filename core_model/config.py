"""What a decoder is: sizes and choices, read strictly from a config.json. Ignores weights and training.

`core_model/families.py` says where each family writes what; here it is read, checked and kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from core_model.families import COMMON, FAMILIES, HARMLESS, NEUTRAL, NOTHING, ROPE_TYPES, Family, Key


@dataclass(frozen=True)
class RopeScaling:
    """How rotary positions reach beyond the context that a model was first trained on; "default": not at all.

    Attributes:
        factor: Of the context's length.
        original_max_position_embeddings: The context before.
        attention_factor: YaRN's factor on cos and sin; None: derived from `factor`, `mscale` and `mscale_all_dim`.
    """

    rope_type: str = "default"
    factor: float = 1.0
    original_max_position_embeddings: int = 0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    attention_factor: float | None = None
    mscale: float = 0.0
    mscale_all_dim: float = 0.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    truncate: bool = True


@dataclass(frozen=True)
class LSH:
    """Sizes of locality-sensitive hashing.

    Attributes:
        chunk: Queries that share their keys; they see twice as many keys in each round.
        rounds: Independent hashes. None at all (0) leaves neighbours and the first tokens.
        sinks: First tokens that all see (StreamingLLM, arXiv:2309.17453).
        num_buckets: Of each hash, even.
        seed: Of the random rotations.
    """

    chunk: int = 64
    rounds: int = 1
    sinks: int = 4
    num_buckets: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        if self.chunk < 1 or self.rounds < 0 or not 0 <= self.sinks <= self.chunk:
            raise ValueError(
                f"lsh: chunk must be 1 or more, rounds 0 or more, sinks 0 to chunk (got {self}). Leave lsh out for "
                "full attention."
            )
        if self.num_buckets < 2 or self.num_buckets % 2:
            raise ValueError(f"lsh.num_buckets: must be even and 2 or more (got {self.num_buckets}). Use 32.")


@dataclass(frozen=True)
class ModelConfig:
    """One decoder. Field names are the checkpoint's.

    Attributes:
        kv_lora_rank: Above 0: multi-head latent attention (DeepSeek-V2, arXiv:2405.04434), `head_dim` is then
            `qk_nope_head_dim` + `qk_rope_head_dim`. `q_lora_rank` 0: queries are not compressed.
        n_routed_experts: 0: every layer is dense.
        topk_method: "greedy" takes the best experts of all; "group_limited_greedy" of the groups with the best expert;
            "noaux_tc" adds a correction bias to the scores and takes those of the groups with the two best.
        layer_windows: Tokens that each layer's attention sees, its own included; 0: all. Empty: all, in all layers.
        sink_tokens: First tokens of a sequence that windows do not hide (StreamingLLM, arXiv:2309.17453).
        attention_sinks: Each head has a learned share of its attention that goes nowhere (gpt-oss).
        lsh: Long prompts attend to near and alike tokens only (never in a config.json: an option of whoever runs it).
        swiglu_limit: Above 0: experts clamp their gate and up projections to it, as gpt-oss does.
    """

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
    mlp_bias: bool = False
    use_qk_norm: bool = False
    qk_norm_per_head: bool = True  # or over all heads at once
    clip_qkv: float = 0.0
    partial_rotary_factor: float = 1.0
    rope_interleave: bool = False  # pairs are neighbours, not halves apart
    rope_scaling: RopeScaling = RopeScaling()
    layer_windows: tuple[int, ...] = ()
    sink_tokens: int = 0
    attention_sinks: bool = False
    lsh: LSH | None = None
    q_lora_rank: int = 0
    kv_lora_rank: int = 0
    qk_nope_head_dim: int = 0
    qk_rope_head_dim: int = 0
    v_head_dim: int = 0
    n_routed_experts: int = 0
    n_shared_experts: int = 0
    num_experts_per_tok: int = 0
    moe_intermediate_size: int = 0
    first_k_dense_replace: int = 0
    decoder_sparse_step: int = 1
    mlp_only_layers: tuple[int, ...] = ()
    scoring_func: Literal["sigmoid", "softmax"] = "sigmoid"
    topk_method: str = "noaux_tc"
    n_group: int = 1
    topk_group: int = 1
    norm_topk_prob: bool = True
    routed_scaling_factor: float = 1.0
    router_bias: bool = False
    expert_bias: bool = False
    swiglu_limit: float = 0.0
    swiglu_alpha: float = 1.0
    num_nextn_predict_layers: int = 0

    @property
    def is_latent(self) -> bool:
        """Whether attention keeps compressed latents instead of keys and values."""
        return self.kv_lora_rank > 0

    @property
    def rotary_dim(self) -> int:
        """How many of a head's `head_dim` dimensions are rotated."""
        return self.qk_rope_head_dim or int(self.head_dim * self.partial_rotary_factor)

    @property
    def cache_entry(self) -> tuple[int, int]:
        """What one token leaves in a layer's cache: (rows, width).

        A key and a value of each key-value head; or one latent and the rotated key that all heads share.
        """
        if self.is_latent:
            return 1, self.kv_lora_rank + self.qk_rope_head_dim
        return 2 * self.num_key_value_heads, self.head_dim

    def window(self, layer_idx: int) -> int:
        """How many tokens attention sees in layer `layer_idx`, its own included; 0: all."""
        return self.layer_windows[layer_idx] if self.layer_windows else 0

    def is_moe_layer(self, layer_idx: int) -> bool:
        """Whether layer `layer_idx` has routed experts."""
        return (
            self.n_routed_experts > 0
            and layer_idx >= self.first_k_dense_replace
            and layer_idx not in self.mlp_only_layers
            and (layer_idx + 1) % self.decoder_sparse_step == 0
        )

    def leaves_unread(self, tensor_name: str) -> bool:
        """Whether a checkpoint may rightly hold a tensor that the decoder never asks for.

        Multi-token-prediction layers come after the decoder's own (`model.layers.61` of DeepSeek-V3); old Llama files
        keep rotary frequencies, which follow from config.json; some tied ones keep the head as a copy.
        """
        after = range(self.num_hidden_layers, self.num_hidden_layers + self.num_nextn_predict_layers)
        return (
            tensor_name.startswith(tuple(f"model.layers.{i}." for i in after))
            or tensor_name.endswith(".rotary_emb.inv_freq")
            or (self.tie_word_embeddings and tensor_name == "lm_head.weight")
        )

    def with_window(self, window: int, *, sinks: int = 4) -> ModelConfig:
        """The same model, whose attention sees the last `window` tokens and the first `sinks` (StreamingLLM).

        A narrower window of the model's own stays. Positions stay those of the whole text; the paper counts them within
        the cache, which matters only beyond `max_position_embeddings`. The cache still holds all tokens.

        Raises:
            ValueError: a window below 1 or sinks below 0.
        """
        if window < 1 or sinks < 0:
            raise ValueError(
                f"window: must be 1 or more, sinks 0 or more (got {window}, {sinks}). Leave it out for full attention."
            )
        own = [self.window(i) for i in range(self.num_hidden_layers)]
        return replace(self, layer_windows=tuple(min(w or window, window) for w in own), sink_tokens=sinks)

    def __post_init__(self) -> None:
        heads, kv_heads = self.num_attention_heads, self.num_key_value_heads
        _require(heads % kv_heads == 0, "num_key_value_heads", kv_heads, f"must divide num_attention_heads={heads}")
        _require(self.rotary_dim % 2 == 0, "head_dim", self.head_dim, f"rotates {self.rotary_dim} dimensions, not even")
        plain = not (self.is_latent or self.attention_sinks or self.layer_windows)
        _require(self.lsh is None or plain, "lsh", self.lsh, "needs grouped queries without windows or sinks")
        if self.is_latent:
            partial = self.partial_rotary_factor
            _require(partial == 1, "partial_rotary_factor", partial, "must be 1 with multi-head latent attention")
        if self.n_routed_experts:
            self._check_experts()

    def _check_experts(self) -> None:
        experts, groups, method = self.n_routed_experts, self.n_group, self.topk_method
        methods = ("greedy", "group_limited_greedy", "noaux_tc")
        _require(method in methods, "topk_method", method, f"must be one of {', '.join(methods)}")
        _require(
            self.scoring_func in ("sigmoid", "softmax"), "scoring_func", self.scoring_func, "must be sigmoid or softmax"
        )
        _require(experts % groups == 0, "n_group", groups, f"must divide n_routed_experts={experts}")
        _require(1 <= self.topk_group <= groups, "topk_group", self.topk_group, f"must be 1 to {groups}")
        reachable = experts if method == "greedy" else experts // groups * self.topk_group
        _require(
            1 <= self.num_experts_per_tok <= reachable,
            "num_experts_per_tok",
            self.num_experts_per_tok,
            f"must be 1 to {reachable}, the experts in {self.topk_group} group(s)",
        )
        _require(
            experts // groups >= 2 or method != "noaux_tc",
            "n_group",
            groups,
            "leaves fewer than two experts a group; a group's score is the sum of its two best",
        )


def parse_config(raw: Mapping[str, Any]) -> ModelConfig:
    """Read the keys of a config.json.

    Raises:
        ValueError: unknown family, a missing key, or a key or value that this decoder does not implement.
    """
    model_type = str(raw.get("model_type"))
    if model_type not in FAMILIES:
        raise ValueError(f"model_type: unknown family (got {model_type!r}). Use one of: {', '.join(sorted(FAMILIES))}.")
    family = FAMILIES[model_type]
    keys = {**COMMON, **family.keys}
    _refuse_unknown(raw, family, read={name for key in keys.values() for name in key.names} | family.window_keys)
    missing = [key.names[0] for key in keys.values() if key.required and not set(key.names) & set(raw)]
    if missing:
        raise ValueError(f"config.json: missing key(s) {', '.join(missing)} for model_type {model_type!r}.")

    fields = {name: _value(raw, key) for name, key in keys.items()} | dict(family.fixed)
    fields["num_key_value_heads"] = fields["num_key_value_heads"] or fields["num_attention_heads"]
    fields["head_dim"] = fields["head_dim"] or fields["hidden_size"] // fields["num_attention_heads"]
    if "kv_lora_rank" in fields:  # what config.json calls head_dim there is the rotated part alone
        fields["head_dim"] = fields["qk_nope_head_dim"] + fields["qk_rope_head_dim"]
    fields["mlp_only_layers"] = tuple(fields.get("mlp_only_layers", ()))
    return ModelConfig(
        model_type=model_type,
        layer_windows=_layer_windows(raw, family, fields["num_hidden_layers"]),
        **fields,
        **_rope(raw, family),
    )


def load_config(folder: Path) -> ModelConfig:
    """Read `folder`/config.json.

    Raises:
        ValueError: as in `read_config` and `parse_config`.
    """
    return parse_config(read_config(folder))


def read_config(folder: Path) -> dict[str, Any]:
    """The keys of `folder`/config.json.

    Raises:
        ValueError: there is none, or it is no JSON object.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise ValueError(f"folder: no config.json in it (got {folder.name!r}). Give a checkpoint folder.")
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"config.json: not JSON ({error}). Download or convert the model again.") from error
    if not isinstance(raw, dict):
        raise ValueError(f"config.json: must hold an object (got {type(raw).__name__}). Download the model again.")
    return raw


def _value(raw: Mapping[str, Any], key: Key) -> Any:
    name = next((name for name in key.names if name in raw), key.names[0])
    value = raw.get(name)
    if value is None:
        _require(key.default is not NOTHING, name, value, "must be set")
        return key.default
    return value


def _refuse_unknown(raw: Mapping[str, Any], family: Family, *, read: set[str]) -> None:
    """What nobody here reads may change what the model computes, unless it is known not to."""
    neutral = {**NEUTRAL, **family.neutral}
    for name, value in raw.items():
        if name in family.neutral or (name in neutral and name not in read):
            rule = f"must be {json.dumps(neutral[name])}, others are not implemented here"
            _require(value is None or value == neutral[name], name, value, rule)
        elif not (
            value is None or name in read or name in HARMLESS or name.startswith("_") or name.endswith("_token_id")
        ):
            rule = (
                f"is unknown for {raw['model_type']!r} and may change what it computes. Remove the key if it does not"
            )
            _require(False, name, value, rule)


def _layer_windows(raw: Mapping[str, Any], family: Family, num_layers: int) -> tuple[int, ...]:
    """Each layer's window; empty if there is none."""
    types, size = raw.get("layer_types"), raw.get("sliding_window")
    if family.windows == "none" or (family.window_switch and not raw.get("use_sliding_window")):
        size = None
    elif "sliding_window" not in raw:
        raise ValueError(f"config.json: missing key(s) sliding_window for model_type {raw['model_type']!r}.")
    if size is not None:
        _require(isinstance(size, int) and size > 0, "sliding_window", size, "must be 1 or more, or null")
    if types is not None and family.windows != "none":
        known = {"sliding_attention", "full_attention"}
        _require(
            len(types) == num_layers and set(types) <= known,
            "layer_types",
            types,
            f"must be {num_layers} of {sorted(known)}",
        )
        slides = [kind == "sliding_attention" for kind in types]
        _require(size is not None or not any(slides), "sliding_window", size, "must be set: some layer_types slide")
    else:
        first = raw.get("max_window_layers", 28) if family.windows == "upper" else 0
        slides = [i >= first and (family.windows != "alternate" or i % 2 == 0) for i in range(num_layers)]
    return tuple(size if slide else 0 for slide in slides) if size and any(slides) else ()


def _rope(raw: Mapping[str, Any], family: Family) -> dict[str, Any]:
    """The fields about rotary positions: `rope_theta`, `partial_rotary_factor`, `rope_scaling`."""
    given = {**(raw.get("rope_scaling") or {}), **(raw.get("rope_parameters") or {})}
    beside = {key: raw[key] for key in ("rope_theta", "partial_rotary_factor") if raw.get(key)}
    rope = {k: v for k, v in (given or {**family.rope, **beside}).items() if v is not None}
    theta, partial = (
        float(rope.pop(key, raw.get(key) or family.rope.get(key, default)))
        for key, default in (("rope_theta", 10_000.0), ("partial_rotary_factor", 1.0))
    )
    rope_type = rope.pop("rope_type", rope.get("type", "default"))
    rope.pop("type", None)
    _require(rope_type in ROPE_TYPES, "rope_type", rope_type, f"is not implemented; one of {', '.join(ROPE_TYPES)} is")
    needed, optional = ROPE_TYPES[rope_type]
    missing, unknown = [key for key in needed if key not in rope], sorted(rope.keys() - {*needed, *optional})
    _require(not missing, "rope_scaling", rope, f"of type {rope_type} needs {', '.join(missing)}")
    _require(not unknown, "rope_scaling", rope, f"of type {rope_type} has unknown key(s) {', '.join(unknown)}")
    before = "original_max_position_embeddings"
    if before in optional:
        rope[before] = raw.get(before) or rope.get(before) or raw["max_position_embeddings"]
    scaling = RopeScaling(rope_type, **rope)
    _require(scaling.factor >= 1, "rope_scaling.factor", scaling.factor, "must be 1 or more")
    return {"rope_theta": theta, "partial_rotary_factor": partial, "rope_scaling": scaling}


def _require(holds: bool, field: str, value: object, rule: str) -> None:
    if not holds:
        raise ValueError(f"config.json: {field} {rule} (got {value!r}).")
