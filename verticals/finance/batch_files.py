"""Files of applications read and written a chunk at a time: CSV (RFC 4180) and Arrow's IPC stream. Checks columns only.

What comes in Arrow goes out in Arrow. A CSV file may mix UTF-8 and Latin-1: every valid value is plain ASCII.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from verticals.contract import InvalidInput, UnsupportedMedia
from verticals.finance.fields import CUSTOMER, ID, REQUIRED

BLOCK_BYTES = 2**21  # of CSV: some twenty thousand rows a chunk; Arrow reads up to 32 of them ahead
CHUNK_ROWS = 50_000  # of Arrow
ARROW_MARK = b"\xff\xff\xff\xff"  # the first bytes of an IPC stream
_END = "end-of-file\x1f"  # a line of our own after the last one: a quote that is still open swallows it


@dataclass(frozen=True)
class Chunk:
    """Rows as they came, and for those that could not be read, why."""

    table: pa.Table
    broken: Mapping[int, str] = field(default_factory=dict)
    failure: str = ""  # nothing after this chunk can be read


class TableFile(Protocol):
    """A file that is being read, and its counterpart that is being written."""

    header: tuple[str, ...]
    media_type: str
    filename: str

    def chunks(self) -> Iterator[Chunk]:
        """All rows, in order."""

    def write(self, table: pa.Table) -> bytes:
        """The next piece of the answer."""

    def end(self) -> bytes:
        """The last piece of it."""


def open_file(source: BinaryIO, *, block_bytes: int = BLOCK_BYTES) -> TableFile:
    """Read the columns of a file.

    Raises:
        UnsupportedMedia: neither an 8-bit text file nor an IPC stream.
        InvalidInput: a column is missing, unknown or named twice: nothing is scored.
    """
    begin = source.read(64 * 1024)
    return ArrowFile(_Rest(begin, source)) if begin.startswith(ARROW_MARK) else CsvFile(begin, source, block_bytes)


class CsvFile:
    """CSV: comma, header line, quotes where needed."""

    media_type, filename = "text/csv; charset=utf-8", "scored.csv"

    def __init__(self, begin: bytes, source: BinaryIO, block_bytes: int) -> None:
        if b"\0" in begin or begin.startswith(b"ARROW1"):
            raise UnsupportedMedia(
                "must be a CSV text file in UTF-8 or Latin-1, or an Arrow IPC stream; this is UTF-16, a spreadsheet or "
                "another binary file",
                field="file",
                remedy="Save it as CSV (UTF-8).",
            )
        begin = begin.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n")
        line, _, rest = begin.replace(b"\r\n", b"\n").replace(b"\r", b"\n").partition(b"\n")
        self.header = check_header([name.strip() for name in next(csv.reader([_decode(line)]), [])])
        rest = begin[len(line) :]
        end = f"\r\n{_END}{',' * (len(self.header) - 1)}\r\n".encode()
        self._source = _Rest(rest, source, end=end)
        self._block_bytes, self._wrote_header = block_bytes, False

    def chunks(self) -> Iterator[Chunk]:
        """Blocks of lines; lines without any value are left out."""
        wrong: list[pacsv.InvalidRow] = []
        taken, ended = 0, False
        try:
            reader = self._reader(wrong)
            for batch in reader:
                table, broken = self._with_broken(batch, wrong, taken)
                taken += table.num_rows
                table, broken = _without_blank_lines(table, broken)
                last = table[0][-1].as_py() if table.num_rows else None
                if last == _END:
                    table, ended = table.slice(0, table.num_rows - 1), True
                yield Chunk(table, broken)
        except pa.ArrowInvalid as error:
            yield Chunk(self._empty(), failure=f"row {taken + 1} or after: not valid CSV ({_first_line(error)})")
            return
        if not ended:
            yield Chunk(self._empty(), failure=f"row {taken + 1} or after: not valid CSV (a quote is never closed)")

    def write(self, table: pa.Table) -> bytes:
        """Lines in UTF-8 that end in CRLF."""
        out = io.BytesIO()
        options = pacsv.WriteOptions(include_header=not self._wrote_header, eol="\r\n")
        pacsv.write_csv(table, out, options)
        self._wrote_header = True
        return out.getvalue()

    def end(self) -> bytes:
        """Nothing follows the last line."""
        return b""

    def _reader(self, wrong: list[pacsv.InvalidRow]) -> pacsv.CSVStreamingReader:
        def note(row: pacsv.InvalidRow) -> str:
            wrong.append(row)
            return "skip"

        names = [str(i) for i in range(len(self.header))]
        return pacsv.open_csv(
            self._source,
            read_options=pacsv.ReadOptions(column_names=names, block_size=self._block_bytes, use_threads=False),
            parse_options=pacsv.ParseOptions(newlines_in_values=True, invalid_row_handler=note),
            convert_options=pacsv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.binary()), strings_can_be_null=False, check_utf8=False
            ),
        )

    def _with_broken(
        self, batch: pa.RecordBatch, wrong: list[pacsv.InvalidRow], taken: int
    ) -> tuple[pa.Table, dict[int, str]]:
        """The batch as text, with the lines that have too few or too many cells back in their places."""
        width = len(self.header)
        columns = [_text(column) for column in batch.columns]
        here = [row for i, row in enumerate(wrong) if row.number - 1 - taken <= batch.num_rows + i]
        wrong[:] = wrong[len(here) :]
        if here:
            places = np.array([row.number - 1 - taken for row in here])
            cells = [([*next(csv.reader([row.text])), *[""] * width])[:width] for row in here]
            good = np.setdiff1d(np.arange(batch.num_rows + len(here)), places)
            order = pa.array(np.argsort(np.append(good, places)))
            added = zip(*cells, strict=True)
            columns = [
                pa.concat_arrays([c, pa.array(a, pa.string())]).take(order) for c, a in zip(columns, added, strict=True)
            ]
        table = pa.table(columns, names=list(self.header))
        told = {row.number - 1 - taken: f"row: must have {width} cells (got {row.actual_columns})" for row in here}
        return table, told

    def _empty(self) -> pa.Table:
        return pa.table({name: pa.array([], pa.string()) for name in self.header})


class ArrowFile:
    """Arrow's IPC stream; columns keep their types."""

    media_type, filename = "application/vnd.apache.arrow.stream", "scored.arrows"

    def __init__(self, source: _Rest) -> None:
        try:
            self._reader = pa.ipc.open_stream(pa.PythonFile(source, mode="r"))
        except (pa.ArrowInvalid, OSError) as error:
            raise UnsupportedMedia(
                f"must be an Arrow IPC stream ({_first_line(error)})", field="file", remedy="Write it again."
            ) from None
        self.header = check_header(self._reader.schema.names)
        self._out = io.BytesIO()
        self._writer: pa.RecordBatchStreamWriter | None = None

    def chunks(self) -> Iterator[Chunk]:
        """The file's batches, large ones cut."""
        taken = 0
        try:
            for batch in self._reader:
                for start in range(0, batch.num_rows, CHUNK_ROWS):
                    part = batch.slice(start, CHUNK_ROWS)
                    part.validate(full=True)
                    yield Chunk(pa.Table.from_batches([part]))
                    taken += part.num_rows
        except (pa.ArrowInvalid, OSError) as error:
            empty = self._reader.schema.empty_table()
            yield Chunk(empty, failure=f"row {taken + 1} or after: not a valid Arrow stream ({_first_line(error)})")

    def write(self, table: pa.Table) -> bytes:
        """Record batches; the first piece begins with the schema."""
        if self._writer is None:
            self._writer = pa.ipc.new_stream(self._out, table.schema)
        self._writer.write_table(table)
        return self._take()

    def end(self) -> bytes:
        """The end mark."""
        if self._writer is not None:
            self._writer.close()
        return self._take()

    def _take(self) -> bytes:
        content = self._out.getvalue()
        self._out.seek(0)
        self._out.truncate()
        return content


class _Rest(io.RawIOBase):
    """A stream from which the beginning was read, with an end added. Reads in full: Arrow takes less for the end."""

    def __init__(self, begin: bytes, source: BinaryIO, *, end: bytes = b"") -> None:
        self._parts: list[BinaryIO] = [io.BytesIO(begin), source, io.BytesIO(end)]

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        found = b""
        while self._parts and (size < 0 or len(found) < size):
            more = self._parts[0].read(size - len(found) if size >= 0 else -1)
            if not more:
                self._parts.pop(0)
            found = found + more if found else more
        return found


def check_header(names: Sequence[str]) -> tuple[str, ...]:
    """The columns of an application, in any order.

    Raises:
        InvalidInput: one is missing, unknown or named twice.
    """
    header = tuple(names)
    known = {ID, CUSTOMER, *REQUIRED}
    problems = {
        "missing": [n for n in REQUIRED if n not in header],
        "unknown": [n[:40] for n in header if n not in known],
        "named twice": sorted({n for n in header if n in known and header.count(n) > 1}),
    }
    found = [f"{what}: {', '.join(listed)}" for what, listed in problems.items() if listed]
    if found:
        raise InvalidInput(
            f"the columns are not those of an application ({'; '.join(found)})",
            field="file",
            remedy=f"Use commas between columns, and exactly these: {', '.join(REQUIRED)}; {ID} and {CUSTOMER} are "
            "optional.",
        )
    return header


def _text(column: pa.Array) -> pa.Array:
    try:
        return column.cast(pa.string())
    except pa.ArrowInvalid:  # not UTF-8 throughout
        return pa.array([_decode(value) for value in column.to_pylist()], pa.string())


def _decode(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _without_blank_lines(table: pa.Table, broken: dict[int, str]) -> tuple[pa.Table, dict[int, str]]:
    """Spreadsheets write lines of commas after the last row."""
    is_blank = np.ones(table.num_rows, dtype=bool)
    for column in table.columns:
        is_blank &= pa.compute.equal(pa.compute.utf8_trim_whitespace(column), "").to_numpy()
        if not is_blank.any():
            return table, broken
    keep = ~is_blank
    place = np.cumsum(keep) - 1
    return table.filter(pa.array(keep)), {int(place[row]): why for row, why in broken.items() if keep[row]}


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:200]
