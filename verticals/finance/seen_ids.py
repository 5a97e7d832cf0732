"""Which ids a file has named before, in memory that does not grow with the file. Ignores what the ids name.

Hashes of 64 bits with their row numbers, as sorted runs: small ones are merged, and large ones lie in temporary files.
Two different ids share a hash once in 10^5 files of twenty million rows. N ids.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

RUN_IDS = 2**20  # a run of so many ids goes to a file of 16 MB


@dataclass(frozen=True)
class _Run:
    hashes: NDArray[np.uint64]  # sorted
    rows: NDArray[np.int64]


class SeenIds:
    """The ids of the rows so far. Closing it, or leaving its `with` block, removes its files."""

    def __init__(self, *, run_ids: int = RUN_IDS) -> None:
        self._run_ids = run_ids
        self._runs: list[_Run] = []
        self._folder = tempfile.TemporaryDirectory(prefix="trivium-ids-")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Forget the ids."""
        self._runs = []
        self._folder.cleanup()

    def add(self, ids: NDArray[np.object_], rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Take in ids, (N,), with their row numbers from 1; gives the row that named each first, 0 for a new id."""
        if not len(ids):
            return np.zeros(0, dtype=np.int64)
        hashes = pd.util.hash_array(ids, categorize=False)
        order = np.argsort(hashes, kind="stable")
        ordered, first = hashes[order], np.zeros(len(ids), dtype=np.int64)
        starts = np.append(True, ordered[1:] != ordered[:-1])
        leader = np.flatnonzero(starts)[np.cumsum(starts) - 1]
        first[order] = np.where(starts, 0, rows[order][leader])
        for run in self._runs:
            place = np.minimum(np.searchsorted(run.hashes, ordered), len(run.hashes) - 1)
            known = run.hashes[place] == ordered
            first[order[known]] = run.rows[place[known]]
        is_new = first[order] == 0
        self._keep(_Run(ordered[is_new], rows[order][is_new]))
        return first

    def _keep(self, run: _Run) -> None:
        if not len(run.hashes):
            return
        while self._runs and len(self._runs[-1].hashes) <= len(run.hashes) < self._run_ids:
            last = self._runs.pop()
            hashes, rows = np.append(last.hashes, run.hashes), np.append(last.rows, run.rows)
            order = np.argsort(hashes, kind="stable")
            run = _Run(hashes[order], rows[order])
        self._runs.append(self._on_disk(run) if len(run.hashes) >= self._run_ids else run)

    def _on_disk(self, run: _Run) -> _Run:
        return _Run(self._mapped(run.hashes), self._mapped(run.rows))

    def _mapped(self, array: NDArray[Any]) -> NDArray[Any]:
        with tempfile.NamedTemporaryFile(dir=self._folder.name, delete=False) as file:
            array.tofile(file)
        return np.memmap(file.name, dtype=array.dtype, mode="r")
