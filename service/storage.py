"""The database: SQLite (WAL) by default, PostgreSQL by URL. Ignores what the tables mean."""

from __future__ import annotations

from sqlalchemy.orm import DeclarativeBase


class Base(DeclarativeBase):
    """Declarative base of the service's own tables: audit, keys, registry, evaluation runs."""
