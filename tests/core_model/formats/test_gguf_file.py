"""Files written as llama.cpp writes them come back as the checkpoint they were made from, in every family."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from torch import Tensor

from core_model.config import parse_config
from core_model.formats.gguf_file import GGUFFile
from core_model.layout import check_tensors, expected_tensors
from core_model.loading import load_decoder
from core_model.model import Decoder, Segment
from core_model.quantized_weight import QuantizedWeight
from core_model.weights import Weights
from tests.core_model.formats.gguf_writing import random_tensors, write_gguf

SIZES: dict[str, Any] = {
    "vocab_size": 96,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-5,
    "rope_theta": 20_000.0,
}
EXPERTS: dict[str, Any] = {
    "n_routed_experts": 8,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
    "n_shared_experts": 2,
    "first_k_dense_replace": 1,
    "norm_topk_prob": True,
    "routed_scaling_factor": 2.5,
    "n_group": 2,
    "topk_group": 1,
}
LATENT: dict[str, Any] = {
    **EXPERTS,
    "num_key_value_heads": 4,
    "kv_lora_rank": 24,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8,
    "v_head_dim": 12,
}
YARN = {"rope_type": "yarn", "rope_theta": 20_000.0, "factor": 4.0, "original_max_position_embeddings": 32}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {},
    "llama, tied, biases": {"tie_word_embeddings": True, "attention_bias": True, "mlp_bias": True},
    "qwen2": {},
    "qwen3": {"head_dim": 32},
    "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": None},
    "olmoe": {"num_experts": 4, "num_experts_per_tok": 2},
    "qwen3_moe": {
        **{"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "head_dim": 32},
        "norm_topk_prob": True,
    },
    "glm4_moe": {
        **EXPERTS,
        "head_dim": 32,
        "use_qk_norm": True,
        "attention_bias": True,
        "rope_parameters": {"rope_type": "default", "rope_theta": 20_000.0, "partial_rotary_factor": 0.5},
    },
    "deepseek_v2": {
        **LATENT,
        "q_lora_rank": None,
        "norm_topk_prob": False,
        "topk_method": "group_limited_greedy",
        "rope_parameters": {**YARN, "mscale": 0.707, "mscale_all_dim": 0.707},
    },
    "deepseek_v3": {**LATENT, "q_lora_rank": 20},
    "gpt_oss": {
        **{"num_local_experts": 4, "num_experts_per_tok": 2, "head_dim": 16, "sliding_window": 8},
        "rope_parameters": {**YARN, "truncate": False},
    },
}


def make(name: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    raw = {"model_type": name.split(",")[0], **SIZES, **FAMILIES[name]}
    return raw, random_tensors(expected_tensors(parse_config(raw)))


@pytest.mark.parametrize("name", FAMILIES)
def test_config_and_weights_come_back(tmp_path: Path, name: str) -> None:
    raw, tensors = make(name)
    write_gguf(tmp_path / "m.gguf", raw, tensors)

    file = GGUFFile(tmp_path / "m.gguf")
    weights = file.weights()

    assert parse_config(file.config()) == parse_config(raw)
    check_tensors(parse_config(raw), weights)
    assert set(weights) == set(tensors)
    assert [key for key in tensors if not torch.equal(torch.as_tensor(weights[key]), tensors[key])] == []


@pytest.mark.parametrize("kind", ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "F16", "BF16"])
def test_a_quantized_file_computes_what_its_dequantized_weights_do(tmp_path: Path, kind: str) -> None:
    raw, tensors = make("llama")
    write_gguf(tmp_path / "m.gguf", raw, tensors, kind=gguf.GGMLQuantizationType[kind])
    weights, ids = GGUFFile(tmp_path / "m.gguf").weights(), torch.arange(20)
    dense = {n: w.dequantize() if isinstance(w, QuantizedWeight) else w for n, w in weights.items()}
    twin = Decoder(parse_config(raw), Weights(dense, precision="fp32"))

    decoder = load_decoder(tmp_path / "m.gguf", precision="fp32")

    assert isinstance(weights["model.layers.0.self_attn.q_proj.weight"], QuantizedWeight) == kind.startswith("Q")
    assert torch.equal(decoder(ids, [Segment(20)]), twin(ids, [Segment(20)]))
    error = max(float((dense[name] - tensors[name]).abs().max()) for name in tensors)
    assert 0 < error < 0.1


def test_a_shared_latent_projection_may_be_stored_whole(tmp_path: Path) -> None:
    """As llama.cpp wrote it before April 2025."""
    raw, tensors = make("deepseek_v3")
    whole = {f"blk.{i}.attn_kv_b.weight": tensors[f"model.layers.{i}.self_attn.kv_b_proj.weight"] for i in range(2)}
    write_gguf(tmp_path / "m.gguf", raw, tensors, extra={name: value.numpy() for name, value in whole.items()})

    weights = GGUFFile(tmp_path / "m.gguf").weights()

    assert set(weights) == set(tensors)
    assert torch.equal(
        torch.as_tensor(weights["model.layers.1.self_attn.kv_b_proj.weight"]), whole["blk.1.attn_kv_b.weight"]
    )


def test_a_tensor_that_nobody_reads_is_refused(tmp_path: Path) -> None:
    raw, tensors = make("llama")
    write_gguf(tmp_path / "m.gguf", raw, tensors, extra={"blk.0.attn_sub_norm.weight": np.ones(64, np.float32)})

    with pytest.raises(ValueError, match=r"1 tensor\(s\) unknown for 'llama'.*model\.layers\.0\.attn_sub_norm\.weight"):
        load_decoder(tmp_path / "m.gguf", precision="fp32")


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    raw, tensors = make("qwen3")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    write_gguf(tmp_path / "m.gguf", raw, tensors)

    with pytest.raises(ValueError, match=r"1 tensor\(s\) missing: model\.layers\.1\.mlp\.up_proj\.weight"):
        load_decoder(tmp_path / "m.gguf", precision="fp32")


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "mamba")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()

    with pytest.raises(ValueError, match=r"general\.architecture: is not read \(got 'mamba'\)\. Use one of: deepseek2"):
        GGUFFile(tmp_path / "m.gguf")


@pytest.mark.parametrize("keep", [3, 20, 60, 300, -4])
def test_a_file_cut_short_is_refused(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "m.gguf"
    write_gguf(path, *make("llama"))
    path.write_bytes(path.read_bytes()[:keep])

    with pytest.raises(ValueError, match=r"not a readable GGUF file \(got 'm\.gguf'.*Download the file again"):
        GGUFFile(path)


@pytest.mark.parametrize(
    "content",
    [
        b"not a model" * 10,
        b"GGUF" + (3).to_bytes(4, "little") + (2**62).to_bytes(8, "little") * 2,
        b"GGUF" + (3).to_bytes(4, "little") + bytes(8) + (1).to_bytes(8, "little") + (2**63).to_bytes(8, "little"),
        b"GGUF" + (99).to_bytes(4, "little") + bytes(16),
        b"GGUF" + bytes(3) + b"\3" + bytes(16),
    ],
    ids=["something else", "absurd counts", "absurd string", "future version", "big endian"],
)
def test_a_header_that_makes_no_sense_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.gguf").write_bytes(content)

    with pytest.raises(ValueError, match=r"not a readable GGUF file \(got 'm\.gguf'"):
        GGUFFile(tmp_path / "m.gguf")


def test_an_absurd_array_is_refused(tmp_path: Path) -> None:
    key = len("x").to_bytes(8, "little") + b"x"
    array = (9).to_bytes(4, "little") + (8).to_bytes(4, "little") + (2**60).to_bytes(8, "little")
    counts = bytes(8) + (1).to_bytes(8, "little")
    (tmp_path / "m.gguf").write_bytes(b"GGUF" + (3).to_bytes(4, "little") + counts + key + array)

    with pytest.raises(ValueError, match="in the middle of its header"):
        GGUFFile(tmp_path / "m.gguf")
