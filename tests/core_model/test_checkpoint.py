"""A checkpoint folder is whole or absent, and a changed file is noticed."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from core_model.checkpoint import (
    TensorFiles,
    new_folder,
    open_checkpoint,
    read_manifest,
    save_checkpoint,
    verify,
    write_manifest,
    write_tensors,
)
from core_model.quantized_weight import QuantizedWeight
from tests.core_model.formats.quantizing import random_quantized

TENSORS = {"a": torch.arange(6.0).view(2, 3), "b": torch.ones(2, dtype=torch.bfloat16)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    target = tmp_path / "model"
    with new_folder(target) as partial:
        write_tensors(partial, TENSORS, lambda done: None)
        write_manifest(partial, name="tiny")
    return target


def test_tensors_read_back_as_written(folder: Path) -> None:
    files = TensorFiles(folder)

    assert sorted(files) == ["a", "b"]
    assert all(
        torch.equal(files[name], tensor) and files[name].dtype == tensor.dtype for name, tensor in TENSORS.items()
    )


def test_large_tensors_are_spread_over_shards_and_all_found(tmp_path: Path) -> None:
    tensors = {f"t{i}": torch.zeros(100 * 2**20, dtype=torch.uint8) for i in range(2)}
    progress: list[float] = []

    write_tensors(tmp_path, tensors, progress.append)

    assert len(list(tmp_path.glob("model-*-of-00002.safetensors"))) == 2
    assert progress == [0.5, 1.0]
    assert set(TensorFiles(tmp_path)) == set(tensors)


def test_the_version_depends_on_the_contents_alone(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    with new_folder(other) as partial:
        write_tensors(partial, TENSORS, lambda done: None)
        write_manifest(partial, name="tiny")

    assert verify(folder) == verify(other)
    assert verify(folder).startswith("tiny-")


def test_a_flipped_bit_is_noticed(folder: Path) -> None:
    path = next(folder.glob("*.safetensors"))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)

    with pytest.raises(ValueError, match=rf"{path.name}: sha256 is .* Delete the folder"):
        verify(folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    path = next(folder.glob("*.safetensors"))
    path.unlink()

    with pytest.raises(ValueError, match=f"{path.name}: missing"):
        verify(folder)


@pytest.mark.parametrize("content", [None, "", "{}", "[1]"])
def test_an_unreadable_manifest_is_refused(folder: Path, content: str | None) -> None:
    (folder / "manifest.json").unlink()
    if content is not None:
        (folder / "manifest.json").write_text(content)

    with pytest.raises(ValueError, match=r"no readable manifest\.json"):
        read_manifest(folder)


def test_an_interrupted_write_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(done: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), new_folder(tmp_path / "model") as partial:
        write_tensors(partial, TENSORS, interrupt)

    assert list(tmp_path.iterdir()) == []


def test_a_broken_folder_is_replaced_whole(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "stale").write_text("old")

    with new_folder(tmp_path / "model") as partial:
        (partial / "fresh").write_text("new")

    assert [path.name for path in (tmp_path / "model").iterdir()] == ["fresh"]


def test_a_complete_folder_of_another_process_stays(folder: Path) -> None:
    with new_folder(folder) as partial:
        write_manifest(partial, name="slower")

    assert read_manifest(folder)["version"].startswith("tiny-")
    assert len(list(folder.parent.iterdir())) == 1


def test_what_a_killed_process_left_is_removed_after_an_hour(tmp_path: Path) -> None:
    old, recent = tmp_path / ".model-partial-old", tmp_path / ".model-partial-recent"
    for left in (old, recent):
        left.mkdir()
    os.utime(old, (0, 0))

    with new_folder(tmp_path / "model"):
        pass

    assert sorted(path.name for path in tmp_path.iterdir()) == [".model-partial-recent", "model"]


def write_index(folder: Path, weight_map: object) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def test_a_missing_shard_is_named_at_once(folder: Path) -> None:
    write_index(folder, {"a": "model-00001-of-00001.safetensors", "b": "model-00002-of-00002.safetensors"})

    with pytest.raises(ValueError, match=r"model-00002-of-00002\.safetensors: missing from 'model', though .*index"):
        TensorFiles(folder)


@pytest.mark.parametrize("name", ["../secret.safetensors", "/etc/passwd", "sub/x.safetensors", "..", "x.bin", 3])
def test_an_index_cannot_point_elsewhere(folder: Path, name: object) -> None:
    (folder.parent / "secret.safetensors").write_bytes(next(folder.glob("*.safetensors")).read_bytes())
    write_index(folder, {"a": name})

    with pytest.raises(ValueError, match=rf"index\.json: files must be safetensors files beside it \(got '{name}'"):
        TensorFiles(folder)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"weight_map": 3}', "[" * 100_000])
def test_an_index_that_is_none_is_refused(folder: Path, content: str) -> None:
    (folder / "model.safetensors.index.json").write_text(content)

    with pytest.raises(ValueError, match=r"no readable weight_map in it\. Download or convert"):
        TensorFiles(folder)


def test_a_tensor_that_the_index_invents_is_named(folder: Path) -> None:
    write_index(folder, {"a": "model-00001-of-00001.safetensors", "ghost": "model-00001-of-00001.safetensors"})

    with pytest.raises(ValueError, match=r"model-00001-of-00001\.safetensors: tensor ghost is not in it"):
        TensorFiles(folder)["a"]


def test_shapes_are_known_without_reading(folder: Path) -> None:
    assert TensorFiles(folder).shape("a") == (2, 3)


def test_grouped_integers_are_stored_so_that_they_come_back(tmp_path: Path) -> None:
    weights = {
        "model.embed_tokens.weight": torch.ones(8, 64),
        "model.layers.0.self_attn.q_proj.weight": random_quantized(16, 64, bits=4, symmetric=False),
        "model.layers.0.self_attn.o_proj.weight": random_quantized(64, 64, bits=8),
        "model.norm.weight": torch.ones(64),
        "lm_head.weight": torch.ones(8, 64),
    }

    save_checkpoint(tmp_path, {"model_type": "llama", "quantization_config": {"quant_method": "old"}}, weights)
    found = open_checkpoint(tmp_path)
    settings = found.config["quantization_config"]

    assert settings["ignore"] == ["lm_head"]
    assert [group["targets"] for group in settings["config_groups"].values()] == [
        ["Linear"],
        ["model.layers.0.self_attn.o_proj"],
    ]
    assert set(found.weights) == set(weights)
    for name, weight in weights.items():
        again = found.weights[name]
        if isinstance(weight, QuantizedWeight):
            assert isinstance(again, QuantizedWeight)
            assert torch.equal(again.codes_OI, weight.codes_OI)
            assert torch.equal(again.dequantize(), weight.dequantize())
        else:
            assert torch.equal(again, weight)


def test_scales_take_two_bytes_where_that_loses_nothing(tmp_path: Path) -> None:
    exact = random_quantized(16, 64)
    rounded = replace(exact, scale_OG=exact.scale_OG.bfloat16().float())
    rounded = replace(rounded, offset_OG=-8 * rounded.scale_OG)

    save_checkpoint(tmp_path, {}, {"x.weight": exact, "y.weight": rounded})
    files = TensorFiles(tmp_path)

    assert files["x.weight_scale"].dtype == torch.float32
    assert files["y.weight_scale"].dtype == torch.bfloat16


@pytest.mark.parametrize("name", ["lm_head.weight", "model.embed_tokens.weight", "model.layers.0.mlp.gate.weight"])
def test_what_stays_in_high_precision_is_not_stored_in_few_bits(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: embeddings, head and routers stay in high precision. Give a tensor"):
        save_checkpoint(tmp_path, {}, {name: random_quantized(16, 64)})


def test_offsets_that_are_no_zero_points_are_refused(tmp_path: Path) -> None:
    weight = random_quantized(16, 64)

    with pytest.raises(ValueError, match=r"x: its offsets are no whole zero points\. Write it dequantized"):
        save_checkpoint(tmp_path, {}, {"x.weight": replace(weight, offset_OG=weight.offset_OG + weight.scale_OG / 3)})


def test_five_bits_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"x: bits must be one of \(2, 4, 8\) \(got 5\)"):
        save_checkpoint(tmp_path, {}, {"x.weight": random_quantized(16, 64, bits=5)})


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no \.safetensors file"):
        TensorFiles(tmp_path)


@pytest.mark.parametrize("length", range(1, 9))
def test_tensors_begin_at_multiples_of_16_bytes(tmp_path: Path, length: int) -> None:
    tensors = {"a": torch.ones(16, dtype=torch.int8), "b" * length: torch.ones(4)}

    write_tensors(tmp_path, tensors, lambda done: None)

    written = (tmp_path / "model-00001-of-00001.safetensors").read_bytes()
    assert (8 + int.from_bytes(written[:8], "little")) % 16 == 0
    assert torch.equal(TensorFiles(tmp_path)["a"], tensors["a"])
