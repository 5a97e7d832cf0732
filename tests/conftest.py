"""Shared fixtures: a database of each kind, with every migration applied."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest
import structlog
import uvicorn
from fastapi import FastAPI
from hypothesis import settings
from sqlalchemy.orm import Session, sessionmaker

from service.monitoring import OURS, configure_logging
from service.storage import make_sessions, open_database
from tests import databases
from tests.ports import free_port

T = TypeVar("T")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--database postgresql` runs every test that has a database on PostgreSQL, not only those that run on both."""
    parser.addoption("--database", choices=databases.KINDS, default=databases.KINDS[0])


def pytest_configure(config: pytest.Config) -> None:
    """Take the option over."""
    databases.asked["kind"] = config.getoption("database")


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """A test's databases go with it; those of a module's kit stay."""
    if folder := getattr(item, "funcargs", {}).get("tmp_path"):
        databases.drop_databases_of(folder)


settings.register_profile("untimed", deadline=None)  # a busy machine is no failure
settings.load_profile("untimed")


@contextmanager
def served(app: FastAPI, *, port: int | None = None) -> Iterator[str]:
    """A real server over `app`, on a free port unless one is given; gives its address."""
    port = port or free_port()
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


@pytest.fixture(params=databases.KINDS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database, once of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'trivium.db'}"
        return
    databases.create_postgresql(name := f"test_{uuid.uuid4().hex}")
    yield databases.postgresql_url(name)
    databases.drop_postgresql(name)


@pytest.fixture(params=databases.KINDS)
def migrated_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database with every migration applied, once of each kind."""
    return databases.migrated_url(tmp_path, request.param)


@pytest.fixture
def sessions(migrated_url: str) -> Iterator[sessionmaker[Session]]:
    """Sessions on a migrated database, once of each kind."""
    engine = open_database(migrated_url)
    yield make_sessions(engine)
    engine.dispose()
