"""Many rows into a table with little work a row: SQLAlchemy writes the statement, the driver takes the rows.

SQLAlchemy's own way builds a dictionary of parameters for each row, and the driver's executes a statement a row, each
of which gives away the interpreter's lock and waits for it again. Here a statement takes up to 64 rows. Their numbers
are powers of two, so that few statements are parsed and all of them are soon prepared.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import Connection, Dialect, Table, insert
from sqlalchemy.sql.compiler import SQLCompiler

MAX_ROWS = 64  # of a statement; SQLite takes 32,766 values, PostgreSQL 65,535
_NAMED = re.compile(r"%\((\w+)\)s")


class _Prepared(NamedTuple):
    """An insertion of one row: its text around the row, its parameters in order, what makes each fit for the driver."""

    head: str
    row: str
    order: tuple[str, ...]
    processors: tuple[Callable[[Any], Any] | None, ...]


def insert_rows(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert `rows`, which all give the same two or more columns, in their order."""
    if not rows:
        return
    head, row, order, processors = _prepared(table, tuple(rows[0]), connection.dialect)
    columns = [
        [process(value) for value in column] if process else column
        for process, column in zip(processors, zip(*map(itemgetter(*order), rows), strict=True), strict=True)
    ]
    values = list(zip(*columns, strict=True))
    for first, count in _runs(len(values)):
        statement = head + ",".join([row] * count)
        connection.exec_driver_sql(statement, tuple(chain.from_iterable(values[first : first + count])))


def _runs(count: int) -> Iterator[tuple[int, int]]:
    """(first, length) of runs whose lengths are powers of two, at most `MAX_ROWS`."""
    first = 0
    while first < count:
        length = min(MAX_ROWS, 1 << ((count - first).bit_length() - 1))
        yield first, length
        first += length


@lru_cache(maxsize=64)
def _prepared(table: Table, columns: tuple[str, ...], dialect: Dialect) -> _Prepared:
    compiled = insert(table).inline().compile(dialect=dialect, column_keys=list(columns))
    assert isinstance(compiled, SQLCompiler)
    text = str(compiled)
    order = tuple(compiled.positiontup or _NAMED.findall(text))
    head, values, row = _NAMED.sub("%s", text).partition(" VALUES ")
    processors = tuple(table.c[name].type.dialect_impl(dialect).bind_processor(dialect) for name in order)
    return _Prepared(head + values, row, order, processors)
