"""A safetensors file reads back what the reference library wrote; anything that does not add up is refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from core_model.formats.safetensors_file import DTYPES, SafetensorsFile


def write_raw(path: Path, header: Any, data: bytes = b"") -> Path:
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES.keys())
def test_every_dtype_reads_back(tmp_path: Path, dtype: torch.dtype) -> None:
    raw = torch.randint(0, 2, (3, 2 * 2**15 * dtype.itemsize), dtype=torch.uint8)
    tensors = {"odd": torch.ones(3, dtype=torch.uint8), "wide": raw.view(dtype), "none": torch.empty(0, 2, dtype=dtype)}
    save_file(tensors, tmp_path / "x.safetensors")

    file = SafetensorsFile(tmp_path / "x.safetensors")

    assert sorted(file.names()) == sorted(tensors)
    assert file.shape("wide") == tensors["wide"].shape
    assert file.read("wide").dtype == dtype
    assert torch.equal(file.read("wide").view(torch.uint8), raw)
    assert file.read("none").shape == (0, 2)


def test_writing_into_a_tensor_leaves_the_file_alone(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(2**16)}, tmp_path / "x.safetensors")
    file = SafetensorsFile(tmp_path / "x.safetensors")

    file.read("x").fill_(1)

    assert file.read("x").sum() == 0


@pytest.mark.parametrize("keep", [0, 4, 8, 40, -1])
def test_a_file_cut_short_is_refused(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "x.safetensors"
    save_file({"x": torch.zeros(100)}, path)
    path.write_bytes(path.read_bytes()[:keep])

    with pytest.raises(ValueError, match=r"x\.safetensors: damaged safetensors file .* Download or convert"):
        SafetensorsFile(path)


def entry(shape: list[Any], begin: Any, end: Any, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"x": entry([2], 0, 12)}, r"shape \[2\] takes 12 bytes"),
        ({"x": entry([2], 0, 8), "y": entry([2], 4, 12)}, "tensor y leaves a gap or lies over another"),
        ({"x": entry([1], 0, 4), "y": entry([1], 8, 12)}, "tensor y leaves a gap"),
        ({"x": entry([2**40, 2**40], 0, 2**82)}, "its tensors end at byte"),
        ({"x": entry([-1, -2], 0, 8)}, "sizes that are no counts"),
        ({"x": entry([1.5], 0, 6)}, "sizes that are no counts"),
        ({"x": entry([2], 0, 8, "F7")}, "unknown dtype 'F7'"),
        ({"x": {"dtype": "F32"}}, "shape"),
        ({"x": 3}, "not subscriptable"),
        ([], "no attribute"),
    ],
)
def test_a_header_that_does_not_fit_is_refused(tmp_path: Path, header: Any, message: str) -> None:
    path = write_raw(tmp_path / "x.safetensors", header, b"\0" * 12)

    with pytest.raises(ValueError, match=rf"x\.safetensors: damaged safetensors file \(.*{message}"):
        SafetensorsFile(path)


@pytest.mark.parametrize(
    "content",
    [
        lambda text: (2**63).to_bytes(8, "little") + text,
        lambda text: (len(text) + 1).to_bytes(8, "little") + text,
        lambda text: len(text).to_bytes(8, "little") + b"\xff" * len(text),
        lambda text: (200_000).to_bytes(8, "little") + b"[" * 200_000,
    ],
    ids=["absurd length", "one too long", "no text", "endless nesting"],
)
def test_an_absurd_header_is_refused(tmp_path: Path, content: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(content(b'{"x": {}}'))

    with pytest.raises(ValueError, match=r"x\.safetensors: damaged safetensors file"):
        SafetensorsFile(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"x\.safetensors: cannot be read \(No such file"):
        SafetensorsFile(tmp_path / "x.safetensors")
