"""Both indexes of one tenant at one version: ranked together, saved to and read from one folder. Ignores SQL.

A snapshot is a copy that can always be built again, so a file that is missing, cut short or altered is never repaired:
`load` refuses the folder, and the owner builds a new one.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrieval import fusion
from retrieval.dense import DenseIndex
from retrieval.lexical import LexicalIndex

FORMAT = 1  # raise it when the files or what goes into an index change

# Dense, BM25. Customers rarely use an article's words, so the lexical side only lifts what both find and what dense
# misses (model names, codes). Chosen on the dev half of the support questions: python -m benchmarks.retrieval
RANK_WEIGHTS = (1.0, 0.2)


class SnapshotError(ValueError):
    """The folder does not hold a whole snapshot of the version asked for."""


@dataclass(frozen=True)
class Candidate:
    """A ranked row: fused score and cosine."""

    passage_id: str
    score: float
    similarity: float


@dataclass(frozen=True)
class Snapshot:
    """Row i of both indexes is passage `passage_ids[i]`, which the groups `acls[i]` may see (all, if empty)."""

    version: str
    embedder: str
    passage_ids: tuple[str, ...]
    acls: tuple[tuple[str, ...], ...]
    dense: DenseIndex
    lexical: LexicalIndex

    def search(
        self, query: str, query_D: NDArray[np.float32], *, groups: Collection[str], depth: int
    ) -> list[Candidate]:
        """Rank what `groups` may see: the `depth` best of each index, joined by reciprocal rank fusion.

        What the caller may not see takes no place in either ranking.
        """
        allowed = self._allowed(groups)
        fused = fusion.reciprocal_rank(
            [
                self.dense.search(query_D, k=depth, allowed=allowed),
                self.lexical.search(query, k=depth, allowed=allowed),
            ],
            weights=RANK_WEIGHTS,
        )
        cosines = self.dense.similarities(query_D, [row for row, _ in fused])
        return [
            Candidate(self.passage_ids[row], score, float(cosine))
            for (row, score), cosine in zip(fused, cosines, strict=True)
        ]

    @cached_property
    def _restricted(self) -> tuple[int, ...]:
        return tuple(row for row, acl in enumerate(self.acls) if acl)

    def _allowed(self, groups: Collection[str]) -> NDArray[np.int64] | None:
        """Rows that the groups may see; None for all."""
        hidden = [row for row in self._restricted if not set(self.acls[row]) & set(groups)]
        return np.delete(np.arange(len(self.acls), dtype=np.int64), hidden) if hidden else None

    def save(self, folder: Path) -> None:
        """Write to `folder`, complete or not at all, and remove its siblings, which are older.

        Raises:
            OSError: the disk refuses.
        """
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=folder.parent))
        try:
            self.dense.save(draft / "dense.faiss")
            self.lexical.save(draft / "bm25")
            (draft / "rows.json").write_text(json.dumps({"passage_ids": self.passage_ids, "acls": self.acls}), "utf-8")
            manifest = {
                "format": FORMAT,
                "version": self.version,
                "embedder": self.embedder,
                "sha256": _sha256_of_files(draft),
            }
            (draft / "manifest.json").write_text(json.dumps(manifest, indent=1), "utf-8")
            shutil.rmtree(folder, ignore_errors=True)
            draft.rename(folder)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        for sibling in folder.parent.iterdir():
            if sibling != folder:
                shutil.rmtree(sibling, ignore_errors=True)

    @classmethod
    def load(cls, folder: Path, *, version: str, embedder: str) -> Snapshot:
        """Read a snapshot after checking that it is the one asked for and that every file is as it was written.

        Raises:
            SnapshotError: it is not there, not of this version or embedder, or not whole.
        """
        try:
            manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
            expected = {"format": FORMAT, "version": version, "embedder": embedder}
            if {key: manifest[key] for key in expected} != expected or manifest["sha256"] != _sha256_of_files(folder):
                raise SnapshotError(f"snapshot {version}: does not match its manifest.")
            rows = json.loads((folder / "rows.json").read_text("utf-8"))
            return cls(
                version,
                embedder,
                tuple(rows["passage_ids"]),
                tuple(map(tuple, rows["acls"])),
                DenseIndex.load(folder / "dense.faiss"),
                LexicalIndex.load(folder / "bm25"),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SnapshotError(f"snapshot {version}: {type(error).__name__}") from error


def _sha256_of_files(folder: Path) -> dict[str, str]:
    """Relative name to sha256 of every file but the manifest."""
    hashes = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != "manifest.json":
            with path.open("rb") as file:
                hashes[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return hashes
