"""Shared fixtures: a database of each kind, with every migration applied."""

from __future__ import annotations

import getpass
import logging
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TypeVar

import pytest
import structlog
import uvicorn
from fastapi import FastAPI
from hypothesis import settings
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session, sessionmaker

from service.monitoring import OURS, configure_logging
from service.storage import make_sessions, migrate, open_database

T = TypeVar("T")

settings.register_profile("untimed", deadline=None)  # a busy machine is no failure
settings.load_profile("untimed")


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """A real server over `app` on a free port; gives its address."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server ended before it started"
        time.sleep(0.01)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(10)


def wait_for(find: Callable[[], T], *, timeout_s: float = 10) -> T:
    """What `find` gives once it gives something; its last answer after `timeout_s`."""
    until = time.monotonic() + timeout_s
    while not (found := find()) and time.monotonic() < until:
        time.sleep(0.01)
    return found


@pytest.fixture
def service_logging() -> Iterator[None]:
    """Logs as the service writes them, and afterwards as pytest had them."""
    loggers = [logging.getLogger(name) for name in (None, *OURS)]
    handlers, levels = loggers[0].handlers, [logger.level for logger in loggers]
    configure_logging("error", json=False)
    yield
    loggers[0].handlers = handlers
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
    structlog.reset_defaults()


def _postgresql_binaries() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).parent if on_path else None


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """A real PostgreSQL server of this session; the URL of its `postgres` database."""
    binaries = _postgresql_binaries()
    if binaries is None:
        if os.environ.get("CI"):
            pytest.fail("PostgreSQL is not installed; .ci/run installs it")
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    # PostgreSQL refuses to run as root, so root lends it the account that the Debian package makes.
    as_user = ["runuser", "-u", "postgres", "--"] if getpass.getuser() == "root" else []
    folder = Path(tempfile.mkdtemp(prefix="trivium-postgresql-"))
    if as_user:
        shutil.chown(folder, "postgres")
    port, data = free_port(), folder / "data"
    quiet = {"check": True, "stdout": subprocess.DEVNULL, "cwd": folder}
    subprocess.run([*as_user, binaries / "initdb", "-D", data, "-U", "trivium", "--auth=trust", "-E", "UTF8"], **quiet)
    options = f"-h 127.0.0.1 -p {port} -k {folder} -c fsync=off"
    control = [*as_user, binaries / "pg_ctl", "-D", data]
    subprocess.run([*control, "-w", "-l", folder / "log", "-o", options, "start"], **quiet)
    yield f"postgresql+psycopg://trivium@127.0.0.1:{port}/postgres"
    subprocess.run([*control, "-m", "immediate", "stop"], **quiet)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database, once of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'trivium.db'}"
        return
    with _database_like("template1", request.getfixturevalue("postgresql")) as url:
        yield url


@contextmanager
def _database_like(template: str, server: str) -> Iterator[str]:
    """A database of this PostgreSQL server that begins as a copy of `template`; its URL."""
    name = f"test_{uuid.uuid4().hex}"
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
    yield server.removesuffix("/postgres") + f"/{name}"
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture(scope="session")
def migrated_postgresql(postgresql: str) -> Iterator[str]:
    """The name of a database with every migration applied, to be copied."""
    with _database_like("template1", postgresql) as url:
        migrate(url)
        yield url.rpartition("/")[2]


@cache
def _migrated_sqlite() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trivium.db"
        migrate(f"sqlite:///{path}")
        return path.read_bytes()


def migrated_sqlite(url: str) -> None:
    """What `migrate` makes of an empty SQLite database at `url`: done once, then copied. Keeps one that is there."""
    path = Path(url.removeprefix("sqlite:///"))
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_migrated_sqlite())


@pytest.fixture(params=["sqlite", "postgresql"])
def migrated_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database with every migration applied, once of each kind."""
    if request.param == "sqlite":
        migrated_sqlite(url := f"sqlite:///{tmp_path / 'trivium.db'}")
        yield url
        return
    template = request.getfixturevalue("migrated_postgresql")
    with _database_like(template, request.getfixturevalue("postgresql")) as url:
        yield url


@pytest.fixture
def sessions(migrated_url: str) -> Iterator[sessionmaker[Session]]:
    """Sessions on a migrated database, once of each kind."""
    engine = open_database(migrated_url)
    yield make_sessions(engine)
    engine.dispose()
