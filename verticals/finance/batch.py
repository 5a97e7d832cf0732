"""CSV in, rows out: reads a file with a verdict per row, and writes it back with results. Scores nothing."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from verticals.contract import InvalidInput, TooLarge, UnsupportedMedia, UploadedFile
from verticals.finance import schemas

ID = "application_id"
REQUIRED = tuple(name for name in schemas.ScoreRequest.model_fields if name != ID)


@dataclass(frozen=True)
class Row:
    """One line of the file: an application, or why it is none."""

    cells: tuple[str, ...]
    application: schemas.ScoreRequest | None
    error: str = ""


@dataclass(frozen=True)
class Table:
    """A read file."""

    header: tuple[str, ...]
    rows: tuple[Row, ...]


def read(file: UploadedFile) -> Table:
    """Parse and check a CSV file (RFC 4180, comma, header line).

    UTF-8 with or without a byte-order mark; other 8-bit text is read as Latin-1: every valid value is plain ASCII.

    Raises:
        UnsupportedMedia: not an 8-bit text file.
        TooLarge: more bytes or rows than allowed.
        InvalidInput: no rows, or a column that is missing, unknown or named twice: nothing is scored.
    """
    if len(file.content) > schemas.MAX_BATCH_BYTES:
        raise TooLarge(
            f"at most {schemas.MAX_BATCH_BYTES:,} bytes", field="file", value=len(file.content), remedy="Split it."
        )
    reader = csv.reader(io.StringIO(_decode(file.content), newline=""), strict=True)
    try:
        lines = [tuple(line) for line in reader if any(cell.strip() for cell in line)]
    except csv.Error as error:
        raise InvalidInput(f"line {reader.line_num} is not valid CSV: {error}", field="file") from None
    if len(lines) < 2:
        raise InvalidInput("must have a header line and at least one row", field="file", value=f"{len(lines)} lines")
    if len(lines) - 1 > schemas.MAX_BATCH_ROWS:
        raise TooLarge(
            f"at most {schemas.MAX_BATCH_ROWS:,} rows", field="file", value=len(lines) - 1, remedy="Split it."
        )
    header = _header(lines[0])
    return Table(header=header, rows=tuple(_rows(header, lines[1:])))


def write(table: Table, results: Sequence[Mapping[str, object]], *, add_id: bool) -> bytes:
    """The file with its columns as they were, then the results; `results` has one mapping per row.

    Returns:
        UTF-8 CSV with CRLF line ends.
    """
    added = (ID, *schemas.RESULT_COLUMNS) if add_id else schemas.RESULT_COLUMNS
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow([*table.header, *added])
    for row, result in zip(table.rows, results, strict=True):
        cells = [*row.cells, *[""] * len(table.header)][: len(table.header)]
        writer.writerow([*cells, *(result.get(name, "") for name in added)])
    return out.getvalue().encode()


def _decode(content: bytes) -> str:
    if b"\0" in content:
        raise UnsupportedMedia(
            "must be a CSV text file in UTF-8 or Latin-1; this is UTF-16, a spreadsheet or another binary file",
            field="file",
            remedy="Save it as CSV (UTF-8).",
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _header(line: Sequence[str]) -> tuple[str, ...]:
    header = tuple(name.strip() for name in line)
    known = {ID, *REQUIRED}
    problems = {
        "missing": [n for n in REQUIRED if n not in header],
        "unknown": [n[:40] for n in header if n not in known],
        "named twice": sorted({n for n in header if n in known and header.count(n) > 1}),
    }
    found = [f"{what}: {', '.join(names)}" for what, names in problems.items() if names]
    if found:
        raise InvalidInput(
            f"the columns are not those of an application ({'; '.join(found)})",
            field="file",
            remedy=f"Use commas between columns, and exactly these: {', '.join(REQUIRED)}; {ID} is optional.",
        )
    return header


def _rows(header: Sequence[str], lines: Iterable[tuple[str, ...]]) -> Iterable[Row]:
    first_line: dict[str, int] = {}
    for number, cells in enumerate(lines, start=1):
        if len(cells) != len(header):
            yield Row(cells, None, f"row: must have {len(header)} cells (got {len(cells)})")
            continue
        values = {n: c.strip() or None for n, c in zip(header, cells, strict=True)}
        try:
            application = schemas.ScoreRequest.model_validate(values)
        except ValidationError as error:
            yield Row(cells, None, explain(error))
            continue
        given = application.application_id
        if given is not None and given in first_line:
            yield Row(cells, None, f"{ID}: must be unique in the file (got {given!r}, as in row {first_line[given]})")
            continue
        if given is not None:
            first_line[given] = number
        yield Row(cells, application)


def explain(error: ValidationError) -> str:
    """Each broken rule as `field: rule (got value)`, in one line."""
    told = []
    for e in error.errors(include_url=False):
        field = ".".join(str(part) for part in e["loc"])
        value = "nothing" if e["input"] is None else repr(str(e["input"])[:40])
        told.append(f"{field}: {e['msg']} (got {value})")
    return "; ".join(told)
