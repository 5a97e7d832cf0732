"""A whole folder in each quantized format loads by its config.json, and computes what its dequantized weights do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from core_model.checkpoint import open_checkpoint, write_json, write_tensors
from core_model.config import parse_config
from core_model.formats.bits import pack
from core_model.loading import load_decoder
from core_model.model import Decoder, Segment
from core_model.quantized_weight import QuantizedWeight
from core_model.weights import Precision, Weights
from tests.core_model.formats.quantizing import random_quantized

METHODS: dict[str, dict[str, Any]] = {
    "fp8": {"quant_method": "fp8", "weight_block_size": [16, 16]},
    "gptq": {"quant_method": "gptq", "bits": 4, "group_size": 32},
    "int-quantized": {"quant_method": "compressed-tensors", "format": "int-quantized", "config_groups": {}},
}


def stored_layer(name: str, weight: QuantizedWeight, method: str) -> dict[str, Tensor]:
    layer = name.removesuffix(".weight")
    if method == "fp8":
        blocks = (-(-weight.shape[0] // 16), weight.shape[1] // 16)
        return {name: weight.dequantize().to(torch.float8_e4m3fn), f"{name}_scale_inv": torch.rand(blocks) + 0.5}
    if method == "gptq":
        zeros_GO = torch.full((weight.scale_OG.shape[1], weight.shape[0]), 7, dtype=torch.uint8)
        parts = {"qweight": pack(weight.codes_OI, 4).t().contiguous(), "qzeros": pack(zeros_GO, 4)}
        parts |= {"scales": weight.scale_OG.t().contiguous(), "g_idx": torch.arange(weight.shape[1]) // 32}
        return {f"{layer}.{end}": tensor for end, tensor in parts.items()}
    return {name: (weight.codes_OI.int() - 128).to(torch.int8), f"{layer}.weight_scale": weight.scale_OG}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_folder_loads_by_its_config(
    tmp_path: Path, llama_config: dict[str, Any], llama_tensors: dict[str, Tensor], method: str, precision: Precision
) -> None:
    torch.manual_seed(0)
    bits, tensors = 4 if method == "gptq" else 8, dict(llama_tensors)
    for seed, name in enumerate(n for n in llama_tensors if n.endswith("proj.weight")):
        outputs, inputs = tensors.pop(name).shape
        tensors |= stored_layer(name, random_quantized(outputs, inputs, bits=bits, seed=seed), method)
    write_json(tmp_path / "config.json", {**llama_config, "quantization_config": METHODS[method]})
    write_tensors(tmp_path, tensors, lambda done: None)
    weights, ids = open_checkpoint(tmp_path).weights, torch.arange(20)
    dense = {n: w.dequantize() if isinstance(w, QuantizedWeight) else w for n, w in weights.items()}
    twin = Decoder(parse_config(llama_config), Weights(dense, precision="fp32"))
    limit = 0.0 if precision == "fp32" else 0.03  # grouped integers are computed with as they are

    decoder = load_decoder(tmp_path, precision=precision)

    assert set(weights) == set(llama_tensors)
    assert isinstance(weights["model.layers.0.mlp.up_proj.weight"], QuantizedWeight) == (method != "fp8")
    expected = twin(ids, [Segment(20)])
    assert float((decoder(ids, [Segment(20)]) - expected).norm() / expected.norm()) <= limit
