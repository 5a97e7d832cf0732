"""What commands that need no language model share: registry, database, audit trail. Ignores what they do with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from service.settings import read_settings
from verticals.contract import Context

if TYPE_CHECKING:
    from sqlalchemy.orm import Session, sessionmaker

    from service.audit import AuditLog
    from service.registry import FileRegistry


@dataclass(frozen=True)
class Parts:
    """What these commands need of the kit."""

    registry: FileRegistry
    sessions: sessionmaker[Session]
    audit: AuditLog

    def context(self, tenant: str) -> Context:
        """The operator at the command line."""
        who = {"tenant": tenant, "actor": "cli", "request_id": "cli"}
        return Context(**who, record=partial(self.audit.record, who=who))


@contextmanager
def open_parts() -> Iterator[Parts]:
    """The parts over the settings' database and registry; the schema is brought up to date."""
    from service.audit import AuditLog
    from service.registry import FileRegistry
    from service.storage import make_sessions, migrate, open_database

    settings = read_settings()
    migrate(settings.sqlalchemy_url)
    database = open_database(settings.sqlalchemy_url)
    sessions = make_sessions(database)
    try:
        yield Parts(FileRegistry(settings.home / "registry"), sessions, AuditLog(sessions))
    finally:
        database.dispose()
