"""CSV, JSON and JSON Lines: questions with answers, or rows of a table. Ignores other columns of a FAQ.

A FAQ becomes a heading a question with its answer below, so that each passage holds its question; any other table
becomes a Markdown table.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from retrieval.readers.reading import Reading, UnreadableFile
from retrieval.readers.text import decode, escape, one_line, table

QUESTION = ("question", "q", "问题", "问")
ANSWER = ("answer", "a", "答案", "回答", "答")
MAX_COLUMNS = 50
_SHAPE = "Give a list of objects with the fields question and answer, or of flat objects with one set of fields."


def read_csv(content: bytes) -> Reading:
    """Read a table with a header row; its separator is a comma, a semicolon or a tab, whichever the header holds most.

    Raises:
        UnreadableFile: not text, not a table, a row has more cells than the header, or a question lacks its answer.
    """
    text = decode(content)
    header = text.partition("\n")[0]
    rows = csv.reader(io.StringIO(text), delimiter=max(",;\t", key=header.count), strict=True)
    try:
        names, *records = [row for row in rows if any(cell.strip() for cell in row)]
    except ValueError:
        raise UnreadableFile("no row", "The first row names the columns.") from None
    except csv.Error:
        raise UnreadableFile(f"line {rows.line_num}: not CSV", "Export it again, with quotes around cells.") from None
    for number, record in enumerate(records, start=1):
        if len(record) > len(names):
            remedy = "Put cells that hold the separator in quotes."
            raise UnreadableFile(f"row {number}: has {len(record)} cells, the header {len(names)}", remedy)
    _check_columns(names)
    return _to_reading(names, records)


def read_json(content: bytes) -> Reading:
    """Read a list of objects, alone or as the one list in an object (`{"faq": [...]}`).

    Raises:
        UnreadableFile: not JSON, another shape, or a question lacks its answer.
    """
    try:
        found = json.loads(decode(content))
    except (ValueError, RecursionError) as error:
        if isinstance(error, UnreadableFile):
            raise
        where = f"line {error.lineno}: " if isinstance(error, json.JSONDecodeError) else ""
        raise UnreadableFile(f"{where}not JSON", "Export it again.") from None
    if isinstance(found, dict):
        lists = [value for value in found.values() if isinstance(value, list)]
        found = lists[0] if len(lists) == 1 else found
    return _from_objects(found)


def read_jsonl(content: bytes) -> Reading:
    """Read one object a line.

    Raises:
        UnreadableFile: a line is not JSON, another shape, or a question lacks its answer.
    """
    objects = []
    for number, line in enumerate(decode(content).split("\n"), start=1):
        if line.strip():
            try:
                objects.append(json.loads(line))
            except (ValueError, RecursionError):
                raise UnreadableFile(f"line {number}: not JSON", "Write one object a line.") from None
    return _from_objects(objects)


def _from_objects(found: Any) -> Reading:
    if not isinstance(found, list) or not found or not all(isinstance(item, dict) for item in found):
        raise UnreadableFile("not a list of objects", _SHAPE)
    for number, item in enumerate(found, start=1):
        if any(isinstance(value, dict | list) for value in item.values()):
            raise UnreadableFile(f"object {number}: holds nested values", _SHAPE)
    names = list(dict.fromkeys(name for item in found for name in item))
    _check_columns(names)
    return _to_reading(names, [[_plain(item.get(name)) for name in names] for item in found])


def _check_columns(names: Sequence[str]) -> None:
    if len(names) > MAX_COLUMNS:
        raise UnreadableFile(f"more than {MAX_COLUMNS} columns", _SHAPE)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)


def _to_reading(names: Sequence[str], rows: Sequence[Sequence[str]]) -> Reading:
    question, answer = _column(names, QUESTION), _column(names, ANSWER)
    if question is None or answer is None:
        return Reading(table([names, *rows]) if rows else "")
    parts = []
    for number, row in enumerate(rows, start=1):
        asked, said = (row[i].strip() if i < len(row) else "" for i in (question, answer))
        if not asked or not said:
            raise UnreadableFile(f"row {number}: question or answer is empty", "Fill it in, or take the row out.")
        parts.append(f"## {one_line(asked)}\n\n{escape(said)}")
    return Reading("\n\n".join(parts))


def _column(names: Sequence[str], known: Sequence[str]) -> int | None:
    return next((i for i, name in enumerate(names) if name.strip().lower() in known), None)
