"""A file of applications, scored as it is read: bad rows are reported, the others scored and recorded, chunk by chunk.

The way of a row: `batch_files` reads it, `batch_checks` checks it, `batch_scores` scores it, `records` keeps it, and
`batch_files` writes it with its results. Memory holds the chunks in work, one unless `run` takes more, whatever the
size of the file.
"""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, BinaryIO

import pyarrow as pa

from verticals.contract import ArtifactStream, InvalidInput
from verticals.finance import schemas
from verticals.finance.batch_checks import Checked, check
from verticals.finance.batch_files import BLOCK_BYTES, Chunk, TableFile, open_file
from verticals.finance.batch_scores import Read, Scored, result_columns, score_checked
from verticals.finance.fields import CUSTOMER, ID
from verticals.finance.scoring import Models
from verticals.finance.seen_ids import SeenIds
from verticals.finance.sources.names import TERM_COLUMNS
from verticals.finance.sources.reading import Reading

Run = Callable[[Callable[[Any], Any], Iterator[Any]], Iterator[Any]]
Keep = Callable[[Scored, str], None]  # (scored rows, name of the chunk) -> they are durable


def score_file(
    models: Models, source: BinaryIO, *, keep: Keep, read: Read, block_bytes: int = BLOCK_BYTES, run: Run = map
) -> ArtifactStream:
    """Score a CSV file or an Arrow IPC stream; the answer has its format, its columns and `RESULT_COLUMNS`.

    With a column `customer` it has `TERM_COLUMNS` too: what the sources of each row's customer add. The first chunk is
    scored before this returns, so that what is wrong with the file as a whole is told at once.

    Args:
        models: In force.
        source: The file.
        keep: Makes a chunk's decisions durable, in this process and in order, as does all that reads and writes.
        read: Reads the customers' sources.
        block_bytes: Read at a time.
        run: As `map`; another may score chunks elsewhere and ahead, if it gives them in order.
    Raises:
        UnsupportedMedia: of another format.
        InvalidInput: a column is missing, unknown, named twice or of a type that holds no such value; no rows.
    """
    file = open_file(source, block_bytes=block_bytes)
    pieces = _pieces(models, file, keep, read, run)
    first = next(pieces)
    return ArtifactStream(chain([first], pieces), media_type=file.media_type, filename=file.filename)


@dataclass(frozen=True)
class _Task:
    """What it takes to score a chunk, anywhere."""

    first_row: int
    checked: Checked
    readings: Mapping[str | None, Reading | None] | None  # of the customers of good rows

    def read(self, customers: Sequence[str | None]) -> list[Reading | None] | None:
        return None if self.readings is None else [self.readings[customer] for customer in customers]


class _Reader:
    """Reads and checks a file; `ahead` holds the chunks that are not yet scored, `failure` the one that ended it."""

    def __init__(self, file: TableFile, read: Read) -> None:
        self._file, self._read = file, read
        self.ahead: deque[Chunk] = deque()
        self.failure: Chunk | None = None

    def tasks(self) -> Iterator[_Task]:
        first_row = 1
        with SeenIds() as seen:
            for chunk in _with_rows(self._file.chunks()):
                if chunk.failure:
                    self.failure = chunk
                    return
                checked = check(chunk.table, chunk.broken, seen=seen, first_row=first_row)
                self.ahead.append(chunk)
                yield _Task(first_row, checked, self._readings(checked))
                first_row += chunk.table.num_rows

    def _readings(self, checked: Checked) -> dict[str | None, Reading | None] | None:
        if checked.customers is None:
            return None
        customers = checked.customers[checked.is_good].tolist()
        found = self._read(customers)
        return None if found is None else dict(zip(customers, found, strict=True))


def _score(models: Models, name: str, task: _Task) -> tuple[Checked, Scored]:
    make_id = partial(_make_id, name, task.first_row)
    return task.checked, score_checked(models, task.checked, make_id=make_id, read=task.read)


def _pieces(models: Models, file: TableFile, keep: Keep, read: Read, run: Run) -> Iterator[bytes]:
    name, reader, number = f"batch-{uuid.uuid4().hex}", _Reader(file, read), -1
    for number, (checked, scored) in enumerate(run(partial(_score, models, name), reader.tasks())):
        if len(scored.rows):
            keep(scored, f"{name}:{number}")
        yield file.write(_answer(reader.ahead.popleft(), models, checked, scored))
    if reader.failure is not None:
        if number < 0:
            raise InvalidInput(reader.failure.failure, field="file", remedy="Correct the file and send it again.")
        yield file.write(_failure(reader.failure, file.header))
    elif number < 0:
        raise InvalidInput("must have a header line and at least one row", field="file", value="no rows")
    yield file.end()


def _make_id(name: str, first_row: int, row: int) -> str:
    return f"{name}-{first_row + row}"


def _with_rows(chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    return (chunk for chunk in chunks if chunk.table.num_rows or chunk.failure)


def _answer(chunk: Chunk, models: Models, checked: Checked, scored: Scored) -> pa.Table:
    """The rows as they came, then the results."""
    table = chunk.table
    added = result_columns(models, scored, checked.errors)
    for name in _added(table.column_names):
        table = table.append_column(name, added[name])
    return table


def _added(header: Sequence[str]) -> tuple[str, ...]:
    """The columns that the answer has beside those of the file."""
    terms = TERM_COLUMNS if CUSTOMER in header else ()
    return ((ID,) if ID not in header else ()) + schemas.RESULT_COLUMNS[:-1] + terms + schemas.RESULT_COLUMNS[-1:]


def _failure(chunk: Chunk, header: Sequence[str]) -> pa.Table:
    """A last row that says why nothing follows."""
    row: dict[str, Any] = {
        name: pa.nulls(1, kind) for name, kind in zip(chunk.table.column_names, chunk.table.schema.types, strict=True)
    }
    numbers = {
        "points": pa.int64(),
        "points_exact": pa.float64(),
        "prob_default": pa.float64(),
        "challenger_prob_default": pa.float64(),
        "moe_prob_default": pa.float64(),
        **dict.fromkeys(TERM_COLUMNS, pa.float64()),
    }
    for name in _added(header):
        row[name] = pa.nulls(1, numbers.get(name, pa.string()))
    row["error"] = pa.array([f"file: {chunk.failure}; nothing after it was read"])
    return pa.table(row)
