"""A checkpoint folder is whole or absent, and a changed file is noticed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from core_model.checkpoint import TensorFiles, new_folder, read_manifest, verify, write_manifest, write_tensors

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
