"""Writes GGUF files as llama.cpp's convert_hf_to_gguf.py does, with the reference package: keys, names, layouts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from torch import Tensor

F32 = gguf.GGMLQuantizationType.F32
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Vocabulary:
    """A byte-level BPE tokenizer, as GGUF keeps it."""

    tokens: list[str]
    merges: list[str]
    num_special: int
    chat_template: str


def write_gguf(
    path: Path,
    raw: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    *,
    kind: gguf.GGMLQuantizationType = F32,
    extra: Mapping[str, Array] | None = None,
    vocabulary: Vocabulary | None = None,
) -> None:
    """Write a model; matrices as `kind` where their rows fill its blocks, all else fp32."""
    architecture = architecture_of(raw)
    arch = {name: key for key, name in gguf.MODEL_ARCH_NAMES.items()}[architecture]
    writer = gguf.GGUFWriter(path, architecture)
    add_keys(writer, raw)
    if vocabulary:
        add_vocabulary(writer, vocabulary)
    table = gguf.get_tensor_name_map(arch, raw["num_hidden_layers"])
    for name, value in {**converted(raw, tensors)}.items():
        stored = table.get_name(name, try_suffixes=(".weight", ".bias"))
        assert stored, name
        if value.ndim > 1 and value.shape[-1] % gguf.GGML_QUANT_SIZES[kind][0] == 0:
            writer.add_tensor(stored, gguf.quants.quantize(value, kind), raw_dtype=kind)
        else:
            writer.add_tensor(stored, value)
    for name, value in (extra or {}).items():
        writer.add_tensor(name, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_vocabulary(writer: gguf.GGUFWriter, vocabulary: Vocabulary) -> None:
    """`TextModel._set_vocab_gpt2`; the first tokens are special."""
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(vocabulary.tokens)
    kinds = [gguf.TokenType.CONTROL] * vocabulary.num_special
    writer.add_token_types([*kinds, *[gguf.TokenType.NORMAL] * (len(vocabulary.tokens) - len(kinds))])
    writer.add_token_merges(vocabulary.merges)
    writer.add_chat_template(vocabulary.chat_template)


def architecture_of(raw: Mapping[str, Any]) -> str:
    """llama.cpp's name."""
    names = {"mixtral": "llama", "qwen3_moe": "qwen3moe", "glm4_moe": "glm4moe", "gpt_oss": "gpt-oss"}
    names |= {"deepseek_v2": "deepseek2", "deepseek_v3": "deepseek2"}
    return names.get(raw["model_type"], raw["model_type"])


def add_keys(writer: gguf.GGUFWriter, raw: Mapping[str, Any]) -> None:
    """`TextModel.set_gguf_parameters` and what the families add."""
    is_latent = "kv_lora_rank" in raw
    writer.add_block_count(raw["num_hidden_layers"])
    writer.add_context_length(raw["max_position_embeddings"])
    writer.add_embedding_length(raw["hidden_size"])
    writer.add_feed_forward_length(raw["intermediate_size"])
    writer.add_head_count(raw["num_attention_heads"])
    writer.add_head_count_kv(1 if is_latent else raw["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(raw["rms_norm_eps"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    rope = raw.get("rope_parameters", {})
    writer.add_rope_freq_base(rope.get("rope_theta", raw.get("rope_theta", 10_000.0)))
    if rope.get("rope_type") == "yarn":
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(rope["factor"])
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
        if "mscale_all_dim" in rope:
            writer.add_rope_scaling_yarn_log_mul(0.1 * rope["mscale_all_dim"])
    experts = raw.get("num_local_experts", raw.get("num_experts", raw.get("n_routed_experts")))
    if experts:
        writer.add_expert_count(experts)
        writer.add_expert_used_count(raw["num_experts_per_tok"])
    if "moe_intermediate_size" in raw or raw["model_type"] == "gpt_oss":
        writer.add_expert_feed_forward_length(raw.get("moe_intermediate_size", raw["intermediate_size"]))
    if "n_shared_experts" in raw:
        writer.add_expert_shared_count(raw["n_shared_experts"])
        writer.add_leading_dense_block_count(raw["first_k_dense_replace"])
        writer.add_expert_weights_scale(raw["routed_scaling_factor"])
        writer.add_expert_weights_norm(raw["norm_topk_prob"])
        writer.add_expert_group_count(raw["n_group"])
        writer.add_expert_group_used_count(raw["topk_group"])
        is_sigmoid = raw["model_type"] != "deepseek_v2"
        writer.add_expert_gating_func(
            gguf.ExpertGatingFuncType.SIGMOID if is_sigmoid else gguf.ExpertGatingFuncType.SOFTMAX
        )
    if raw.get("sliding_window"):
        writer.add_sliding_window(raw["sliding_window"])
    if is_latent:
        if raw["q_lora_rank"]:
            writer.add_q_lora_rank(raw["q_lora_rank"])
        writer.add_kv_lora_rank(raw["kv_lora_rank"])
        writer.add_key_length(raw["kv_lora_rank"] + raw["qk_rope_head_dim"])
        writer.add_value_length(raw["kv_lora_rank"])
        writer.add_key_length_mla(raw["qk_nope_head_dim"] + raw["qk_rope_head_dim"])
        writer.add_value_length_mla(raw["v_head_dim"])
        writer.add_rope_dimension_count(raw["qk_rope_head_dim"])
        return
    if "head_dim" in raw:
        writer.add_key_length(raw["head_dim"])
        writer.add_value_length(raw["head_dim"])
    if raw["model_type"] == "glm4_moe":
        writer.add_rope_dimension_count(int(raw["head_dim"] * rope["partial_rotary_factor"]))


def converted(raw: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, Array]:
    """`modify_tensors` of the families: names that gguf's table knows, and llama.cpp's layouts."""
    result: dict[str, Array] = {}
    experts: dict[str, list[Array]] = {}
    for name, tensor in tensors.items():
        value = tensor.float().numpy()
        if match := re.fullmatch(r"(.*experts)\.\d+\.(.*)", name):
            experts.setdefault(f"{match[1]}.{match[2]}", []).append(value)
        elif name.endswith("experts.down_proj"):
            result[f"{name}.weight"] = value.swapaxes(1, 2)
        elif "experts.gate_up_proj" in name:
            prefix, is_bias = name.split("gate_up_proj")[0], name.endswith("_bias")
            turned = value if is_bias else value.swapaxes(1, 2)
            for i, part in enumerate(("gate_proj", "up_proj")):
                result[f"{prefix}{part}.{'bias' if is_bias else 'weight'}"] = turned[:, i::2]
        elif name.endswith("kv_b_proj.weight"):
            kv_b = value.reshape(raw["num_attention_heads"], -1, raw["kv_lora_rank"])
            result[name.replace("kv_b", "k_b")] = kv_b[:, : raw["qk_nope_head_dim"]].swapaxes(1, 2)
            result[name.replace("kv_b", "v_b")] = kv_b[:, raw["qk_nope_head_dim"] :]
        elif architecture_of(raw) == "llama" and re.search(r"\.[qk]_proj\.", name):
            heads = raw["num_attention_heads"] if ".q_proj" in name else raw["num_key_value_heads"]
            result[name] = permuted(value, heads)
        else:
            replaced = name.replace("_correction_bias", "_correction.bias").replace("down_proj_bias", "down_proj.bias")
            result[replaced + (".weight" if name.endswith("sinks") else "")] = value
    result |= {name: np.stack(values) for name, values in experts.items()}
    return {name: np.ascontiguousarray(value) for name, value in result.items()}


def permuted(weight: Array, num_heads: int) -> Array:
    """As in convert_hf_to_gguf.py, LlamaModel.permute."""
    rows = weight.shape[0] // num_heads // 2
    return weight.reshape(num_heads, 2, rows, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def random_tensors(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Seeded weights of these shapes; norms around 1."""
    torch.manual_seed(0)
    return {name: torch.randn(shape) * 0.1 + ("norm" in name) for name, shape in shapes.items()}
