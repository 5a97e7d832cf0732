"""The database: SQLite (WAL) by default, PostgreSQL by URL. Ignores what the tables mean."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Engine, ExceptionContext, MetaData, create_engine, event
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry

from verticals.contract import InvalidInput

if TYPE_CHECKING:
    from alembic.config import Config

BUSY_TIMEOUT_MS = 10_000
CONNECT_TIMEOUT_S = 5  # a server that is gone is told, not waited for
OUT_OF_RANGE = "22003"  # PostgreSQL's code; SQLite's driver raises an OverflowError


class Base(DeclarativeBase):
    """Declarative base of the service's own tables: audit, keys, evaluation runs."""


def open_database(url: str) -> Engine:
    """An engine for `url`; SQLite files are opened in WAL mode with foreign keys on, PostgreSQL counts days in UTC."""
    if not url.startswith("sqlite"):
        patience = {} if "connect_timeout" in url else {"connect_timeout": CONNECT_TIMEOUT_S}
        engine = create_engine(url, pool_pre_ping=True, connect_args={"options": "-c timezone=UTC", **patience})
        event.listen(engine, "handle_error", _name_what_is_too_large)
        return engine
    path = url.removeprefix("sqlite:///")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url)
    event.listen(engine, "handle_error", _name_what_is_too_large)

    @event.listens_for(engine, "connect")
    def _configure(connection: object, _record: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()  # type: ignore[attr-defined]
        # secure_delete: what is deleted is overwritten in the file, for whoever is forgotten.
        pragmas = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON")
        for pragma in (*pragmas, f"busy_timeout={BUSY_TIMEOUT_MS}"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    return engine


def _name_what_is_too_large(context: ExceptionContext) -> None:
    """A number of a request, such as an offset, that no column holds is the request's fault, not ours."""
    error = context.original_exception
    if isinstance(error, OverflowError) or getattr(error, "sqlstate", "") == OUT_OF_RANGE:
        raise InvalidInput("a number is larger than the database can hold", remedy="Send a smaller one.") from error


def make_sessions(engine: Engine) -> sessionmaker[Session]:
    """Sessions whose objects stay readable after commit."""
    return sessionmaker(engine, expire_on_commit=False)


def all_metadata() -> list[MetaData]:
    """Every layer's tables, for migrations and for the test that the migrations match them."""
    import retrieval.signatures
    import retrieval.tables
    import service.audit_tables
    import service.auth
    import service.evals.tables
    import service.idempotency
    import service.operations.tables
    import service.responses_store
    import service.rollout_ledger
    import service.webhooks.jobs
    import service.webhooks.talks  # noqa: F401  (each registers its tables on Base)
    from service.discovery import discover_tables
    from verticals import contract

    discover_tables()
    return [Base.metadata, retrieval.tables.Base.metadata, contract.Base.metadata]


def alembic_config(url: str) -> Config:
    """Alembic's configuration, made in code: the migrations ship inside the package."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["url"] = url
    return config


def migrate(url: str) -> None:
    """Bring the database at `url` to the newest schema; does nothing when it is there already."""
    from alembic import command

    if url.startswith("sqlite"):
        Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    command.upgrade(alembic_config(url), "head")
