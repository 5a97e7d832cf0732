"""Migrated databases for tests, of the kind that this run asks for (`pytest --database postgresql`).

The migrations run once a process; then the result is copied. Ignores what the tables mean.
"""

from __future__ import annotations

import atexit
import getpass
import hashlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, event, text

from service.storage import migrate, open_database
from tests.ports import free_port

KINDS = ("sqlite", "postgresql")
asked = {"kind": "sqlite"}  # set at the run's start


def migrated_url(folder: Path, kind: str | None = None) -> str:
    """The URL of the database of `folder`; made when first asked for."""
    return _sqlite(folder / "trivium.db") if (kind or asked["kind"]) == "sqlite" else _postgresql(folder)


def migrated_engine(folder: Path) -> Engine:
    """The database of `folder`, opened as the service does; no test of it ends the machine's power."""
    engine = open_database(migrated_url(folder))
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=OFF"))
    return engine


def _sqlite(path: Path) -> str:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_sqlite_template())
    return f"sqlite:///{path}"


@cache
def _sqlite_template() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trivium.db"
        migrate(f"sqlite:///{path}")
        return path.read_bytes()


_made: dict[str, Path] = {}  # PostgreSQL's databases, with the folders that they are of


def _postgresql(folder: Path) -> str:
    name = f"test_{hashlib.sha256(str(folder).encode()).hexdigest()[:24]}"
    if name not in _made:
        create_postgresql(name, template=_postgresql_template())
        _made[name] = folder
    return postgresql_url(name)


@cache
def _postgresql_template() -> str:
    name = "migrated"
    create_postgresql(name)
    migrate(postgresql_url(name))
    return name


def needs_sqlite(why: str) -> None:
    """Skip this test, or all of a fixture's, in a run on PostgreSQL."""
    if asked["kind"] != "sqlite":
        pytest.skip(why)


def drop_databases_of(folder: Path) -> None:
    """PostgreSQL's databases of this folder and those in it; SQLite's go with it."""
    for name in [name for name, of in _made.items() if of.is_relative_to(folder)]:
        drop_postgresql(name)
        del _made[name]


def create_postgresql(name: str, template: str = "template1") -> None:
    """A database that begins as a copy of `template`."""
    _administrate(f"CREATE DATABASE {name} TEMPLATE {template}")


def drop_postgresql(name: str) -> None:
    """With whoever is connected."""
    _administrate(f"DROP DATABASE {name} WITH (FORCE)")


def _administrate(statement: str) -> None:
    engine = create_engine(postgresql_url("postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


def postgresql_url(name: str) -> str:
    """Of a database of this process's own server, which is started when first asked for."""
    return f"postgresql+psycopg://trivium@127.0.0.1:{_server_port(_binaries())}/{name}"


def pgvector_url() -> str:
    """The URL of a database whose server has pgvector: the system's own, else that of the package pgserver."""
    extensions = (
        "../../../share/postgresql/*/extension/vector.control",
        "../share/postgresql/extension/vector.control",
    )
    for binaries in (_binaries(), _packaged_binaries()):
        if binaries and any(any(binaries.glob(pattern)) for pattern in extensions):
            return f"postgresql+psycopg://trivium@127.0.0.1:{_server_port(binaries)}/postgres"
    pytest.skip("pgvector is not installed (Debian 13: postgresql-17-pgvector; elsewhere: pip install pgserver)")


def _packaged_binaries() -> Path | None:
    """Of the package pgserver, where the account that runs PostgreSQL may read them."""
    found = importlib.util.find_spec("pgserver")
    if found is None or found.origin is None:
        return None
    binaries = Path(found.origin).parent / "pginstall" / "bin"
    is_readable = all(folder.stat().st_mode & 0o001 for folder in binaries.resolve().parents)
    return binaries if is_readable or getpass.getuser() != "root" else None


class _Running:
    """How this process's own server is controlled, once it runs."""

    control: Callable[[str], None]
    folder: Path


def control() -> tuple[Callable[[str], None], Callable[[int], None]]:
    """Of the server: `pg_ctl` with "stop" or "start", and a signal to all of its processes."""
    _server_port(_binaries())

    def signal_all(number: int) -> None:
        first = int((_Running.folder / "data" / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
        for process in (first, *map(int, children)):
            os.kill(process, number)

    return _Running.control, signal_all


@cache
def _server_port(binaries: Path | None) -> int:
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

    def run(*command: str | Path) -> None:
        subprocess.run([*as_user, *command], check=True, stdout=subprocess.DEVNULL, cwd=folder)

    def stop() -> None:
        control("stop")
        shutil.rmtree(folder, ignore_errors=True)

    run(binaries / "initdb", "-D", data, "-U", "trivium", "--auth=trust", "-E", "UTF8")
    options = f"-h 127.0.0.1 -p {port} -k {folder} -c fsync=off"

    def control(what: str) -> None:
        how = ("-m", "immediate", "stop") if what == "stop" else ("-w", "-l", folder / "log", "-o", options, "start")
        run(binaries / "pg_ctl", "-D", data, *how)

    control("start")
    _Running.control, _Running.folder = staticmethod(control), folder
    atexit.register(stop)
    return port


def _binaries() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).parent if on_path else None
