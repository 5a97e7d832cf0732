"""Checks whole columns of applications at once; only what looks unusual is read row by row. Ignores file formats.

A column's usual values are decided in bulk. Every other row goes through the API's own schema, which takes it or says
what is wrong: a file and the API accept the same. N rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import ValidationError

from verticals.broken_rules import rule_of
from verticals.contract import InvalidInput
from verticals.finance import schemas
from verticals.finance.fields import CATEGORIES, CUSTOMER, ID, LIMITS
from verticals.finance.seen_ids import SeenIds

_USUAL_NUMBER = r"^[1-9][0-9]{0,8}$"
_USUAL_ID = r"^[A-Za-z0-9._:-]{1,64}$"


@dataclass(frozen=True)
class Checked:
    """N rows: what they say, or why they say nothing. Values of bad rows mean nothing."""

    categories: Mapping[str, NDArray[np.int64]]  # place in `CATEGORIES[field]`; -1 = not known
    numbers: Mapping[str, NDArray[np.int64]]
    ids: NDArray[np.object_]  # None where the file gives none
    customers: NDArray[np.object_] | None  # the same; None: the file has no such column
    errors: NDArray[np.object_]  # "" for a good row

    @property
    def is_good(self) -> NDArray[np.bool_]:
        """(N,)"""
        return np.asarray(self.errors == "", dtype=bool)


def check(table: pa.Table, broken: Mapping[int, str], *, seen: SeenIds, first_row: int) -> Checked:
    """Check the rows of `table`.

    Args:
        table: Columns of applications; text as it came, or typed.
        broken: Rows that could not be read, and why.
        seen: The ids of the rows before.
        first_row: The number of the first row in the file, from 1.

    Raises:
        InvalidInput: a column's type can hold no such value.
    """
    columns = {name: _plain(table[name].combine_chunks(), name) for name in table.column_names}
    errors = np.full(table.num_rows, "", dtype=object)
    usual = np.ones(table.num_rows, dtype=bool)
    categories, numbers = {}, {}
    for name, allowed in CATEGORIES.items():
        place = pc.index_in(columns[name], value_set=pa.array(allowed, pa.string()))
        usual &= pc.or_(pc.is_valid(place), pc.is_null(columns[name])).to_numpy(zero_copy_only=False)
        categories[name] = place.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    for name, (low, high) in LIMITS.items():
        value = _numbers(columns[name])
        numbers[name] = value.fill_null(low - 1).to_numpy(zero_copy_only=False).astype(np.int64)
        usual &= (low <= numbers[name]) & (numbers[name] <= high)
    references = {ID: np.full(table.num_rows, None, dtype=object)}
    for name in {ID, CUSTOMER} & set(columns):
        fits = pc.match_substring_regex(columns[name], _USUAL_ID)
        usual &= pc.fill_null(fits, True).to_numpy(zero_copy_only=False)
        references[name] = np.array(columns[name].to_pylist(), dtype=object)
    checked = Checked(categories, numbers, references[ID], references.get(CUSTOMER), errors)
    for row, why in broken.items():
        errors[row] = why
    for row in np.flatnonzero(~usual).tolist():
        if not errors[row]:
            _read_row(checked, row, {name: column[row].as_py() for name, column in columns.items()})
    if ID in columns:
        _refuse_doubles(checked, seen, first_row)
    return checked


def explain(error: ValidationError) -> str:
    """Each broken rule as `field: rule (got value)`, in one line."""
    told = []
    for e in error.errors(include_url=False):
        field = ".".join(str(part) for part in e["loc"])
        value = "nothing" if e["input"] is None else repr(str(e["input"])[:40])
        told.append(f"{field}: {rule_of(e)} (got {value})")
    return "; ".join(told)


def _plain(column: pa.Array, name: str) -> pa.Array:
    """Text trimmed, with empty text as missing; numbers as they are."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    if is_text or pa.types.is_null(kind):
        text = pc.utf8_trim_whitespace(column.cast(pa.string()))
        return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)
    if name in LIMITS and (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return column.cast(kind)
    raise InvalidInput(
        "must be a column of text" if name not in LIMITS else "must be a column of whole numbers or text",
        field=name,
        value=str(column.type),
    )


def _numbers(column: pa.Array) -> pa.Array:
    """Whole numbers, null where a value is none or is written unusually."""
    if pa.types.is_string(column.type):
        usual = pc.match_substring_regex(column, _USUAL_NUMBER)
        return pc.if_else(usual, column, pa.scalar(None, pa.string())).cast(pa.int64())
    if pa.types.is_floating(column.type):
        whole = pc.and_(pc.equal(column, pc.floor(column)), pc.less(pc.abs(column), 1e9))
        return pc.if_else(whole, column, pa.scalar(None, column.type)).cast(pa.int64())
    usual = pc.less(column, pa.scalar(10**9, pa.int64())) if column.type.bit_width == 64 else pc.is_valid(column)
    return pc.if_else(usual, column, pa.scalar(None, column.type)).cast(pa.int64())


def _read_row(checked: Checked, row: int, values: dict[str, Any]) -> None:
    """Let the schema decide about one row."""
    try:
        application = schemas.ScoreRequest.model_validate(values)
    except ValidationError as error:
        checked.errors[row] = explain(error)
        return
    for name, allowed in CATEGORIES.items():
        value = getattr(application, name)
        checked.categories[name][row] = -1 if value is None else allowed.index(value)
    for name in LIMITS:
        checked.numbers[name][row] = getattr(application, name)


def _refuse_doubles(checked: Checked, seen: SeenIds, first_row: int) -> None:
    rows = np.flatnonzero(checked.is_good & (checked.ids != None))  # noqa: E711  (each element)
    for row, first in zip(rows, seen.add(checked.ids[rows], rows + first_row), strict=True):
        if first:
            checked.errors[row] = f"{ID}: must be unique in the file (got {checked.ids[row]!r}, as in row {first})"
