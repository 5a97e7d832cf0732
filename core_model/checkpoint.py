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
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

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
    """Write safetensors shards and their index."""
    shards = _split(tensors)
    names = [f"model-{i + 1:05d}-of-{len(shards):05d}.safetensors" for i in range(len(shards))]
    for i, (name, shard) in enumerate(zip(names, shards, strict=True)):
        _save_aligned(shard, folder / name)
        on_progress((i + 1) / len(shards))
    weight_map = {key: name for name, shard in zip(names, shards, strict=True) for key in shard}
    total = sum(tensor.nbytes for tensor in tensors.values())
    write_json(folder / _INDEX, {"metadata": {"total_size": total}, "weight_map": weight_map})


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
    """The tensors of a folder, memory-mapped and read when asked for.

    Raises:
        ValueError: no safetensors file in the folder.
    """

    def __init__(self, folder: Path) -> None:
        self._files: dict[str, Any] = {}
        for path in sorted(folder.glob("*.safetensors")):
            opened: Any = safe_open(path, framework="pt")
            self._files |= dict.fromkeys(opened.keys(), opened)
        if not self._files:
            raise ValueError(f"folder: no .safetensors file in it (got {folder.name!r}). Give a checkpoint folder.")

    def __getitem__(self, name: str) -> Tensor:
        tensor: Tensor = self._files[name].get_tensor(name)
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


_ABANDONED_S = 3600
_REMEDY = "Delete the folder and prepare the model again."


def _is_complete(folder: Path) -> bool:
    try:
        read_manifest(folder)
    except ValueError:
        return False
    return True


def _split(tensors: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
    shards: list[dict[str, Tensor]] = [{}]
    size = 0
    for name, tensor in tensors.items():
        if shards[-1] and size + tensor.nbytes > _SHARD_BYTES:
            shards.append({})
            size = 0
        shards[-1][name] = tensor.contiguous()
        size += tensor.nbytes
    return shards


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
        return list(pool.map(_sha256, paths))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sha256_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
