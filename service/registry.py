"""The model registry: versioned files with a card and their SHA-256, on disk. Ignores what the models compute.

Layout: `<root>/<name>/<version>/{files, card.json}` and `<root>/<name>/active`, which names the version in force.
A version appears by one rename and becomes active by another, so an interrupted save leaves the last good one serving.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from verticals.contract import InvalidInput, ModelCard, Unavailable

_VERSION = re.compile(r"[0-9a-f]{12}")
_NAME = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)*")


class FileRegistry:
    """`verticals.contract.ModelRegistry` on a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def save(
        self, name: str, files: Mapping[str, bytes], card: Mapping[str, Any], *, activate: bool = True
    ) -> ModelCard:
        """Store `files` as a new version of `name` and make it active. Equal bytes give the same version.

        Args:
            activate: False: only keep it, for `load` by version.

        Raises:
            InvalidInput: a bad name, or no files.
        """
        if not _NAME.fullmatch(name) or not files:
            raise InvalidInput(
                "must be dotted lower-case words, with at least one file", field="model name", value=name
            )
        sha256 = _sha256_of(files)
        full = ModelCard(name=name, version=sha256[:12], sha256=sha256, **card)
        folder = self._root / name
        folder.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".new-", dir=folder))
        for file_name, content in files.items():
            (staging / file_name).write_bytes(content)
        (staging / "card.json").write_text(json.dumps({**asdict(full), "files": sorted(files)}, indent=2))
        target = folder / full.version
        if target.exists():
            shutil.rmtree(target)
        staging.rename(target)
        if activate:
            self._activate(folder, full.version)
        return full

    def load(self, name: str, version: str | None = None) -> tuple[ModelCard, Mapping[str, Path]] | None:
        """The active version or the one that is named, verified; None when it was not saved.

        Raises:
            Unavailable: a file is missing or was changed.
        """
        if version is not None:
            folder = self._root / name / version
            return self._read(folder) if _VERSION.fullmatch(version) and folder.is_dir() else None
        pointer = self._root / name / "active"
        if not pointer.exists():
            return None
        return self._read(self._root / name / pointer.read_text().strip())

    def cards(self) -> list[ModelCard]:
        """The card of every active model, by name."""
        loaded = (self.load(folder.name) for folder in sorted(self._root.glob("*")) if folder.is_dir())
        return [entry[0] for entry in loaded if entry]

    def _read(self, folder: Path) -> tuple[ModelCard, Mapping[str, Path]]:
        try:
            stored = json.loads((folder / "card.json").read_text())
            paths = {file_name: folder / file_name for file_name in stored.pop("files")}
            actual = _sha256_of({file_name: path.read_bytes() for file_name, path in paths.items()})
        except (OSError, ValueError) as error:
            raise Unavailable(
                f"the stored model cannot be read: {type(error).__name__}", field=folder.parent.name, value=folder.name
            ) from error
        card = ModelCard(**stored)
        if actual != card.sha256:
            raise Unavailable(
                "the model's files differ from the SHA-256 on its card",
                field=card.name,
                value=card.version,
                remedy="Delete the version's folder and prepare the model again with `trivium prepare`.",
            )
        return card, paths

    @staticmethod
    def _activate(folder: Path, version: str) -> None:
        fresh = folder / ".active-new"
        fresh.write_text(version)
        fresh.replace(folder / "active")


def _sha256_of(files: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\0{len(files[name])}\0".encode())
        digest.update(files[name])
    return digest.hexdigest()
