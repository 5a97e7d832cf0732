"""Checkpoint folders: safetensors, config.json, tokenizer.json, model card, and a manifest of sha256 sums. No pickle.

Ignores what the tensors mean. A folder appears whole or not at all: it is written beside its place, then renamed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from core_model.config import read_config
from core_model.formats.compressed_tensors import Scheme, encode, quantization_config, scheme_of
from core_model.formats.gguf_file import GGUFFile
from core_model.formats.layers import StoredLayers
from core_model.formats.quantization_config import layer_formats
from core_model.formats.safetensors_file import SafetensorsFile
from core_model.quantized_weight import QuantizedWeight, Weight

MANIFEST = "manifest.json"
_INDEX = "model.safetensors.index.json"
_SHARD_BYTES = 128 * 2**20  # several shards, so that their sums are computed side by side


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A temporary folder that becomes `target` when the block ends well, and vanishes otherwise.

    A process that is killed leaves its folder behind; one older than an hour is removed. If another process made a
    complete `target` meanwhile, that one stays.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{target.name}-partial-"
    for left in target.parent.glob(f"{prefix}*"):
        if time.time() - left.stat().st_mtime > _ABANDONED_S:
            shutil.rmtree(left, ignore_errors=True)
    partial = Path(tempfile.mkdtemp(prefix=prefix, dir=target.parent))
    try:
        yield partial
        if not _is_complete(target):
            shutil.rmtree(target, ignore_errors=True)
            partial.replace(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_tensors(folder: Path, tensors: Mapping[str, Tensor], on_progress: Callable[[float], None]) -> None:
    """Write safetensors shards and their index; of lazy tensors, one shard is in memory at a time."""
    _write_shards(folder, ((i / len(tensors), name, tensors[name]) for i, name in enumerate(tensors)), on_progress)


def save_checkpoint(
    folder: Path,
    config: Mapping[str, Any],
    weights: Mapping[str, Weight],
    *,
    on_progress: Callable[[float], None] = lambda done: None,
) -> None:
    """Write a checkpoint that transformers, vLLM and SGLang open; grouped integers become compressed-tensors.

    Args:
        folder: There already (see `new_folder`); copy the tokenizer's files into it.
        config: Keys of config.json; its `quantization_config` is replaced.
        weights: By upstream names. Embeddings, head, norms and routers stay as given: give tensors, not integers.
        on_progress: Called with the share written, 0-1.

    Raises:
        ValueError: integers for an embedding or head, or such as compressed-tensors cannot say (see `encode`).
    """
    schemes: dict[str, Scheme] = {}
    dense: list[str] = []

    def stored() -> Iterator[tuple[float, str, Tensor]]:
        for i, name in enumerate(weights):
            weight, layer = weights[name], name.removesuffix(".weight")
            if isinstance(weight, QuantizedWeight):
                if layer.endswith(_KEPT_HIGH):
                    raise ValueError(f"{name}: embeddings, head and routers stay in high precision. Give a tensor.")
                schemes[layer] = scheme_of(weight)
                for stored_name, tensor in encode(layer, weight).items():
                    yield i / len(weights), stored_name, tensor
            else:
                if weight.ndim == 2 and layer != name and not layer.endswith("embed_tokens"):
                    dense.append(layer)
                yield i / len(weights), name, weight

    _write_shards(folder, stored(), on_progress)
    written = {key: value for key, value in config.items() if key != "quantization_config"}
    if schemes:
        written["quantization_config"] = quantization_config(schemes, dense)
    write_json(folder / "config.json", written)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write readable JSON."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_manifest(folder: Path, *, name: str) -> None:
    """Write the sha256 of every file in `folder`; do this last."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    names = [path.relative_to(folder).as_posix() for path in paths]
    files = dict(zip(names, _sha256_all(paths), strict=True))
    version = f"{name}-{_sha256_text(json.dumps(files, sort_keys=True))[:12]}"
    write_json(folder / MANIFEST, {"version": version, "sha256": files})


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest: `version` and `sha256` by file name.

    Raises:
        ValueError: there is none, or it cannot be read.
    """
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        return {"version": str(manifest["version"]), "sha256": dict(manifest["sha256"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"folder: no readable {MANIFEST} (got {folder.name!r}). {_REMEDY}") from error


def verify(folder: Path, *, unless: Callable[[str], bool] = lambda name: False) -> str:
    """Compare the files with the manifest, `unless` they will not be read; return the model's version.

    Raises:
        ValueError: names the missing or changed file.
    """
    manifest = read_manifest(folder)
    expected = {name: sha256 for name, sha256 in manifest["sha256"].items() if not unless(name)}
    paths = [folder / name for name in expected]
    for path in paths:
        if not path.is_file():
            raise ValueError(f"{path.name}: missing from {folder.name!r}. {_REMEDY}")
    for name, found in zip(expected, _sha256_all(paths), strict=True):
        if found != expected[name]:
            raise ValueError(f"{name}: sha256 is {found[:12]}…, not {expected[name][:12]}…. {_REMEDY}")
    return str(manifest["version"])


class TensorFiles(Mapping[str, Tensor]):
    """The tensors of a folder; each is read when asked for, and a file is opened at the first of its tensors.

    Raises:
        ValueError: no safetensors file in the folder, or its index names a file that is missing or elsewhere.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._opened: dict[str, SafetensorsFile] = {}
        self._file_of = _read_index(folder) if (folder / _INDEX).is_file() else self._open_all()

    def shape(self, name: str) -> tuple[int, ...]:
        """Of one tensor, without reading it."""
        return self._file(name).shape(name)

    def __getitem__(self, name: str) -> Tensor:
        return self._file(name).read(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._file_of)

    def __len__(self) -> int:
        return len(self._file_of)

    def _file(self, name: str) -> SafetensorsFile:
        file = self._file_of[name]
        if file not in self._opened:
            self._opened[file] = SafetensorsFile(self._folder / file)
            listed = {key for key, where in self._file_of.items() if where == file}
            if missing := sorted(listed - set(self._opened[file].names())):
                raise ValueError(f"{file}: tensor {missing[0]} is not in it, though {_INDEX} says so. {_DOWNLOAD}")
        return self._opened[file]

    def _open_all(self) -> dict[str, str]:
        whole = self._folder / "model.safetensors"
        for path in [whole] if whole.is_file() else sorted(self._folder.glob("*.safetensors")):
            self._opened[path.name] = SafetensorsFile(path)
        if not self._opened:
            name = self._folder.name
            raise ValueError(f"folder: no .safetensors file in it (got {name!r}). Give a checkpoint folder.")
        return {name: file for file, opened in self._opened.items() for name in opened.names()}


@dataclass(frozen=True)
class Checkpoint:
    """What a decoder is built from: the keys of config.json, and weights by upstream name, read when asked for."""

    config: Mapping[str, Any]
    weights: Mapping[str, Weight]


def open_checkpoint(path: Path) -> Checkpoint:
    """A checkpoint folder in any format that its config.json may announce, or a GGUF file.

    Raises:
        ValueError: no such file or folder, damaged files, or a format that is not read.
    """
    if path.is_file():
        file = GGUFFile(path)
        return Checkpoint(file.config(), file.weights())
    config = read_config(path)
    files, formats = TensorFiles(path), layer_formats(config)
    return Checkpoint(config, StoredLayers(files, formats) if formats else files)


_KEPT_HIGH = ("embed_tokens", "lm_head", "mlp.gate", "block_sparse_moe.gate", "mlp.router", "norm")

_ABANDONED_S = 3600
_REMEDY = "Delete the folder and prepare the model again."
_DOWNLOAD = "Download or convert the model again."


def _read_index(folder: Path) -> dict[str, str]:
    """Tensor name to file name; every file is there, in this folder."""
    try:
        index: dict[str, str] = dict(json.loads((folder / _INDEX).read_text(encoding="utf-8"))["weight_map"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{_INDEX}: no readable weight_map in it. {_DOWNLOAD}") from error
    for file in sorted(set(map(str, index.values()))):
        if Path(file).name != file or not file.endswith(".safetensors"):
            raise ValueError(f"{_INDEX}: files must be safetensors files beside it (got {file!r}). {_DOWNLOAD}")
        if not (folder / file).is_file():
            raise ValueError(f"{file}: missing from {folder.name!r}, though {_INDEX} names it. {_DOWNLOAD}")
    return index


def _is_complete(folder: Path) -> bool:
    try:
        read_manifest(folder)
    except ValueError:
        return False
    return True


def _write_shards(
    folder: Path, tensors: Iterable[tuple[float, str, Tensor]], on_progress: Callable[[float], None]
) -> None:
    """Shards and index of (share done before it, name, tensor); a shard is named when their count is known."""
    shards: list[list[str]] = []
    pending: dict[str, Tensor] = {}
    total = 0

    def flush() -> None:
        _save_aligned(pending, folder / f"shard-{len(shards)}.partial")
        shards.append(list(pending))
        pending.clear()

    for done, name, tensor in tensors:
        if pending and sum(t.nbytes for t in pending.values()) + tensor.nbytes > _SHARD_BYTES:
            flush()
            on_progress(done)
        pending[name] = tensor.contiguous()
        total += tensor.nbytes
    flush()
    on_progress(1.0)
    weight_map: dict[str, str] = {}
    for i, names in enumerate(shards):
        file = f"model-{i + 1:05d}-of-{len(shards):05d}.safetensors"
        (folder / f"shard-{i}.partial").rename(folder / file)
        weight_map |= dict.fromkeys(names, file)
    write_json(folder / _INDEX, {"metadata": {"total_size": total}, "weight_map": weight_map})


def _save_aligned(shard: dict[str, Tensor], path: Path) -> None:
    """Write one file, its data at a multiple of 16 bytes, so that int8 kernels can read it where it is mapped.

    safetensors itself aligns to 8 bytes; its header may end in spaces.
    """
    save_file(shard, path, metadata={"format": "pt"})
    content = memoryview(path.read_bytes())
    end = 8 + int.from_bytes(content[:8], "little")
    if end % 16:
        with path.open("wb") as file:
            file.writelines((end.to_bytes(8, "little"), content[8:end], b" " * 8, content[end:]))


def _sha256_all(paths: list[Path]) -> list[str]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(sha256_of, paths))


def sha256_of(path: Path) -> str:
    """The sum of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sha256_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
