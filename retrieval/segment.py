"""Both indexes over some passages, immutable: built, saved to and read from one folder. Ignores SQL, access and time.

A saved segment is a copy that can always be built again, so a file that is missing, cut short or altered is never
repaired: `load` refuses the folder.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrieval.dense import DenseIndex
from retrieval.lexical import LexicalIndex

FORMAT = 2  # raise it when the files or what goes into an index change
DRAFT = "draft-"


class SnapshotError(ValueError):
    """The folder does not hold a whole segment of this format and embedder."""


@dataclass(frozen=True)
class Segment:
    """Row i of both indexes is passage `row_ids_N[i]` in SQL, of revision `revision_ids_N[i]`."""

    row_ids_N: NDArray[np.int64]
    revision_ids_N: NDArray[np.int64]
    dense: DenseIndex
    lexical: LexicalIndex

    @classmethod
    def build(
        cls,
        row_ids: Sequence[int],
        revision_ids: Sequence[int],
        *,
        vectors_ND: NDArray[np.float32],
        words: Sequence[Sequence[str]],
    ) -> Segment:
        """Index passages; none is allowed."""
        return cls(
            np.asarray(row_ids, np.int64),
            np.asarray(revision_ids, np.int64),
            DenseIndex.build(vectors_ND),
            LexicalIndex.of_words(words),
        )

    def __len__(self) -> int:
        return len(self.row_ids_N)

    def save(self, folder: Path, *, version: str, embedder: str) -> None:
        """Write to a folder, complete or not at all; one that is there already is replaced.

        Raises:
            OSError: the disk refuses.
        """
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=DRAFT, dir=folder.parent))
        try:
            self.dense.save(draft / "dense.faiss")
            self.lexical.save(draft / "bm25")
            np.save(draft / "rows.npy", np.stack([self.row_ids_N, self.revision_ids_N]), allow_pickle=False)
            sha256 = _sha256_of_files(draft)
            manifest = {"format": FORMAT, "version": version, "embedder": embedder, "sha256": sha256}
            (draft / "manifest.json").write_text(json.dumps(manifest, indent=1), "utf-8")
            shutil.rmtree(folder, ignore_errors=True)  # damaged, or as good as ours
            draft.rename(folder)
        except OSError:
            if not (folder / "manifest.json").exists():  # else another process was first
                raise
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    @classmethod
    def load(cls, folder: Path, *, embedder: str) -> Segment:
        """Read a segment after checking that every file is as it was written.

        Raises:
            SnapshotError: it is not there, not of this format or embedder, or not whole.
        """
        try:
            manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
            expected = {"format": FORMAT, "version": folder.name, "embedder": embedder}
            if {key: manifest[key] for key in expected} != expected or manifest["sha256"] != _sha256_of_files(folder):
                raise SnapshotError(f"snapshot {folder.name}: does not match its manifest.")
            row_ids_N, revision_ids_N = np.load(folder / "rows.npy", allow_pickle=False)
            dense, lexical = DenseIndex.load(folder / "dense.faiss"), LexicalIndex.load(folder / "bm25")
            return cls(row_ids_N, revision_ids_N, dense, lexical)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SnapshotError(f"snapshot {folder.name}: {type(error).__name__}") from error


def _sha256_of_files(folder: Path) -> dict[str, str]:
    """Relative name to sha256 of every file but the manifest."""
    hashes = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != "manifest.json":
            with path.open("rb") as file:
                hashes[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return hashes
