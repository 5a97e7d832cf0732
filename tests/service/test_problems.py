"""A database that is away is told as that wherever it is noticed, also within a stream and by a full pool."""

from __future__ import annotations

import sqlite3

import pytest
from sqlalchemy.exc import OperationalError, TimeoutError
from starlette.exceptions import HTTPException

from service import problems
from verticals.contract import Unavailable


@pytest.mark.parametrize(
    "error",
    [
        OperationalError("UPDATE customers", {"name": "Jane Doe"}, sqlite3.OperationalError("disk I/O error")),
        TimeoutError("QueuePool limit of size 5 overflow 10 reached"),
        sqlite3.OperationalError("database or disk is full"),  # of the agent's checkpoints
    ],
)
def test_a_database_that_is_away_is_unavailable_and_no_unexpected_failure(error: Exception) -> None:
    found = problems.as_ours(error, request_id="r")

    assert isinstance(found, Unavailable)
    assert "Jane Doe" not in str(found)
    assert "the database is busy or away" in str(found)


@pytest.mark.parametrize("cause", [TimeoutError("QueuePool limit"), Unavailable("the issuer is away")])
def test_what_the_framework_wraps_as_it_reads_a_body_is_told_by_its_cause(cause: Exception) -> None:
    wrapped = HTTPException(400)
    wrapped.__cause__ = cause

    assert isinstance(problems.as_ours(wrapped, request_id="r"), Unavailable)


def test_a_rule_of_ours_is_told_without_the_frameworks_words() -> None:
    found = [{"type": "value_error", "loc": ("body", "until"), "msg": "Value error, must come after since"}]

    told = problems.of_validation(found, request_id="r", of_request=True)
    assert told["detail"] == "until: must come after since"


def test_every_field_is_told_with_its_rule_and_what_is_wrong_in_size_but_not_its_value() -> None:
    text = {"type": "string_too_long", "msg": "String should have", "input": "Jane Doe", "ctx": {"max_length": 3}}
    age = {"type": "int_parsing", "msg": "Input should be", "input": "Jane Doe"}
    found = [text | {"loc": ("body", "rows", 1, "text")}, age | {"loc": ("query", "age")}]

    told = problems.of_validation(found, request_id="r", of_request=True)

    assert told["detail"] == "rows.1.text: must have at most 3 characters (got 8); age: must be a whole number"
    assert told["errors"] == [
        {"field": "rows.1.text", "rule": "must have at most 3 characters", "value": "8"},
        {"field": "age", "rule": "must be a whole number"},
    ]
    assert (told["field"], told["value"], told["remedy"]) == ("rows.1.text", "8", "The schema is at /docs.")
    assert "Jane Doe" not in str(told)
