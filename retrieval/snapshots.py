"""Main on disk: a segment with the states of its revisions, in one folder, whole. Ignores what changed since.

A snapshot is a copy that can always be built again, so a file that is missing, cut short or altered is never repaired:
`load` refuses the folder.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from pathlib import Path
from uuid import uuid4

import numpy as np

from retrieval.lexical import LexicalIndex
from retrieval.revisions import Revisions
from retrieval.segment import Segment
from retrieval.vectors import VectorIndexes

FORMAT = 3  # raise it when the files or what goes into an index change
DRAFT = "draft-"
VECTORS = "dense.faiss"  # what it holds, the kind of index knows


class SnapshotError(ValueError):
    """The folder does not hold a whole snapshot of this format and embedder."""


def save(folder: Path, segment: Segment, revisions: Revisions, *, version: str, embedder: str) -> None:
    """Write to a folder, complete or not at all; one that is there already is replaced.

    Raises:
        OSError: the disk refuses.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=DRAFT, dir=folder.parent))
    try:
        segment.dense.save(draft / VECTORS)
        segment.lexical.save(draft / "bm25")
        revisions.save(draft / "revisions")
        np.save(draft / "rows.npy", np.stack([segment.row_ids_N, segment.revision_ids_N]), allow_pickle=False)
        sha256 = _sha256_of_files(draft)
        manifest = {"format": FORMAT, "version": version, "embedder": embedder, "sha256": sha256}
        (draft / "manifest.json").write_text(json.dumps(manifest, indent=1), "utf-8")
        if folder.exists():  # damaged, or as good as ours; removed like a draft, with what it names elsewhere
            folder.rename(folder.with_name(f"{DRAFT}{uuid4().hex}"))
        draft.rename(folder)
    except OSError:
        if not (folder / "manifest.json").exists():  # else another process was first
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def load(folder: Path, *, embedder: str, indexes: VectorIndexes) -> tuple[Segment, Revisions]:
    """Read what `save` wrote, after checking that every file is as it was written.

    Raises:
        SnapshotError: it is not there, not of this format or embedder, or not whole.
    """
    try:
        manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
        expected = {"format": FORMAT, "version": folder.name, "embedder": embedder}
        if {key: manifest[key] for key in expected} != expected or manifest["sha256"] != _sha256_of_files(folder):
            raise SnapshotError(f"snapshot {folder.name}: does not match its manifest.")
        row_ids_N, revision_ids_N = np.load(folder / "rows.npy", allow_pickle=False)
        dense, lexical = indexes.load(folder / VECTORS), LexicalIndex.load(folder / "bm25")
        return Segment(row_ids_N, revision_ids_N, dense, lexical), Revisions.load(folder / "revisions")
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
