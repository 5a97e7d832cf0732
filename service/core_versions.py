"""Versions of the core: each names a folder of `<TRIVIUM_HOME>/models` and its files by SHA-256. Ignores who answers.

The registry keeps that note, not the weights: a language model is too large to be copied and read whole at each look.
The files are compared with the note before the model is loaded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core_model.checkpoint import MANIFEST, sha256_of
from service.registry import NONE, FileRegistry
from verticals.contract import Conflict, ModelCard, NotFound, Unavailable

CORE = "core"  # the model that every vertical uses
FILE = "core.json"  # of a version
_CARD = "model_card.json"  # that a folder may bring
_REMEDY = "Restore the folder from a backup; what serves goes on."


def register_core(registry: FileRegistry, models: Path, folder: str) -> ModelCard:
    """Note a folder or GGUF file as a version of the core, which answers nobody yet. The same files, the same version.

    Raises:
        NotFound: there is no such folder in `models`. Conflict: it is known with other files.
    """
    path = _find(models, folder)
    sha256 = {name: sha256_of(file) for name, file in _files_of(path).items()}
    for version in registry.versions(CORE):
        known = _note(registry, version)
        if known["folder"] == folder and known["sha256"] != sha256:
            rule = f"is version {version}, with other files"
            remedy = "A version's files stay as they are: give the new ones a folder of their own."
            raise Conflict(rule, field="folder", value=folder, remedy=remedy)
    content = json.dumps({"folder": folder, "sha256": sha256}, indent=2, sort_keys=True).encode()
    return registry.save(CORE, {FILE: content}, _card_of(path, sha256), activate=False)


def folder_of(registry: FileRegistry, models: Path, version: str) -> Path:
    """Where a version's model lies.

    Raises:
        NotFound: no such version. Unavailable: its note is damaged.
    """
    return _place(models, _note(registry, version))


def verify_core(registry: FileRegistry, models: Path, version: str) -> None:
    """Compare the files with the version's note; where that is of a manifest, loading verifies the rest by it.

    Raises:
        NotFound: no such version. Unavailable: names the file that is missing or was changed.
    """
    path = _place(models, note := _note(registry, version))
    for name, expected in note["sha256"].items():
        file = path if path.is_file() else path / name
        if not file.is_file():
            raise Unavailable(f"{name} is missing from {path.name}", field=CORE, value=version, remedy=_REMEDY)
        if (seen := sha256_of(file)) != expected:
            rule = f"{name} differs from its card: SHA-256 {expected} expected, {seen} seen"
            raise Unavailable(rule, field=CORE, value=version, remedy=_REMEDY)


def in_force(registry: FileRegistry) -> tuple[str, ...]:
    """Versions to start with, the best first."""
    return tuple(version for version in registry.in_force(CORE) if version != NONE)


def _note(registry: FileRegistry, version: str) -> Mapping[str, Any]:
    note: Mapping[str, Any] = json.loads(registry.require(CORE, version)[1][FILE].read_bytes())
    return note


def _place(models: Path, note: Mapping[str, Any]) -> Path:
    return models / str(note["folder"])


def _find(models: Path, wanted: str) -> Path:
    path = models / wanted
    if path.parent != models or wanted in ("", ".", "..") or not path.exists():
        there = sorted(found.name for found in models.glob("[!.]*"))
        raise NotFound(f"must be one of {', '.join(there) or 'none yet'}", field="folder", value=wanted)
    return path


def _files_of(path: Path) -> Mapping[str, Path]:
    """What is to be summed: the manifest alone where there is one, since it holds the sums of the others."""
    if path.is_file():
        return {path.name: path}
    if (path / MANIFEST).is_file():
        return {MANIFEST: path / MANIFEST}
    return {file.relative_to(path).as_posix(): file for file in sorted(path.rglob("*")) if file.is_file()}


def _card_of(path: Path, sha256: Mapping[str, str]) -> Mapping[str, Any]:
    """From the card that the folder brings; what is not written there is not known here."""
    file = path / _CARD
    told = json.loads(file.read_bytes()) if path.is_dir() and file.is_file() else {}
    unknown = "not recorded: the folder brings no card"
    recipe = told.get("recipe", unknown)
    return {
        "trained_on": str(told.get("trained_on", unknown)),
        "licence": str(told.get("licence", unknown)),
        "recipe": recipe if isinstance(recipe, str) else json.dumps(recipe, sort_keys=True),
        "metrics": {},
        "limits": str(told.get("limits", unknown)),
        "data": told.get("data") or {f"{path.name}/{name}": digest for name, digest in sha256.items()},
        "command": str(told.get("command", unknown)),
    }
