"""The model registry: versioned files with a card and their SHA-256, on disk. Ignores what the models compute.

Layout: `<root>/<name>/<version>/{files, registered.json}` and `<root>/<name>/active`: the version in force, then those
before it. A version appears by one rename and becomes active by another, so an interrupted save leaves the last good
one serving; a damaged active version is left for the one before it, and `faults` says so as long as it lasts.
"""

from __future__ import annotations

import errno
import hashlib
import json
import re
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any
from uuid import uuid4

import structlog

from verticals.contract import InvalidInput, ModelCard, NotFound, Unavailable

NONE = "none"  # in place of a version: none was in force, and what the package brings served, if anything
MAX_BEFORE = 5  # versions that are known to have been in force before
CARD, FORMER_CARD = "registered.json", "card.json"  # the latter may be a model's own file
_VERSION = re.compile(r"[0-9a-f]{12}")
_NAME = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)*")
_REMEDY = "Restore the version's folder from a backup, or delete it and prepare the model again with `trivium prepare`."
_log = structlog.get_logger()


class FileRegistry:
    """`verticals.contract.ModelRegistry` on a folder.

    Attributes:
        faults: Name -> why its active version is not what `load` gives; empty when all is well.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self.faults: dict[str, str] = {}

    def save(
        self, name: str, files: Mapping[str, bytes], card: Mapping[str, Any], *, activate: bool = True
    ) -> ModelCard:
        """Store `files` as a new version of `name` and make it active. Equal bytes give the same version.

        Its lineage is noted: what was in force, when, and by which program. A version that comes again keeps its own.

        Args:
            activate: False: only keep it, for `load` by version.

        Raises:
            InvalidInput: a bad name, or no files.
        """
        if not _NAME.fullmatch(name) or not files or CARD in files:
            raise InvalidInput(
                f"must be dotted lower-case words, with at least one file and none called {CARD}",
                field="model name",
                value=name,
            )
        sha256 = _sha256_of(files)
        folder, number = self._root / name, sha256[:12]
        full = ModelCard(**{"name": name, "version": number, "sha256": sha256, **card, **self._lineage(name, number)})
        folder.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".new-", dir=folder))
        for file_name, content in files.items():
            (staging / file_name).write_bytes(content)
        digests = {file_name: hashlib.sha256(files[file_name]).hexdigest() for file_name in sorted(files)}
        (staging / CARD).write_text(json.dumps({**asdict(full), "files": digests}, indent=2))
        _put(staging, folder / number)
        if activate:
            self._activate(name, number, self.in_force(name))
        return full

    def _lineage(self, name: str, version: str) -> dict[str, Any]:
        try:
            known = self.card(name, version)
        except (NotFound, Unavailable):
            now = datetime.now(UTC).isoformat(timespec="seconds")
            parent = next((other for other in self.in_force(name) if other not in (version, NONE)), None)
            return {"parent": parent, "code": f"trivium {version_of('trivium')}", "registered_at": now}
        return {"parent": known.parent, "code": known.code, "registered_at": known.registered_at}

    def load(self, name: str, version: str | None = None) -> tuple[ModelCard, Mapping[str, Path]] | None:
        """The active version or the one that is named, verified; None when it was not saved.

        Raises:
            Unavailable: a file is missing or was changed; of the active one: and no version before it is sound.
        """
        if version is not None:
            folder = self._root / name / version
            return self._read(folder) if _VERSION.fullmatch(version) and folder.is_dir() else None
        fault: Unavailable | None = None
        for number in self.in_force(name):
            try:
                found = None if number == NONE else self._read(self._root / name / number)
            except Unavailable as error:
                fault = fault or error
            else:
                self._note(name, number, fault)
                return found
        if fault is not None:
            self.faults[name] = str(fault)
            raise fault
        return None

    def _note(self, name: str, serving: str, fault: Unavailable | None) -> None:
        if fault is None:
            self.faults.pop(name, None)
        elif self.faults.get(name) != str(fault):
            self.faults[name] = str(fault)
            _log.error("a model is damaged; the version before it serves", model=name, serving=serving)

    def in_force(self, name: str) -> tuple[str, ...]:
        """The active version, then those that were before it, newest first, or `NONE`; empty where none is active."""
        try:
            return tuple((self._root / name / "active").read_text().split())
        except FileNotFoundError:
            return ()

    def activate(self, name: str, version: str) -> None:
        """Bring a stored version into force; one that was before, again, forgets what came after it.

        That none was in force is remembered: `load` gives None, rather than a damaged first version.

        Raises:
            NotFound: no such version. Unavailable: it is damaged.
        """
        self.require(name, version)
        self._activate(name, version, self.in_force(name) or (NONE,))

    def deactivate(self, name: str) -> None:
        """Have no version in force; whoever brings a model of his own serves that."""
        (self._root / name / "active").unlink(missing_ok=True)

    def require(self, name: str, version: str) -> tuple[ModelCard, Mapping[str, Path]]:
        """As `load` by version.

        Raises:
            NotFound: no such version. Unavailable: it is damaged.
        """
        found = self.load(name, version)
        if found is None:
            raise NotFound(
                "no such version is registered", field=name, value=version, remedy="`trivium models list` shows them."
            )
        return found

    def names(self) -> list[str]:
        """Every model that has versions."""
        return sorted(folder.name for folder in self._root.glob("*") if folder.is_dir())

    def versions(self, name: str) -> list[str]:
        """Every version of a model, sound or not, the newest registered first."""
        found = [folder for folder in (self._root / name).glob("*") if _VERSION.fullmatch(folder.name)]
        return [folder.name for folder in sorted(found, key=lambda folder: folder.stat().st_mtime_ns, reverse=True)]

    def card(self, name: str, version: str) -> ModelCard:
        """A version's card; its files are not looked at.

        Raises:
            NotFound: no such version. Unavailable: the card cannot be read.
        """
        folder = self._root / name / version
        if not _VERSION.fullmatch(version) or not folder.is_dir():
            raise NotFound("no such version is registered", field=name, value=version)
        return _card_of(folder)[0]

    def cards(self) -> list[ModelCard]:
        """The card of every active model, by name."""
        loaded = (self.load(name) for name in self.names())
        return [entry[0] for entry in loaded if entry]

    def _read(self, folder: Path) -> tuple[ModelCard, Mapping[str, Path]]:
        card, digests = _card_of(folder)
        contents: dict[str, bytes] = {}
        for file_name, expected in digests.items():
            try:
                contents[file_name] = (folder / file_name).read_bytes()
            except OSError as error:
                raise _damaged(folder, f"{file_name} cannot be read: {type(error).__name__}") from error
            seen = hashlib.sha256(contents[file_name]).hexdigest()
            if expected and seen != expected:
                raise _damaged(folder, f"{file_name} differs from its card: SHA-256 {expected} expected, {seen} seen")
        seen = _sha256_of(contents)
        if seen != card.sha256:
            raise _damaged(
                folder, f"the files differ from the SHA-256 on the card: {card.sha256} expected, {seen} seen"
            )
        if (card.name, card.version) != (folder.parent.name, folder.name) or not card.sha256.startswith(card.version):
            raise _damaged(folder, f"the card is of {card.name} {card.version}")
        return card, {file_name: folder / file_name for file_name in digests}

    def _activate(self, name: str, version: str, known: tuple[str, ...]) -> None:
        before = known[known.index(version) + 1 :] if version in known else known
        fresh = self._root / name / f".active-{uuid4().hex}"  # of nobody else, who would be half done with it
        fresh.write_text("\n".join((version, *before[:MAX_BEFORE])))
        fresh.replace(self._root / name / "active")


def _put(staging: Path, target: Path) -> None:
    """Have a version appear at once; one that is there has the same bytes, and whoever reads it finds every file."""
    try:
        staging.rename(target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        for file in staging.iterdir():
            file.replace(target / file.name)
        staging.rmdir()


def _card_of(folder: Path) -> tuple[ModelCard, Mapping[str, str]]:
    """The card, and file -> SHA-256, which is empty on cards of before files had their own."""
    try:
        card = folder / CARD
        stored = json.loads((card if card.exists() else folder / FORMER_CARD).read_text())
        files = stored.pop("files")
        return ModelCard(**stored), files if isinstance(files, dict) else dict.fromkeys(files, "")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(folder, f"{CARD} cannot be read: {type(error).__name__}") from error


def _damaged(folder: Path, rule: str) -> Unavailable:
    return Unavailable(rule, field=folder.parent.name, value=folder.name, remedy=_REMEDY)


def _sha256_of(files: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\0{len(files[name])}\0".encode())
        digest.update(files[name])
    return digest.hexdigest()
