"""The core's model in the ledger of rollouts: what every process of this installation serves, also after a restart.

A step is a folder of `<TRIVIUM_HOME>/models`. The pool loads, verifies and swaps; a folder that fails changes nothing
here, and `fault` says so until the next step. Ignores shares: a language model has no canary.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from sqlalchemy.orm import Session, sessionmaker

from service.rollout_ledger import State, Step, append, newest_steps

if TYPE_CHECKING:
    from core_model.models import ModelPool

CORE = "core"  # the model that every vertical uses
_log = structlog.get_logger()


class CoreSteps:
    """The steps of the name `CORE` in a pool.

    Args:
        pool: Serves it.
        folder: Where models lie.
        sessions: Of the ledger's database.
    """

    def __init__(self, pool: ModelPool, folder: Path, sessions: sessionmaker[Session]) -> None:
        self._pool, self._folder, self._sessions = pool, folder, sessions
        self._followed = 0
        self.fault: str | None = None

    def note(self, session: Session, state: State, *, before: Path, person: str, reason: str, tenant: str) -> None:
        """Append what the pool has just done.

        Raises:
            Conflict: another process took a step at the same time; this one follows it.
        """
        now = newest_steps(session).get(CORE)
        number = now.number + 1 if now else 1
        serves = self._pool.stats()[CORE].folder.name
        at = datetime.now(UTC)
        append(session, Step(CORE, number, state, serves, before.name, 0.0, tenant, person, reason, at))
        self._followed, self.fault = number, None

    def follow(self, steps: Mapping[str, Step]) -> None:
        """Serve what the newest step says; one that fails is tried once."""
        step = steps.get(CORE)
        if step is None or step.number == self._followed:
            return
        self._followed, self.fault = step.number, None
        stats = self._pool.stats()[CORE]
        if stats.folder.name == step.version:
            return
        try:
            if stats.previous is not None and stats.previous.name == step.version:
                self._pool.roll_back(CORE)  # it may be loaded still
            else:
                self._pool.swap(CORE, self._folder / step.version)
        except ValueError as error:
            self.fault = str(error)
            _log.error("the core cannot follow; what served serves", folder=step.version, error=type(error).__name__)
