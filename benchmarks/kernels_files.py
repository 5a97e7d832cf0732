"""GGUF files for llama.cpp, made from the embedded one: its best 4-bit formats, and a mixture of experts.

They are for speed alone. Q4_0 and IQ4_NL round again what Q4_1 had rounded, IQ4_NL without the usual search for a
scale, so that nothing is claimed of their fidelity; all other tensors and the tokenizer are the file's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import GGUFReader, GGUFWriter, LlamaFileType
from gguf import GGUFValueType as ValueType

from core_model.config import ModelConfig

Format = Literal["Q4_0", "IQ4_NL"]
Tensor = tuple[str, np.ndarray, Type]  # name, bytes or floats, of which type
_FILE_TYPES: Mapping[Format, int] = {"Q4_0": LlamaFileType.MOSTLY_Q4_0, "IQ4_NL": LlamaFileType.MOSTLY_IQ4_NL}
_BLOCK = 32


def in_format(source: Path, kind: Format, folder: Path) -> Path:
    """A Q4_1 file with its 4-bit tensors in another format, written to `folder` once."""
    path, reader = folder / source.name.replace("Q4_1", kind), GGUFReader(source)
    if not path.is_file():
        tensors = (_rounded(tensor, kind) for tensor in reader.tensors)
        _write(path, reader, "llama", {"general.file_type": _FILE_TYPES[kind]}, tensors)
    return path


def as_mixture(source: Path, config: ModelConfig, folder: Path) -> Path:
    """A Q4_1 file of a Llama with the routed experts of `config`, a GLM-4-MoE, written to `folder` once.

    Attention, shared experts and head are the file's; routers and routed experts are random, so that tokens spread over
    all experts. What it says is worth nothing: this architecture turns queries and keys otherwise.
    """
    path, reader = folder / f"{source.stem}-mixture.gguf", GGUFReader(source)
    if path.is_file():
        return path
    changed = {
        "expert_count": config.n_routed_experts,
        "expert_used_count": config.num_experts_per_tok,
        "expert_shared_count": config.n_shared_experts,
        "expert_feed_forward_length": config.moe_intermediate_size,
        "expert_group_count": config.n_group,
        "expert_group_used_count": config.topk_group,
        "expert_gating_func": gguf.ExpertGatingFuncType.SIGMOID,
        "expert_weights_norm": config.norm_topk_prob,
        "leading_dense_block_count": 0,
        "rope.dimension_count": config.rotary_dim,
    }
    own: list[Tensor] = [(_renamed(t.name), t.data, t.tensor_type) for t in reader.tensors]
    rng, sizes = np.random.default_rng(0), (config.n_routed_experts, config.moe_intermediate_size, config.hidden_size)
    routed: list[Tensor] = []
    for i in range(config.num_hidden_layers):
        router, prefix = rng.standard_normal((sizes[0], sizes[2]), np.float32), f"blk.{i}"
        routed.append((f"{prefix}.ffn_gate_inp.weight", router, Type.F32))
        routed.append((f"{prefix}.exp_probs_b.bias", np.zeros(sizes[0], np.float32), Type.F32))
        for part, shape in (("gate", sizes), ("up", sizes), ("down", (sizes[0], sizes[2], sizes[1]))):
            experts = rng.standard_normal(shape, np.float32) * np.float32(shape[-1] ** -0.5)
            routed.append((f"{prefix}.ffn_{part}_exps.weight", gguf.quants.quantize(experts, Type.Q4_1), Type.Q4_1))
    _write(path, reader, "glm4moe", {f"glm4moe.{key}": value for key, value in changed.items()}, own + routed)
    return path


def pack_iq4_nl(weight_OI: np.ndarray) -> np.ndarray:
    """Blocks of 32 inputs as (O, bytes): a scale, then the index of the nearest of the format's 16 values for each."""
    values = np.array(gguf.quants.IQ4_NL.kvalues, np.float32)
    blocks = weight_OI.reshape(-1, _BLOCK)
    largest = np.take_along_axis(blocks, np.abs(blocks).argmax(-1, keepdims=True), -1)
    scale = (largest / values[0]).astype(np.float16)
    factor = scale.astype(np.float32)
    relative = np.divide(blocks, factor, out=np.zeros_like(blocks), where=factor != 0)
    codes = np.searchsorted((values[1:] + values[:-1]) / 2, relative).astype(np.uint8)
    halves = codes[:, : _BLOCK // 2] | codes[:, _BLOCK // 2 :] << 4
    return np.concatenate([scale.view(np.uint8), halves], -1).reshape(len(weight_OI), -1)


def _rounded(tensor: gguf.ReaderTensor, kind: Format) -> Tensor:
    if tensor.tensor_type != Type.Q4_1:
        return tensor.name, tensor.data, tensor.tensor_type
    weight_OI = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
    packed = pack_iq4_nl(weight_OI) if kind == "IQ4_NL" else gguf.quants.quantize(weight_OI, Type[kind])
    return tensor.name, packed, Type[kind]


def _renamed(name: str) -> str:
    return re.sub(r"ffn_(gate|up|down)", r"ffn_\1_shexp", name).replace("ffn_norm", "post_attention_norm")


def _write(
    path: Path, source: GGUFReader, architecture: str, changed: Mapping[str, int], tensors: Iterable[Tensor]
) -> None:
    """Metadata of `source` for another architecture, and what is changed in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".part")
    writer = GGUFWriter(draft, architecture)
    for field in source.fields.values():
        name = re.sub(r"^llama\.", f"{architecture}.", field.name)
        if name not in changed and not name.startswith("GGUF.") and name != "general.architecture":
            writer.add_key_value(name, field.contents(), field.types[0], field.types[-1])
    for name, value in changed.items():
        writer.add_key_value(name, value, ValueType.BOOL if isinstance(value, bool) else ValueType.UINT32)
    for name, data, kind in tensors:
        writer.add_tensor(name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    draft.replace(path)
