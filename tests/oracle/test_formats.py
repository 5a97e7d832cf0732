"""Folders that we write open in transformers, and compute what our decoder computes from them; and back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from compressed_tensors.compressors.naive_quantized import IntQuantizationCompressor
from compressed_tensors.compressors.pack_quantized import PackedQuantizationCompressor
from compressed_tensors.quantization import QuantizationArgs, QuantizationConfig, QuantizationScheme
from torch import Tensor
from transformers import AutoModelForCausalLM, Glm4MoeConfig, Glm4MoeForCausalLM, LlamaConfig, LlamaForCausalLM

from core_model.checkpoint import TensorFiles, save_checkpoint
from core_model.config import parse_config
from core_model.formats.compressed_tensors import PackedFormat, PlainFormat, encode, quantization_config, scheme_of
from core_model.formats.layers import StoredLayers
from core_model.formats.quantization_config import layer_formats
from core_model.layout import check_tensors, expected_tensors
from core_model.model import Decoder
from core_model.quantized_weight import QuantizedWeight, Weight
from core_model.weights import Weights
from tests.core_model.formats.quantizing import random_quantized
from tests.oracle.families import CASES, make_oracle
from tests.oracle.oracles import our_logits, randomize, save_and_read, their_logits

LLAMA: dict[str, Any] = {
    "vocab_size": 96,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
GLM: dict[str, Any] = {
    **LLAMA,
    "head_dim": 16,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 64,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
}
IDS = torch.randint(0, 96, (24,), generator=torch.Generator().manual_seed(1)).tolist()
SCHEMES: dict[str, list[dict[str, Any]]] = {
    "int4 groups": [{"bits": 4, "group_size": 32}],
    "int8 rows": [{"bits": 8, "group_size": 0}],
    "int4 and int8 by layer": [{"bits": 4, "group_size": 64}, {"bits": 8, "group_size": 32}],
}


def plain_checkpoint(model: Any, folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    model.save_pretrained(folder)
    files = TensorFiles(folder)
    return json.loads((folder / "config.json").read_text()), {name: files[name] for name in files}


def quantized(tensors: dict[str, Tensor], schemes: list[dict[str, Any]]) -> dict[str, Weight]:
    """Every projection as random integers, the schemes taken in turn."""
    weights: dict[str, Weight] = dict(tensors)
    for i, name in enumerate(sorted(n for n in tensors if n.endswith("proj.weight"))):
        outputs, inputs = tensors[name].shape
        scheme = schemes[i % len(schemes)]
        weights[name] = random_quantized(
            outputs, inputs, seed=i, **{**scheme, "group_size": scheme["group_size"] or inputs}
        )
    return weights


@pytest.mark.parametrize("schemes", SCHEMES.values(), ids=SCHEMES.keys())
def test_a_quantized_llama_opens_in_transformers_and_computes_the_same(
    tmp_path: Path, schemes: list[dict[str, Any]]
) -> None:
    config, tensors = plain_checkpoint(randomize(LlamaForCausalLM(LlamaConfig(**LLAMA)), seed=0), tmp_path / "plain")
    (tmp_path / "ours").mkdir()

    save_checkpoint(tmp_path / "ours", config, quantized(tensors, schemes))
    written = json.loads((tmp_path / "ours" / "config.json").read_text())
    ours = our_logits(written, StoredLayers(TensorFiles(tmp_path / "ours"), layer_formats(written)), IDS)
    opened = AutoModelForCausalLM.from_pretrained(tmp_path / "ours", dtype=torch.float32)

    assert (ours - their_logits(opened.eval(), IDS)).abs().max() <= 1e-4
    assert ours.std() > 0.01


def test_a_quantized_mixture_of_experts_opens_in_transformers_and_computes_the_same(tmp_path: Path) -> None:
    config, tensors = plain_checkpoint(randomize(Glm4MoeForCausalLM(Glm4MoeConfig(**GLM)), seed=0), tmp_path / "plain")
    (tmp_path / "ours").mkdir()

    save_checkpoint(tmp_path / "ours", config, quantized(tensors, [{"bits": 4, "group_size": 32}]))
    written = json.loads((tmp_path / "ours" / "config.json").read_text())
    layers = StoredLayers(TensorFiles(tmp_path / "ours"), layer_formats(written))
    opened = AutoModelForCausalLM.from_pretrained(tmp_path / "ours", dtype=torch.float32)

    assert isinstance(layers["model.layers.1.mlp.experts.0.up_proj.weight"], QuantizedWeight)
    assert (our_logits(written, layers, IDS) - their_logits(opened.eval(), IDS)).abs().max() <= 1e-4


@pytest.mark.parametrize(("bits", "group_size"), [(4, 32), (4, 64), (8, 64), (2, 16)])
@pytest.mark.parametrize("symmetric", [True, False])
def test_a_stored_layer_decompresses_in_the_reference_package(bits: int, group_size: int, symmetric: bool) -> None:
    """Layer by layer, for transformers 5.23 cannot load packed zero points: it expects them unpacked."""
    weight = random_quantized(24, 64, bits=bits, group_size=group_size, symmetric=symmetric)
    settings = quantization_config({"layer": scheme_of(weight)}, dense=())
    scheme = QuantizationConfig.model_validate(settings).config_groups["group_0"]

    stored = {name.removeprefix("layer."): tensor for name, tensor in encode("layer", weight).items()}
    theirs = PackedQuantizationCompressor.decompress(stored, scheme)["weight"]
    ours = PackedFormat().decode({f".{name}": tensor for name, tensor in stored.items()})

    assert torch.allclose(theirs, weight.dequantize(), rtol=0, atol=1e-6)
    assert isinstance(ours, QuantizedWeight)
    assert torch.equal(ours.codes_OI, weight.codes_OI)
    assert torch.equal(ours.dequantize(), weight.dequantize())


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("symmetric", [True, False])
def test_a_layer_of_the_reference_package_reads_as_it_does_there(bits: int, symmetric: bool) -> None:
    """pack-quantized and int-quantized, compressed by the package from random weights."""
    arguments = QuantizationArgs(num_bits=bits, type="int", symmetric=symmetric, strategy="group", group_size=32)
    scheme = QuantizationScheme(targets=["Linear"], weights=arguments)
    generator = torch.Generator().manual_seed(0)
    zeros_OG = torch.randint(-4, 4, (16, 3), dtype=torch.int8, generator=generator) * (not symmetric)
    state = {
        "weight": torch.randn(16, 96, generator=generator),
        "weight_scale": torch.rand(16, 3, generator=generator) + 0.1,
        "weight_zero_point": zeros_OG.to(torch.int8),
    }

    packed = PackedQuantizationCompressor.compress(state, scheme)
    expected = PackedQuantizationCompressor.decompress(packed, scheme)["weight"]
    found = PackedFormat().decode({f".{name}": tensor for name, tensor in packed.items()})
    plain = IntQuantizationCompressor.compress(state, scheme)
    found_plain = PlainFormat().decode({f".{name}": tensor for name, tensor in plain.items()})

    assert isinstance(found, QuantizedWeight)
    assert isinstance(found_plain, QuantizedWeight)
    assert torch.allclose(found.dequantize(), expected, atol=1e-4)
    assert torch.allclose(found_plain.dequantize(), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("model_class", "config_class", "options"),
    [(LlamaForCausalLM, LlamaConfig, LLAMA), (Glm4MoeForCausalLM, Glm4MoeConfig, GLM)],
    ids=["llama", "glm4_moe"],
)
def test_ours_to_transformers_to_ours_is_equal(
    tmp_path: Path, model_class: Any, config_class: Any, options: dict[str, Any]
) -> None:
    config, tensors = plain_checkpoint(randomize(model_class(config_class(**options)), seed=0), tmp_path / "first")
    (tmp_path / "ours").mkdir()

    save_checkpoint(tmp_path / "ours", config, tensors)
    opened, info = model_class.from_pretrained(tmp_path / "ours", dtype=torch.float32, output_loading_info=True)
    _, again = plain_checkpoint(opened, tmp_path / "again")

    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert again.keys() == tensors.keys()
    assert all(torch.equal(again[name], tensors[name]) for name in tensors)


class Recording(Mapping[str, Tensor]):
    """Remembers which tensors were asked for."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self.read: set[str] = set()
        self._tensors = tensors

    def __getitem__(self, name: str) -> Tensor:
        self.read.add(name)
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)


@pytest.mark.parametrize("case", CASES)
def test_the_layout_is_what_transformers_saves_and_our_decoder_reads(tmp_path: Path, case: str) -> None:
    raw, files = save_and_read(make_oracle(case), tmp_path)
    config, recording = parse_config(raw), Recording(files)

    check_tensors(config, files)
    Decoder(config, Weights(recording, precision="fp32"))

    assert recording.read == set(expected_tensors(config))
