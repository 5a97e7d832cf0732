"""A GGUF written with the reference package reads back with upstream names and row order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from torch import Tensor

from core_model.gguf_file import LlamaGGUF

NAMES = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def llama_cpp_permute(weight: np.ndarray[Any, Any], num_heads: int) -> np.ndarray[Any, Any]:
    """As in llama.cpp's convert_hf_to_gguf.py, LlamaModel.permute."""
    return (
        weight.reshape(num_heads, 2, weight.shape[0] // num_heads // 2, *weight.shape[1:])
        .swapaxes(1, 2)
        .reshape(weight.shape)
    )


def write_gguf(path: Path, tensors: dict[str, Tensor], *, architecture: str = "llama") -> None:
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_block_count(2)
    writer.add_context_length(128)
    writer.add_embedding_length(32)
    writer.add_feed_forward_length(64)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10_000.0)
    writer.add_vocab_size(300)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    for name, tensor in tensors.items():
        value = tensor.numpy()
        if "q_proj" in name or "k_proj" in name:
            value = llama_cpp_permute(value, 4 if "q_proj" in name else 2)
        writer.add_tensor(to_gguf(name), np.ascontiguousarray(value))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def to_gguf(name: str) -> str:
    if name.startswith("model.layers."):
        _, _, layer, *rest = name.removesuffix(".weight").split(".")
        return f"blk.{layer}.{NAMES['.'.join(rest)]}.weight"
    return {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}[name]


def test_tensors_and_config_come_back(
    tmp_path: Path, llama_tensors: dict[str, Tensor], llama_config: dict[str, Any]
) -> None:
    write_gguf(tmp_path / "m.gguf", llama_tensors)
    progress: list[float] = []

    source = LlamaGGUF(tmp_path / "m.gguf")
    tensors = source.tensors(progress.append)

    assert tensors.keys() == llama_tensors.keys()
    assert all(torch.equal(tensors[name], llama_tensors[name]) for name in tensors)
    assert progress[-1] == 1.0
    assert source.config().items() >= llama_config.items()


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    write_gguf(tmp_path / "m.gguf", {}, architecture="mamba")

    with pytest.raises(ValueError, match="only 'llama' GGUF files are read \\(got 'mamba'\\)"):
        LlamaGGUF(tmp_path / "m.gguf")


def test_a_file_that_is_no_gguf_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"not a model" * 10)

    with pytest.raises(ValueError, match=r"not a readable GGUF file \(got 'm\.gguf'\)"):
        LlamaGGUF(tmp_path / "m.gguf")
