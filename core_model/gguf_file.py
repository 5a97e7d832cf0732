"""Reads a Llama GGUF file: config keys, float tensors with upstream names, metadata. Ignores quantized computing.

llama.cpp interleaves the rows of q and k for its own rotary layout; here they go back to the checkpoint's split halves.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from torch import Tensor

_TOP = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


class LlamaGGUF:
    """One opened file. `metadata` holds its keys; `tensors()` dequantizes.

    Raises:
        ValueError: not a GGUF file, or another architecture.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._reader = gguf.GGUFReader(path)
        except (ValueError, OSError) as error:
            raise ValueError(
                f"file: not a readable GGUF file (got {path.name!r}). Install its package again."
            ) from error
        self.metadata: dict[str, Any] = {key: field.contents() for key, field in self._reader.fields.items()}
        architecture = self.metadata.get("general.architecture")
        if architecture != "llama":
            raise ValueError(f"general.architecture: only 'llama' GGUF files are read (got {architecture!r}).")

    def config(self) -> dict[str, Any]:
        """The keys of config.json."""
        get = self.metadata.__getitem__
        heads, dim = get("llama.attention.head_count"), get("llama.embedding_length")
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "vocab_size": get("llama.vocab_size"),
            "hidden_size": dim,
            "intermediate_size": get("llama.feed_forward_length"),
            "num_hidden_layers": get("llama.block_count"),
            "num_attention_heads": heads,
            "num_key_value_heads": get("llama.attention.head_count_kv"),
            "head_dim": dim // heads,
            "hidden_act": "silu",
            "max_position_embeddings": get("llama.context_length"),
            "rms_norm_eps": float(f"{get('llama.attention.layer_norm_rms_epsilon'):.6g}"),
            "rope_theta": get("llama.rope.freq_base"),
            "tie_word_embeddings": all(tensor.name != "output.weight" for tensor in self._reader.tensors),
            "attention_bias": False,
            "bos_token_id": get("tokenizer.ggml.bos_token_id"),
            "eos_token_id": get("tokenizer.ggml.eos_token_id"),
            "pad_token_id": self.metadata.get("tokenizer.ggml.padding_token_id"),
        }

    def tensors(self, on_progress: Callable[[float], None]) -> dict[str, Tensor]:
        """Every tensor, fp32, by its upstream name."""
        config, result = self.config(), {}
        heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
        for i, stored in enumerate(self._reader.tensors):
            value = np.ascontiguousarray(gguf.quants.dequantize(stored.data, stored.tensor_type), dtype=np.float32)
            kind = stored.name.removesuffix(".weight").split(".")[-1]
            if kind in heads:
                value = _split_half_order(value, heads[kind])
            result[_upstream_name(stored.name)] = torch.from_numpy(value.copy())
            on_progress((i + 1) / len(self._reader.tensors))
        return result


def _upstream_name(name: str) -> str:
    parts = name.removesuffix(".weight").split(".")
    if parts[0] == "blk" and parts[-1] in _LAYER:
        return f"model.layers.{parts[1]}.{_LAYER[parts[-1]]}.weight"
    if parts[0] in _TOP:
        return f"{_TOP[parts[0]]}.weight"
    raise ValueError(f"GGUF tensor {name!r} has no place in a Llama checkpoint.")


def _split_half_order(value: np.ndarray[Any, Any], num_heads: int) -> np.ndarray[Any, Any]:
    """(heads, R/2, 2, in) back to (heads, 2, R/2, in): the inverse of llama.cpp's `permute`."""
    rows, columns = value.shape
    return value.reshape(num_heads, rows // num_heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)
