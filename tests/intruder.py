"""Somebody who changes the database between two statements of another, without sleeps or threads."""

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
def between(engine: Engine, act: Callable[[], object], *, after: str = "", before: str = "") -> Iterator[None]:
    """Have `act` done once while the block runs: after, or before, its first statement on `engine` with this text.

    Where others are kept out then, it is tried again at the next such statement; at the latest, after the block.
    """
    done, trying = [], []

    def attempt(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if (before or after) not in statement or done or trying:
            return
        trying.append(True)
        try:
            act()
            done.append(True)
        except OperationalError:
            pass
        finally:
            trying.clear()

    moment = "before_cursor_execute" if before else "after_cursor_execute"
    event.listen(engine, moment, attempt)
    try:
        yield
    finally:
        event.remove(engine, moment, attempt)
    if not done:
        act()
