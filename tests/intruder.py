"""Somebody who changes the database between two statements of another, as soon as it lets them. No sleeps, no threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, sessionmaker

from service.storage import make_sessions

_IMPATIENT = {"sqlite": {"timeout": 0}, "postgresql": {"options": "-c timezone=UTC -c lock_timeout=20ms"}}


@contextmanager
def intruder(engine: Engine) -> Iterator[sessionmaker[Session]]:
    """Sessions on the same database that wait for no lock; let them act `between`."""
    own = create_engine(engine.url, connect_args=_IMPATIENT[engine.dialect.name])
    yield make_sessions(own)
    own.dispose()


@contextmanager
def between(engine: Engine, act: Callable[[], object], *, after: str = "") -> Iterator[None]:
    """Have `act` done once while the block runs: after its first statement on `engine` that holds the text `after`.

    Where that keeps others out, it is tried again after the next such statement; at the latest, after the block.
    """
    done = []

    def attempt(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if not done and after in statement:
            try:
                act()
            except OperationalError:
                return
            done.append(True)

    event.listen(engine, "after_cursor_execute", attempt)
    try:
        yield
    finally:
        event.remove(engine, "after_cursor_execute", attempt)
    if not done:
        act()
