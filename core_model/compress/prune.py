"""Smaller checkpoints by leaving out: weights, attention heads, experts, layers. Ignores retraining.

Each function takes the keys of a config.json and tensors under their upstream names, and returns those of a smaller
valid model that the decoder and transformers open. What to leave out is measured in `importance.py`; what it costs, in
`benchmarks/compression.py`; `core_model/train/distil.py` wins some of it back.
Shapes: O outputs, I inputs, H query heads, M key-value heads, R head dim, E experts, G groups of experts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from core_model.compress.coverage import linear_names
from core_model.config import parse_config

Config = dict[str, Any]
Tensors = dict[str, Tensor]
_LAYER = re.compile(r"model\.layers\.(\d+)\.")
_EXPERT = re.compile(r"(model\.layers\.(\d+)\.(?:mlp|block_sparse_moe)\.experts\.)(\d+)(\..+)")
_ROUTER = re.compile(r"model\.layers\.(\d+)\.(?:mlp|block_sparse_moe)\.gate\.(weight|e_score_correction_bias)")
_EXPERT_KEYS = ("n_routed_experts", "num_experts", "num_local_experts")  # of the families that number their experts


def prune_weights(
    tensors: Mapping[str, Tensor],
    *,
    sparsity: float = 0.5,
    pattern: Literal["unstructured", "2:4"] = "unstructured",
) -> Tensors:
    """Zero the smallest weights of every linear layer (Han et al. 2015, arXiv:1506.02626).

    What `coverage.linear_names` leaves out stays: router, norms, embeddings, absorbed projections.

    Shapes stay, so the file shrinks only when it is compressed, and only hardware with sparse products is faster: 2:4,
    two zeros in each four neighbours, is the pattern that NVIDIA's tensor cores use (arXiv:2104.08378).

    Args:
        sparsity: Share of each matrix that becomes zero, 0-1; 2:4 is always 0.5.

    Raises:
        ValueError: a sparsity out of range, an unknown pattern, or inputs that do not come in fours.
    """
    if pattern not in ("unstructured", "2:4"):
        raise ValueError(f"pattern: must be unstructured or 2:4 (got {pattern!r}).")
    if not 0 <= sparsity < 1 or (pattern == "2:4" and sparsity != 0.5):
        raise ValueError(f"sparsity: must be 0 to under 1, and 0.5 for 2:4 (got {sparsity}).")
    pruned = set(linear_names(tensors))
    return {name: _pruned(w, sparsity, pattern) if name in pruned else w for name, w in tensors.items()}


def keep_experts(
    config: Mapping[str, Any], tensors: Mapping[str, Tensor], counts: Mapping[int, Sequence[float]], *, num_kept: int
) -> tuple[Config, Tensors]:
    """Keep the most used experts of each layer, the same number everywhere; in groups, the same number of each group.

    Args:
        counts: Tokens per expert by MoE layer, as from `Decoder.expert_counts()` after typical text.
        num_kept: Experts left per layer.

    Raises:
        ValueError: experts that are not stored one by one, counts that do not fit the model, or a number of experts
            that its groups or its experts per token do not allow.
    """
    key = next((key for key in _EXPERT_KEYS if config.get(key)), None)
    if key is None or not any(_EXPERT.match(name) for name in tensors):
        raise ValueError(
            f"model_type: must have experts that are stored one by one (got {config.get('model_type')!r})."
        )
    num_groups = config.get("n_group") or 1
    if not 0 < num_kept <= config[key] or num_kept % num_groups:
        rule = f"must be 1 to {config[key]}, a multiple of the {num_groups} group(s)"
        raise ValueError(f"num_kept: {rule} (got {num_kept}).")
    smaller = {**config, key: num_kept}
    parse_config(smaller)
    layers = {int(match[2]) for match in map(_EXPERT.match, tensors) if match}
    kept = {i: _most_used(counts.get(i, ()), i, config[key], num_groups, num_kept) for i in sorted(layers)}
    result: Tensors = {}
    for name, tensor in tensors.items():
        if expert := _EXPERT.match(name):
            experts = kept[int(expert[2])]
            if int(expert[3]) in experts:
                result[f"{expert[1]}{experts.index(int(expert[3]))}{expert[4]}"] = tensor
        elif router := _ROUTER.match(name):
            result[name] = tensor[kept[int(router[1])]]
        else:
            result[name] = tensor
    return smaller, result


def keep_shared_experts(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> tuple[Config, Tensors]:
    """Leave out routers and routed experts: a GLM-4-MoE becomes a dense Llama, the inverse of `upcycle.py`.

    Exact where routed experts add nothing, as in the embedded default until domain training fills them.

    Raises:
        ValueError: another family, or a part that the Llama layout cannot say.
    """
    fits = config.get("model_type") == "glm4_moe" and config.get("n_shared_experts")
    if not fits or config.get("use_qk_norm") or config.get("first_k_dense_replace"):
        raise ValueError(
            "model_type: must be glm4_moe with shared experts in all layers and without qk norm "
            f"(got {config.get('model_type')!r})."
        )
    model = parse_config(config)
    if model.rotary_dim != model.head_dim or model.attention_bias:
        raise ValueError("partial_rotary_factor: must be 1, and attention_bias false, for the Llama layout.")
    common = (
        *("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim"),
        *("hidden_act", "max_position_embeddings", "rms_norm_eps", "tie_word_embeddings", "dtype"),
        *("bos_token_id", "eos_token_id", "pad_token_id"),
    )
    dense = {key: config[key] for key in common if key in config} | {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "attention_bias": False,
        "intermediate_size": model.moe_intermediate_size * model.n_shared_experts,
        "rope_theta": model.rope_theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": model.rope_theta},
    }
    kept = {name: w for name, w in tensors.items() if not (_EXPERT.match(name) or _ROUTER.match(name))}
    return dense, {name.replace(".mlp.shared_experts.", ".mlp."): w for name, w in kept.items()}


def keep_heads(
    config: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    importance: Mapping[int, Tensor],
    *,
    num_key_value_heads: int | None = None,
    heads_per_group: int | None = None,
) -> tuple[Config, Tensors]:
    """Keep the most important attention heads of each layer; the cache shrinks with the key-value heads.

    Query heads that share a key-value head form a group. Layers must stay alike, so either whole groups go, or the same
    number of query heads from every group, or both.

    Args:
        importance: Of each query head by layer, (H,), as from `importance.head_importance`.
        num_key_value_heads: Groups left; None keeps all.
        heads_per_group: Query heads left in each group; None keeps all.

    Raises:
        ValueError: attention of another kind, a number out of range, or importances that do not fit the model.
    """
    model = parse_config(config)
    num_groups, head_dim = model.num_key_value_heads, model.head_dim
    per_group = model.num_attention_heads // num_groups
    groups_left, heads_left = num_key_value_heads or num_groups, heads_per_group or per_group
    if not (1 <= groups_left <= num_groups and 1 <= heads_left <= per_group):
        raise ValueError(
            f"num_key_value_heads, heads_per_group: must be 1 to {num_groups} and 1 to {per_group} "
            f"(got {groups_left} and {heads_left})."
        )
    result = dict(tensors)
    for layer_idx in range(model.num_hidden_layers):
        found = importance.get(layer_idx)
        if found is None or found.shape != (model.num_attention_heads,):
            raise ValueError(
                f"importance: needs one number for each of the {model.num_attention_heads} heads of layer {layer_idx}."
            )
        scores_GH = found.view(num_groups, per_group)
        best_GH = scores_GH.topk(heads_left, dim=1).indices.sort(dim=1).values
        group_scores = scores_GH.gather(1, best_GH).sum(1)
        groups = group_scores.topk(groups_left).indices.sort().values
        heads = (best_GH + torch.arange(num_groups)[:, None] * per_group)[groups].flatten()
        _slice_heads(result, f"model.layers.{layer_idx}.self_attn", heads, groups, head_dim)
    smaller = {
        **config,
        "num_attention_heads": groups_left * heads_left,
        "num_key_value_heads": groups_left,
        "head_dim": head_dim,
    }
    return smaller, result


def keep_layers(
    config: Mapping[str, Any], tensors: Mapping[str, Tensor], layers: Sequence[int]
) -> tuple[Config, Tensors]:
    """Keep whole layers, renumbered: the usual start of a student (DistilBERT, arXiv:1910.01108).

    Raises:
        ValueError: layers out of order, unknown, or dense and MoE layers in an order that no config can say.
    """
    model = parse_config(config)
    if not layers or list(layers) != sorted(set(layers)) or not 0 <= layers[0] <= layers[-1] < model.num_hidden_layers:
        raise ValueError(f"layers: must rise within 0 to {model.num_hidden_layers - 1} (got {list(layers)}).")
    smaller = {**config, "num_hidden_layers": len(layers)}
    if config.get("first_k_dense_replace"):
        smaller["first_k_dense_replace"] = sum(not model.is_moe_layer(i) for i in layers)
    if "layer_types" in config:
        smaller["layer_types"] = [config["layer_types"][i] for i in layers]
    place = {old: new for new, old in enumerate(layers)}
    result: Tensors = {}
    for name, tensor in tensors.items():
        match = _LAYER.match(name)
        if match is None:
            result[name] = tensor
        elif int(match[1]) in place:
            result[f"model.layers.{place[int(match[1])]}.{name[match.end() :]}"] = tensor
    kinds = [model.is_moe_layer(i) for i in layers]
    if kinds != [parse_config(smaller).is_moe_layer(i) for i in range(len(layers))]:
        raise ValueError("layers: the config cannot say which of these are dense. Keep layers of one kind.")
    return smaller, result


def _pruned(weight_OI: Tensor, sparsity: float, pattern: str) -> Tensor:
    size_OI = weight_OI.abs().float()
    if pattern == "2:4":
        if weight_OI.shape[-1] % 4:
            raise ValueError(f"pattern: 2:4 needs inputs in fours (got {weight_OI.shape[-1]}). Use unstructured.")
        fours = size_OI.view(*size_OI.shape[:-1], -1, 4)
        keep_OI = (
            torch.zeros_like(fours, dtype=torch.bool).scatter_(-1, fours.topk(2, dim=-1).indices, True).flatten(-2)
        )
    else:
        num_zeros = round(sparsity * size_OI.numel())
        keep_OI = torch.ones(size_OI.numel(), dtype=torch.bool, device=weight_OI.device)
        keep_OI[size_OI.flatten().argsort()[:num_zeros]] = False
        keep_OI = keep_OI.view_as(size_OI)
    return weight_OI.where(keep_OI, torch.zeros_like(weight_OI))


def _most_used(counts: Sequence[float], layer_idx: int, num_experts: int, num_groups: int, num_kept: int) -> list[int]:
    if len(counts) != num_experts:
        raise ValueError(
            f"counts: needs one of each of the {num_experts} experts of layer {layer_idx} ({len(counts)})."
        )
    by_group = torch.tensor(counts, dtype=torch.float64).view(num_groups, -1)
    best = by_group.sort(dim=1, descending=True, stable=True).indices[:, : num_kept // num_groups]
    first = torch.arange(num_groups)[:, None] * (num_experts // num_groups)
    kept: list[int] = (best + first).flatten().sort().values.tolist()
    return kept


def _slice_heads(tensors: Tensors, prefix: str, heads: Tensor, groups: Tensor, head_dim: int) -> None:
    """Rows of q, k and v and columns of o, in place."""

    def rows_of(which: Tensor) -> Tensor:
        return (which[:, None] * head_dim + torch.arange(head_dim)).flatten()

    if f"{prefix}.k_proj.weight" not in tensors or tensors.get(f"{prefix}.q_norm.weight", heads[:0]).numel() > head_dim:
        raise ValueError(f"{prefix}: heads cannot be taken apart (latent attention, or a norm over all heads).")
    for part, which in (("q_proj", heads), ("k_proj", groups), ("v_proj", groups)):
        for kind in ("weight", "bias"):
            if f"{prefix}.{part}.{kind}" in tensors:
                tensors[f"{prefix}.{part}.{kind}"] = tensors[f"{prefix}.{part}.{kind}"][rows_of(which)]
    if f"{prefix}.sinks" in tensors:
        tensors[f"{prefix}.sinks"] = tensors[f"{prefix}.sinks"][heads]
    tensors[f"{prefix}.o_proj.weight"] = tensors[f"{prefix}.o_proj.weight"][:, rows_of(heads)].contiguous()
