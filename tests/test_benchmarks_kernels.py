"""What `benchmarks.kernels` gives llama.cpp is the same model, and what it counts is what a token reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import gguf
import numpy as np
import pytest
import torch

from benchmarks.kernels_files import Format, as_mixture, in_format, pack_iq4_nl
from benchmarks.kernels_programs import bytes_per_token
from core_model.config import parse_config
from core_model.formats.gguf_file import GGUFFile
from core_model.layout import check_tensors, expected_tensors
from core_model.quantized_weight import QuantizedWeight, Weight
from tests.core_model.formats.gguf_writing import random_tensors, write_gguf
from tests.core_model.kernels.conftest import open_at
from tests.core_model.kernels.small import CONFIGS, native

LLAMA = {**CONFIGS["llama"], "head_dim": 16}
MIXTURE = {**CONFIGS["glm4_moe"], "head_dim": 16, "partial_rotary_factor": 1.0, "first_k_dense_replace": 0}
MIXTURE |= {"n_shared_experts": 3, "tie_word_embeddings": True, "use_qk_norm": False, "routed_scaling_factor": 1.0}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A small file in Q4_1."""
    path = tmp_path / "small.Q4_1.gguf"
    tensors = random_tensors(expected_tensors(parse_config(LLAMA)))
    write_gguf(path, LLAMA, tensors, kind=gguf.GGMLQuantizationType.Q4_1)
    return path


def test_iq4_nl_takes_the_nearest_of_its_values() -> None:
    values = np.array(gguf.quants.IQ4_NL.kvalues, np.float32)
    rng = np.random.default_rng(0)
    exact_OI = rng.choice(values[1:], (8, 64)) * np.float32(0.5)
    exact_OI[:, ::32] = values[0] * np.float32(0.5)  # the largest of each block, so that its scale is .5
    near_OI = exact_OI + rng.uniform(-2, 2, exact_OI.shape).astype(np.float32)  # values are 9 * .5 apart, or more
    near_OI[:, ::32] = exact_OI[:, ::32]
    near_OI[0] = exact_OI[0] = 0

    found_OI = gguf.quants.dequantize(pack_iq4_nl(near_OI), gguf.GGMLQuantizationType.IQ4_NL)

    np.testing.assert_array_equal(found_OI, exact_OI)


@pytest.mark.parametrize("kind", get_args(Format))
def test_the_same_model_in_another_format_has_about_the_same_weights(
    source: Path, tmp_path: Path, kind: Format
) -> None:
    found, expected = gguf.GGUFReader(in_format(source, kind, tmp_path)), gguf.GGUFReader(source)

    assert found.fields.keys() - expected.fields.keys() == {"general.file_type"}
    shared = expected.fields.keys() - {"GGUF.kv_count"}
    assert all(found.fields[key].contents() == expected.fields[key].contents() for key in shared)
    for tensor, original in zip(found.tensors, expected.tensors, strict=True):
        assert tensor.name == original.name
        assert tensor.tensor_type.name == (kind if original.tensor_type.name == "Q4_1" else "F32")
        weight, exact = (gguf.quants.dequantize(each.data, each.tensor_type) for each in (tensor, original))
        assert np.linalg.norm(weight - exact) < 0.15 * np.linalg.norm(exact), tensor.name


def test_the_mixture_has_the_files_weights_and_experts_of_the_asked_shape(source: Path, tmp_path: Path) -> None:
    config = parse_config(MIXTURE)

    file = GGUFFile(as_mixture(source, config, tmp_path))

    weights, originals = dense(file.weights()), dense(GGUFFile(source).weights())
    assert parse_config(file.config()) == config
    check_tensors(config, weights)
    down = "model.layers.1.mlp.{}down_proj.weight"
    assert torch.equal(weights[down.format("shared_experts.")], originals[down.format("")])
    assert not torch.equal(weights[down.format("experts.0.")], weights[down.format("experts.1.")])


@pytest.mark.parametrize("name", ["llama", "glm4_moe"])
def test_a_token_reads_its_own_experts_and_all_else(name: str) -> None:
    decoder = native(name, open_at(None))
    raw = CONFIGS[name]
    dim, width, heads = raw["hidden_size"], raw["intermediate_size"], raw["num_attention_heads"]
    four_bits = 2 * dim * raw["head_dim"] * 2 * (heads + raw["num_key_value_heads"]) + 3 * dim * width
    if name == "llama":
        four_bits += 3 * dim * width
    else:
        four_bits += 3 * dim * raw["moe_intermediate_size"] * (raw["n_shared_experts"] + raw["num_experts_per_tok"])
    routers = 4 * dim * raw.get("n_routed_experts", 0)
    head = -(-raw["vocab_size"] // 16) * 16 * dim

    assert bytes_per_token(decoder) == pytest.approx(four_bits * 320 / 512 + head * 544 / 512 + routers)


def dense(weights: Mapping[str, Weight]) -> dict[str, torch.Tensor]:
    return {n: w.dequantize() if isinstance(w, QuantizedWeight) else w for n, w in weights.items()}
