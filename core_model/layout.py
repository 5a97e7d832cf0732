"""Which tensors a checkpoint of a model must have, by upstream name, and their shapes; what is missing or too much.

Compared before a weight is read, from the files' headers alone. Ignores what the tensors are for.
Shapes: as PyTorch keeps linear layers, (outputs, inputs).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from core_model.config import ModelConfig
from core_model.families import FAMILIES
from core_model.formats.layers import Shape, shape_of
from core_model.quantized_weight import Weight

# Scales of quantized activations and caches, which are not quantized here.
_HARMLESS = re.compile(r"\.((input|output|activation)_(scale|zero_point|global_scale)|[qkv]_scale)$")
_LISTED = 5


def check_tensors(config: ModelConfig, weights: Mapping[str, Weight]) -> None:
    """Compare a checkpoint's names and shapes with what the model needs; reads no weights of a lazy one.

    Raises:
        ValueError: tensors are missing, unknown, or of another shape; the first five of each kind are named.
    """
    expected = expected_tensors(config)
    extra = [n for n in weights if n not in expected and not config.leaves_unread(n) and not _HARMLESS.search(n)]
    wrong = []
    for name, shape in expected.items():
        if name in weights and (found := shape_of(weights, name)) != shape:
            wrong.append(f"{name} is {list(found)}, not {list(shape)}")
    problems = [
        _list("missing", [name for name in expected if name not in weights]),
        _list("of another shape than config.json says", wrong),
        _list(f"unknown for {config.model_type!r}, and would change what it computes", extra),
    ]
    if any(problems):
        found_problems = "; ".join(filter(None, problems))
        raise ValueError(f"checkpoint: {found_problems}. Download the model again, or its matching config.json.")


def expected_tensors(config: ModelConfig) -> dict[str, Shape]:
    """Every tensor that a decoder of `config` reads, and its shape."""
    dim = config.hidden_size
    names: dict[str, Shape] = {"model.embed_tokens.weight": (config.vocab_size, dim)}
    for i in range(config.num_hidden_layers):
        layer = f"model.layers.{i}"
        parts: dict[str, Shape] = {"input_layernorm.weight": (dim,), "post_attention_layernorm.weight": (dim,)}
        attention = _latent_attention(config) if config.is_latent else _attention(config)
        parts |= {f"self_attn.{name}": shape for name, shape in attention.items()}
        if config.is_moe_layer(i):
            parts |= _moe(config)
        else:
            parts |= _mlp("mlp", dim, config.intermediate_size, bias=config.mlp_bias)
        names |= {f"{layer}.{name}": shape for name, shape in parts.items()}
    names["model.norm.weight"] = (dim,)
    if not config.tie_word_embeddings:
        names["lm_head.weight"] = (config.vocab_size, dim)
    return names


def _attention(config: ModelConfig) -> dict[str, Shape]:
    queries, keys = (n * config.head_dim for n in (config.num_attention_heads, config.num_key_value_heads))
    dim, bias = config.hidden_size, config.attention_bias
    parts = {**_linear("q_proj", dim, queries, bias=bias), **_linear("o_proj", queries, dim, bias=config.output_bias)}
    parts |= {**_linear("k_proj", dim, keys, bias=bias), **_linear("v_proj", dim, keys, bias=bias)}
    if config.use_qk_norm:
        sizes = (config.head_dim, config.head_dim) if config.qk_norm_per_head else (queries, keys)
        parts |= {"q_norm.weight": (sizes[0],), "k_norm.weight": (sizes[1],)}
    if config.attention_sinks:
        parts["sinks"] = (config.num_attention_heads,)
    return parts


def _latent_attention(config: ModelConfig) -> dict[str, Shape]:
    dim, heads = config.hidden_size, config.num_attention_heads
    latent, bias = config.kv_lora_rank, config.attention_bias
    queries, compressed = heads * config.head_dim, config.q_lora_rank
    if compressed:
        parts = _linear("q_a_proj", dim, compressed, bias=bias) | _linear("q_b_proj", compressed, queries)
        parts["q_a_layernorm.weight"] = (compressed,)
    else:
        parts = _linear("q_proj", dim, queries)
    parts |= _linear("kv_a_proj_with_mqa", dim, latent + config.qk_rope_head_dim, bias=bias)
    parts["kv_a_layernorm.weight"] = (latent,)
    parts |= _linear("kv_b_proj", latent, heads * (config.qk_nope_head_dim + config.v_head_dim))
    return parts | _linear("o_proj", heads * config.v_head_dim, dim, bias=config.output_bias)


def _moe(config: ModelConfig) -> dict[str, Shape]:
    names, dim, width = FAMILIES[config.model_type].experts, config.hidden_size, config.moe_intermediate_size
    block, num_experts = names.block, config.n_routed_experts
    parts = _linear(f"{block}.{names.router}", dim, num_experts, bias=config.router_bias)
    if config.topk_method == "noaux_tc":
        parts[f"{block}.{names.router}.e_score_correction_bias"] = (num_experts,)
    if config.n_shared_experts:
        parts |= _mlp(f"{block}.shared_experts", dim, width * config.n_shared_experts, bias=config.mlp_bias)
    if names.stacked:
        stacked = {"gate_up_proj": (dim, 2 * width), "down_proj": (width, dim)}
        for name, (inputs, outputs) in stacked.items():
            parts[f"{block}.experts.{name}"] = (num_experts, inputs, outputs)
            if config.expert_bias:
                parts[f"{block}.experts.{name}_bias"] = (num_experts, outputs)
        return parts
    for i in range(num_experts):
        expert = f"{block}.experts.{i}"
        parts |= _linear(f"{expert}.{names.gate_proj}", dim, width) | _linear(f"{expert}.{names.up_proj}", dim, width)
        parts |= _linear(f"{expert}.{names.down_proj}", width, dim)
    return parts


def _mlp(prefix: str, dim: int, width: int, *, bias: bool) -> dict[str, Shape]:
    parts = {
        **_linear(f"{prefix}.gate_proj", dim, width, bias=bias),
        **_linear(f"{prefix}.up_proj", dim, width, bias=bias),
    }
    return parts | _linear(f"{prefix}.down_proj", width, dim, bias=bias)


def _linear(name: str, inputs: int, outputs: int, *, bias: bool = False) -> dict[str, Shape]:
    return {f"{name}.weight": (outputs, inputs), **({f"{name}.bias": (outputs,)} if bias else {})}


def _list(kind: str, problems: Iterable[str]) -> str:
    found = list(problems)
    if not found:
        return ""
    more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
    return f"{len(found)} tensor(s) {kind}: {', '.join(found[:_LISTED])}{more}"
