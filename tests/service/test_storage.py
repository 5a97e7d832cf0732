"""The migrations build exactly the tables that the code declares, and take them away again."""

from __future__ import annotations

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from service.storage import alembic_config, all_metadata, migrate, open_database


def test_the_migrations_match_the_declared_tables(database_url: str) -> None:
    migrate(database_url)
    engine = open_database(database_url)

    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), all_metadata())
    engine.dispose()
    assert differences == []


def test_migrating_twice_changes_nothing_and_back_leaves_nothing(database_url: str) -> None:
    migrate(database_url)
    migrate(database_url)
    engine = open_database(database_url)
    assert "audit_entries" in inspect(engine).get_table_names()

    command.downgrade(alembic_config(database_url), "base")
    assert inspect(engine).get_table_names() == ["alembic_version"]
    engine.dispose()


def test_sqlite_opens_in_wal_mode_with_foreign_keys(tmp_path: object) -> None:
    engine = open_database(f"sqlite:///{tmp_path}/deep/folder/x.db")

    with engine.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1
    engine.dispose()
