"""Many rows into a table with little work a row: SQLAlchemy writes the statement, the driver takes the rows.

SQLAlchemy's own way builds a dictionary of parameters for each row, which costs more than the insertion itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Dialect, Table, insert
from sqlalchemy.sql.compiler import SQLCompiler


def insert_rows(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert `rows`, which all give the same two or more columns, in their order."""
    if not rows:
        return
    dialect = connection.dialect
    statement, order, processors = _prepared(table, tuple(rows[0]), dialect)
    take = itemgetter(*order)
    columns = [
        [process(value) for value in column] if process else column
        for process, column in zip(processors, zip(*map(take, rows), strict=True), strict=True)
    ]
    values = zip(*columns, strict=True)
    parameters: Any = list(values) if dialect.positional else [dict(zip(order, row, strict=True)) for row in values]
    connection.exec_driver_sql(statement, parameters)


@lru_cache(maxsize=64)
def _prepared(
    table: Table, columns: tuple[str, ...], dialect: Dialect
) -> tuple[str, tuple[str, ...], tuple[Callable[[Any], Any] | None, ...]]:
    """The statement as the driver wants it, its parameters in order, and what makes each fit for the driver."""
    compiled = insert(table).compile(dialect=dialect, column_keys=list(columns))
    assert isinstance(compiled, SQLCompiler)
    order = tuple(compiled.positiontup or columns)
    return str(compiled), order, tuple(table.c[n].type.dialect_impl(dialect).bind_processor(dialect) for n in order)
