"""Where LangGraph keeps its checkpoints: a SQLite file beside the database, or PostgreSQL itself. Ignores the graphs.

Checkpoints hold plain data only, and only plain data is ever read back (what LANGGRAPH_STRICT_MSGPACK asks for, without
the environment). See docs/decisions/0009-side-effects-and-checkpoints.md for what may live in them.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver
from sqlalchemy import URL, Engine

BUSY_TIMEOUT_MS = 10_000
MAX_CONNECTIONS = 4


def thread_id(tenant: str, name: str) -> str:
    """The thread of a session or an action, by its id."""
    return f"{tenant}/{name}"


def open_checkpointer(database: Engine) -> BaseCheckpointSaver[Any]:
    """The saver that belongs to a database, with its tables made.

    SQLite: `<database>-checkpoints` in WAL mode; `synchronous=NORMAL` outlives a killed process, and costs no flush.
    """
    if database.dialect.name == "postgresql":
        return _postgres(database.url)
    path = f"{database.url.database}-checkpoints" if database.url.database else ":memory:"
    connection = sqlite3.connect(path, check_same_thread=False)
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "secure_delete=ON", f"busy_timeout={BUSY_TIMEOUT_MS}"):
        connection.execute(f"PRAGMA {pragma}")
    saver = SqliteSaver(connection, serde=_plain_data_only())
    saver.setup()
    return saver


def _postgres(url: URL) -> BaseCheckpointSaver[Any]:
    from langgraph.checkpoint.postgres import PostgresSaver
    from psycopg import Connection
    from psycopg.rows import DictRow, dict_row
    from psycopg_pool import ConnectionPool

    address = url.set(drivername="postgresql").render_as_string(hide_password=False)
    options = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    pool: ConnectionPool[Connection[DictRow]] = ConnectionPool(  # opens connections when they are needed
        address,
        min_size=0,
        max_size=MAX_CONNECTIONS,
        kwargs=options,
        check=ConnectionPool.check_connection,
        open=True,
    )
    saver = PostgresSaver(pool, serde=_plain_data_only())
    saver.setup()
    return saver


def _plain_data_only() -> JsonPlusSerializer:
    return JsonPlusSerializer(pickle_fallback=False, allowed_msgpack_modules=None)
