"""A database that is away is told as that wherever it is noticed, also within a stream and by a full pool."""

from __future__ import annotations

import sqlite3

import pytest
from sqlalchemy.exc import OperationalError, TimeoutError

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
