"""What a checkpoint lacks, has too much of, or has in another shape is said before anything is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from core_model.checkpoint import write_json, write_tensors
from core_model.config import parse_config
from core_model.layout import check_tensors, expected_tensors
from core_model.loading import load_decoder


def write(folder: Path, config: dict[str, Any], tensors: dict[str, Tensor]) -> Path:
    write_json(folder / "config.json", config)
    write_tensors(folder, tensors, lambda done: None)
    return folder


def test_a_whole_checkpoint_loads(
    tmp_path: Path, llama_config: dict[str, Any], llama_tensors: dict[str, Tensor]
) -> None:
    assert expected_tensors(parse_config(llama_config)) == {n: tuple(t.shape) for n, t in llama_tensors.items()}
    assert load_decoder(write(tmp_path, llama_config, llama_tensors), precision="fp32").config.vocab_size == 300


def test_five_missing_tensors_are_named_and_the_rest_counted(
    tmp_path: Path, llama_config: dict[str, Any], llama_tensors: dict[str, Tensor]
) -> None:
    kept = {name: tensor for name, tensor in llama_tensors.items() if "layers.1." not in name}

    with pytest.raises(
        ValueError, match=r"9 tensor\(s\) missing: model\.layers\.1\.input_layernorm\.weight, .* and 4 more\. Download"
    ):
        load_decoder(write(tmp_path, llama_config, kept), precision="int8")


def test_every_kind_of_problem_is_said_at_once(
    tmp_path: Path, llama_config: dict[str, Any], llama_tensors: dict[str, Tensor]
) -> None:
    tensors = {**llama_tensors, "model.layers.0.self_attn.q_norm.weight": torch.ones(8)}
    tensors["model.layers.1.mlp.down_proj.weight"] = torch.ones(32, 63)
    del tensors["model.norm.weight"]

    with pytest.raises(ValueError, match="checkpoint: ") as error:
        load_decoder(write(tmp_path, llama_config, tensors), precision="fp32")
    text = str(error.value)

    assert "1 tensor(s) missing: model.norm.weight" in text
    assert "model.layers.1.mlp.down_proj.weight is [32, 63], not [32, 64]" in text
    assert "unknown for 'llama', and would change what it computes: model.layers.0.self_attn.q_norm.weight" in text
    assert text.endswith("Download the model again, or its matching config.json.")


@pytest.mark.parametrize(
    "name", ["model.layers.0.self_attn.rotary_emb.inv_freq", "lm_head.weight", "model.layers.0.self_attn.k_scale"]
)
def test_what_other_programs_leave_behind_may_stay(
    llama_config: dict[str, Any], llama_tensors: dict[str, Tensor], name: str
) -> None:
    check_tensors(parse_config(llama_config), {**llama_tensors, name: torch.ones(4)})


def test_a_head_that_is_not_tied_may_not_be_missing(
    llama_config: dict[str, Any], llama_tensors: dict[str, Tensor]
) -> None:
    config = parse_config({**llama_config, "tie_word_embeddings": False})

    with pytest.raises(ValueError, match=r"missing: lm_head\.weight"):
        check_tensors(config, llama_tensors)


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "config.json: not JSON"), ("[1]", "config.json: must hold an object"), ("[" * 100_000, "not JSON")],
)
def test_a_config_that_is_none_is_refused(
    tmp_path: Path, llama_tensors: dict[str, Tensor], content: str, message: str
) -> None:
    write(tmp_path, {}, llama_tensors)
    (tmp_path / "config.json").write_text(content)

    with pytest.raises(ValueError, match=message):
        load_decoder(tmp_path, precision="fp32")


def test_a_damaged_file_is_named(
    tmp_path: Path, llama_config: dict[str, Any], llama_tensors: dict[str, Tensor]
) -> None:
    path = next(write(tmp_path, llama_config, llama_tensors).glob("*.safetensors"))
    path.write_bytes(path.read_bytes()[:-100])

    with pytest.raises(ValueError, match=rf"{path.name}: damaged safetensors file .*the file at"):
        load_decoder(tmp_path, precision="fp32")


def test_an_unknown_quantization_is_refused(
    tmp_path: Path, llama_config: dict[str, Any], llama_tensors: dict[str, Tensor]
) -> None:
    config = {**llama_config, "quantization_config": {"quant_method": "hqq"}}

    with pytest.raises(ValueError, match=r"quantization_config: quant_method is not read \(got 'hqq'\)"):
        load_decoder(write(tmp_path, json.loads(json.dumps(config)), llama_tensors), precision="fp32")
