"""The seam between the knowledge base and what finds near vectors: in this process, or in a server. Ignores which.

An index is built once and never changes; `save` writes a file by which `load` finds it again. In this process the file
holds the vectors; for a server it names a table or collection there.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Protocol
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

Nearest = tuple[NDArray[np.int64], NDArray[np.float32]]  # rows and their cosines, best first


class VectorsAway(Exception):
    """The server of vectors does not answer, or no longer has what is asked for."""


class VectorIndex(Protocol):
    """Rows 0..n-1 of unit vectors. Searches are safe from many threads."""

    @property
    def is_gone(self) -> bool:
        """Whether a search found that the server no longer has it; another process may have replaced it."""

    def __len__(self) -> int: ...

    def nearest(self, query_D: NDArray[np.float32], *, k: int, allowed: NDArray[np.bool_] | None = None) -> Nearest:
        """The (nearly) k nearest rows to a unit vector; `allowed` (n,) are those that may be found, None for all.

        Raises:
            VectorsAway: see there.
        """

    def save(self, path: Path) -> None:
        """Write what `load` reads.

        Raises:
            OSError: the disk refuses.
        """


class VectorIndexes(Protocol):
    """Where indexes are made."""

    def build(self, vectors_ND: NDArray[np.float32]) -> VectorIndex:
        """Index unit vectors; no rows is allowed.

        Raises:
            VectorsAway: see there.
        """

    def load(self, path: Path) -> VectorIndex:
        """Read what `save` wrote.

        Raises:
            OSError: the file or what it names is missing or not whole.
        """

    def drop(self, path: Path) -> None:
        """Remove what a saved index keeps outside its file, as far as it can be reached."""

    def close(self) -> None:
        """Close the connections."""


def write_name(path: Path, name: str, num_rows: int) -> None:
    """The file of an index that a server keeps."""
    path.write_text(json.dumps({"name": name, "rows": num_rows}), "utf-8")


def read_name(path: Path, *, prefix: str) -> tuple[str, int]:
    """What `write_name` wrote.

    Raises:
        OSError: it is missing, or the file of another kind of index.
    """
    try:
        saved = json.loads(path.read_bytes())
        name, num_rows = str(saved["name"]), int(saved["rows"])
    except (ValueError, KeyError, TypeError) as error:
        raise OSError(f"{path.name}: names no index of a server") from error
    if not name.startswith(prefix) or not name.removeprefix(prefix).isalnum():
        raise OSError(f"{path.name}: names an index of another kind")
    return name, num_rows


def new_name(prefix: str) -> str:
    """A name that no index has."""
    return f"{prefix}{uuid4().hex}"
