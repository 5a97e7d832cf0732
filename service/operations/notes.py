"""What the watch keeps by name over a restart, and which of several processes watches. Ignores what it means."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from service.operations.tables import WatchNote

LEASE = "watch"  # who watches


def hold(sessions: sessionmaker[Session], holder: str, *, now: datetime, for_s: float) -> bool:
    """Be the one that watches for a while, or go on being it; False if another process is."""
    row, until = WatchNote, now + timedelta(seconds=for_s)
    mine = update(row).where(row.name == LEASE, (row.holder == holder) | (row.until < now))
    try:
        with sessions.begin() as session:
            taken = session.execute(mine.values(holder=holder, until=until))
            if taken.rowcount:  # type: ignore[attr-defined]
                return True
            if session.get(row, LEASE) is not None:
                return False
            session.add(row(name=LEASE, holder=holder, until=until, data={}))
    except IntegrityError:  # another process was quicker
        return False
    return True


def release(sessions: sessionmaker[Session], holder: str) -> None:
    """Let another process watch at once, whatever its clock says."""
    row = WatchNote
    with sessions.begin() as session:
        session.execute(delete(row).where(row.name == LEASE, row.holder == holder))


def read_note(session: Session, name: str) -> Mapping[str, Any] | None:
    """What is kept under a name."""
    return session.scalar(select(WatchNote.data).where(WatchNote.name == name))


def keep_note(session: Session, name: str, data: Mapping[str, Any], *, now: datetime) -> None:
    """Keep it, in the transaction of `session`."""
    session.merge(WatchNote(name=name, holder="", until=now, data=dict(data)))
