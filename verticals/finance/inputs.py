"""Which bins the scored applications fell into, kept as counts. Ignores what is made of them.

No attribute of an applicant is stored with a decision, so what came in can only be told by such counts. They are kept
in the transaction of a scoring, every `KEEP_EVERY_S` at most; the last ones of a process that dies are lost.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from sqlalchemy import JSON, Index, Integer, String, delete, insert
from sqlalchemy.orm import Mapped, Session, mapped_column, sessionmaker

from verticals.contract import Base, Time

if TYPE_CHECKING:
    from verticals.finance.scoring import Models

KEEP_EVERY_S = 60.0
REMEMBERED = timedelta(days=14)


class FinanceInputs(Base):
    """Applications by field and bin, some minutes' worth; the last place of a field is for a missing value."""

    __tablename__ = "finance_inputs"
    __table_args__ = (Index("ix_finance_inputs_created", "created_at"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    tenant: Mapped[str] = mapped_column(String(64))
    model_version: Mapped[str] = mapped_column(String(128))
    counts: Mapped[dict[str, list[int]]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(Time)


class Tallies(Protocol):
    """What counts applications: `compiled.CompiledModels`."""

    models: Models

    def take_tallies(self) -> dict[str, list[int]]: ...


class InputCounts:
    """Keeps what was counted.

    Args:
        sessions: Of the database.
        clock: Seconds, never going back.
    """

    def __init__(self, sessions: sessionmaker[Session], clock: Callable[[], float] = time.monotonic) -> None:
        self._sessions, self._clock = sessions, clock
        self._due_s: dict[str, float] = {}  # by tenant

    def keep_due(self, session: Session, tenant: str, tallies: Tallies) -> None:
        """Keep a tenant's counts in the transaction of `session`, if that is due."""
        now_s = self._clock()
        if now_s >= self._due_s.get(tenant, 0.0):
            self._due_s[tenant] = now_s + KEEP_EVERY_S
            _keep(session, tenant, tallies.models.version, tallies.take_tallies())

    def keep(self, tenant: str, model_version: str, counts: Mapping[str, list[int]]) -> None:
        """Keep the counts of a file's chunk: field -> how many in each bin."""
        with self._sessions.begin() as session:
            _keep(session, tenant, model_version, counts)


def _keep(session: Session, tenant: str, model_version: str, counts: Mapping[str, list[int]]) -> None:
    now = datetime.now(UTC)
    row = {"tenant": tenant, "model_version": model_version, "counts": dict(counts), "created_at": now}
    session.execute(insert(FinanceInputs), row)
    session.execute(delete(FinanceInputs).where(FinanceInputs.created_at < now - REMEMBERED))
