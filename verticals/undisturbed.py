"""Several statements that nobody comes between, to read or to change. Ignores what is read or changed.

By itself each SELECT sees a state of its own: a transaction of SQLite begins with its first write, and one of
PostgreSQL sees with each statement what was committed before it. So what one SELECT said may not fit the next, or may
no longer hold when it is acted upon.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, inspect, update
from sqlalchemy.orm import DeclarativeBase, Session


def see_one_state(session: Session) -> None:
    """Let all statements of a new transaction, which only reads, see one state of the database."""
    if session.get_bind().dialect.name == "sqlite":
        session.connection().exec_driver_sql("BEGIN")
    else:
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})


def hold(session: Session, table: type[DeclarativeBase], *which: ColumnElement[bool]) -> None:
    """Keep others from changing these rows until the transaction ends; read them after this, not before.

    An update that changes nothing: SQLite knows no SELECT FOR UPDATE. There it keeps others from changing anything.
    """
    key = inspect(table).primary_key[0]
    unchanged = update(table).where(*which).values({key.key: key})
    session.execute(unchanged, execution_options={"synchronize_session": False})
