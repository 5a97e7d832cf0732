"""Many rows into a table with little work a row: SQLAlchemy writes the statement, the driver takes the rows.

SQLAlchemy's own way builds a dictionary of parameters for each row, and the driver's executes a statement a row, each
of which gives away the interpreter's lock and waits for it again. Here a statement takes up to 32 rows: so few
different statements that a connection keeps all of them prepared.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import Connection, Dialect, Table, insert
from sqlalchemy.sql.compiler import SQLCompiler

MAX_ROWS = 32  # of a statement; a connection of sqlite3 keeps 128 statements, one of psycopg 100
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
    for first in range(0, len(values), MAX_ROWS):
        some = values[first : first + MAX_ROWS]
        connection.exec_driver_sql(head + ",".join([row] * len(some)), tuple(chain.from_iterable(some)))


@lru_cache(maxsize=64)
def _prepared(table: Table, columns: tuple[str, ...], dialect: Dialect) -> _Prepared:
    compiled = insert(table).inline().compile(dialect=dialect, column_keys=list(columns))
    assert isinstance(compiled, SQLCompiler)
    text = str(compiled)
    order = tuple(compiled.positiontup or _NAMED.findall(text))
    head, values, row = _NAMED.sub("%s", text).partition(" VALUES ")
    processors = tuple(table.c[name].type.dialect_impl(dialect).bind_processor(dialect) for name in order)
    return _Prepared(head + values, row, order, processors)
