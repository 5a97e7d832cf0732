"""Rows a second and memory of a batch, by the size of the file, beside LightGBM's predict on a matrix in memory.

    python -m benchmarks.batch [--rows 100000 300000 1000000] [--form csv]

Each size runs in a process of its own. The file is made as it is read, so that it takes no memory; the answer is
counted and dropped. A row is read, checked, scored by scorecard and challenger, explained, recorded (row, digest,
audit entry of its chunk, synchronous commits) and written: 23 columns. Peak memory is that of the process, less the
loaded models and libraries. LightGBM predicts the challenger's own matrix in one call on one thread, no more.
Applications are random over all that the schema accepts; one row in a thousand is bad.
"""

from __future__ import annotations

import argparse
import csv
import io
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.finance_setting import open_finance, random_applications
from verticals.contract import OpenFile
from verticals.finance import schemas
from verticals.finance.challenger import encode
from verticals.finance.data import FEATURES
from verticals.finance.fields import CUSTOMER, ID, REQUIRED
from verticals.finance.records import CHUNK, find_edited

DISTINCT = 5_000  # applications that are repeated under other ids
MIB = 2**20


class MadeFile(io.RawIOBase):
    """A file that is made as it is read."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._left, self.size = pieces, b"", 0

    def readable(self) -> bool:
        """It is."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """As much as is there, at most `size`."""
        if not self._left:
            self._left = next(self._pieces, b"")
        found, self._left = self._left[:size], self._left[size:]
        self.size += len(found)
        return found


def csv_pieces(count: int, *, bad_every: int = 1000, named: bool = True) -> Iterator[bytes]:
    """A CSV file of `count` rows, with ids if `named`; every `bad_every`-th row has a cell too many."""
    dumped = [r.model_dump(mode="json", exclude={ID, CUSTOMER}) for r in random_applications(DISTINCT, seed=1)]
    out = io.StringIO(newline="")
    csv.DictWriter(out, REQUIRED).writerows(dumped)
    lines = out.getvalue().splitlines()
    yield (",".join([*([ID] if named else []), *REQUIRED]) + "\r\n").encode()
    for start in range(0, count, DISTINCT):
        rows = range(start, min(start + DISTINCT, count))
        yield "".join(
            f"{f'a-{i},' if named else ''}{'yacht,' if i % bad_every == bad_every - 1 else ''}{lines[i - start]}\r\n"
            for i in rows
        ).encode()


def arrow_pieces(count: int) -> Iterator[bytes]:
    """The same applications as an IPC stream."""
    dumped = [r.model_dump(mode="json", exclude={ID, CUSTOMER}) for r in random_applications(DISTINCT, seed=1)]
    rows = pa.Table.from_pylist(dumped)
    out = io.BytesIO()
    with pa.ipc.new_stream(out, rows.schema.insert(0, pa.field(ID, pa.string()))) as writer:
        for start in range(0, count, DISTINCT):
            ids = pa.array([f"a-{i}" for i in range(start, min(start + DISTINCT, count))])
            writer.write_table(rows.slice(0, len(ids)).add_column(0, ID, ids))
            yield out.getvalue()
            out.seek(0)
            out.truncate()
    yield out.getvalue()


def measure(count: int, form: str, home: str) -> dict[str, float]:
    """One batch in this process."""
    with open_finance(Path(home)) as finance:
        source = MadeFile(csv_pieces(count) if form == "csv" else arrow_pieces(count))
        warm: Any = OpenFile.over(MadeFile(csv_pieces(1000)), filename="warm.csv")  # type: ignore[arg-type]
        _drain(finance.handlers["score_batch"](schemas.BatchRequest(file=warm), finance.context))
        before = _peak_mib()
        started, cpu = time.perf_counter(), time.process_time()
        file: Any = OpenFile.over(source, filename="made")  # type: ignore[arg-type]
        written = _drain(finance.handlers["score_batch"](schemas.BatchRequest(file=file), finance.context))
        wall_s, cpu_s, peak = time.perf_counter() - started, time.process_time() - cpu, _peak_mib()
        entries = [e for e in finance.audit.entries(finance.context.tenant, limit=10_000) if e["kind"] == CHUNK]
        with finance.sessions() as session:
            edited = list(find_edited(session, finance.context.tenant, entries))
    assert not edited
    return {
        "rows": count,
        "in_mib": source.size / MIB,
        "out_mib": written / MIB,
        "wall_s": wall_s,
        "cpu_s": cpu_s,
        "grown_mib": peak - before,
        "peak_mib": peak,
    }


def measure_lightgbm(count: int, home: str) -> dict[str, float]:
    """LightGBM alone: the encoded matrix is there, its probabilities are wanted."""
    with open_finance(Path(home)) as finance:
        rows = random_applications(DISTINCT, seed=1)
        columns = {f.name: [getattr(r, f.name) for r in rows] for f in FEATURES}
        matrix = np.tile(encode(columns), (count // DISTINCT + 1, 1))[:count]
        booster = finance.models.challenger._booster  # type: ignore[union-attr]
        before = _peak_mib()
        started, cpu = time.perf_counter(), time.process_time()
        booster.predict(matrix, num_threads=1)
        wall_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu
        return {"rows": count, "wall_s": wall_s, "cpu_s": cpu_s, "grown_mib": _peak_mib() - before}


def _drain(stream: Any) -> int:
    return sum(len(piece) for piece in stream.chunks)


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Print one line a size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 300_000, 1_000_000])
    parser.add_argument("--form", choices=("csv", "arrow"), default="csv")
    asked = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as home:
        with open_finance(Path(home)):
            pass  # trains
        for count in asked.rows:
            with context.Pool(1) as pool:
                found = pool.apply(measure, (count, asked.form, home))
            print(
                f"{count:>9,} rows, {found['in_mib']:.0f} MiB in, {found['out_mib']:.0f} out: "
                f"{count / found['wall_s']:,.0f} rows/s, {found['cpu_s'] / count * 1e6:.1f} us of processor a row, "
                f"memory grew by {found['grown_mib']:.0f} MiB to {found['peak_mib']:.0f}",
                flush=True,
            )
        with context.Pool(1) as pool:
            alone = pool.apply(measure_lightgbm, (asked.rows[-1], home))
        print(
            f"LightGBM alone: {alone['rows'] / alone['wall_s']:,.0f} rows/s, "
            f"{alone['cpu_s'] / alone['rows'] * 1e6:.1f} us of processor a row, "
            f"memory grew by {alone['grown_mib']:.0f} MiB"
        )


if __name__ == "__main__":
    main()
