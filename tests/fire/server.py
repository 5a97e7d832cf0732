"""The real `trivium up` in a process of its own, which may be killed, frozen and started again. Ignores who asks it.

Prepared once (`--prepared DIR`: models and demo data), then copied for each run. A process is forked from one that has
imported the program, so that a hundred starts take no hundred times the imports.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import httpx

from service.auth import KeyRing
from service.storage import make_sessions, open_database
from tests import databases
from tests.ports import free_port

Http = TypeVar("Http", httpx.Client, httpx.AsyncClient)
PREPARED = Path("var/fire")
START_TIMEOUT_S = 300
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    ["service.cli", "service.up", "service.wiring", "service.storage", "service.monitoring", "alembic.command"]
    + ["core_model.embedded", "core_model.loading", "core_model.models", "core_model.chat_model"]
    + ["retrieval.store", "retrieval.embed", "scipy.stats", "sklearn", "lightgbm", "uvloop", "httptools"]
    + [f"verticals.{name}.handlers" for name in ("finance", "medical", "support")]
)


class Server:
    """One installation: a home, a database, and a process that comes and goes."""

    def __init__(self, home: Path, database_url: str, settings: Mapping[str, str]) -> None:
        self.home, self.database_url, self.port = home, database_url, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._settings = settings
        self._process: multiprocessing.process.BaseProcess | None = None

    def start(self) -> None:
        """Start it and wait until it is ready."""
        environment = {
            "TRIVIUM_HOME": str(self.home),
            "TRIVIUM_DATABASE_URL": self.database_url,
            "TRIVIUM_PORT": str(self.port),
            "TRIVIUM_DASHBOARD_PORT": str(free_port()),
            "TRIVIUM_REQUESTS_PER_MINUTE": "100000000",
            "TRIVIUM_DEMO": "false",  # it was prepared
            **self._settings,
        }
        self._process = FORKS.Process(target=_run, args=(environment, str(self.home / "server.log")))
        self._process.start()
        self.wait_until_ready()

    def once(self) -> None:
        """Prepare what is missing, and stop."""
        self.start()
        self.stop()

    def wait_until_ready(self, timeout_s: float = START_TIMEOUT_S) -> float:
        """Seconds until `/healthz` says 200."""
        started = time.monotonic()
        while time.monotonic() - started < timeout_s:
            assert self.is_alive, f"the server ended; see {self.home / 'server.log'}"
            try:
                if httpx.get(f"{self.url}/healthz", timeout=5, trust_env=False).is_success:
                    return time.monotonic() - started
            except httpx.HTTPError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"not ready after {timeout_s} s; see {self.home / 'server.log'}")

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.is_alive()

    @property
    def pid(self) -> int:
        """Of the process."""
        assert self._process is not None
        assert self._process.pid is not None
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL."""
        os.kill(self.pid, signal.SIGKILL)
        self._join()

    def stop(self) -> None:
        """SIGTERM, then wait."""
        if self.is_alive:
            os.kill(self.pid, signal.SIGTERM)
            self._join()

    def _join(self) -> None:
        assert self._process is not None
        self._process.join(60)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def issue_key(self, tenant: str, *, scopes: Sequence[str] = ("*",)) -> str:
        """A key of a tenant, for everything of its own unless said otherwise."""
        engine = open_database(self.database_url)
        key = KeyRing(make_sessions(engine)).issue(tenant=tenant, label="fire", scopes=scopes)
        engine.dispose()
        return key

    def client(self, kind: type[Http], key: str, *, timeout_s: float, connections: int = 100) -> Http:
        """An HTTP client that speaks for `key`, with so many connections at most."""
        return kind(
            base_url=self.url,
            headers={"Authorization": f"Bearer {key}"},
            timeout=timeout_s,
            trust_env=False,
            limits=httpx.Limits(max_connections=connections),
        )

    def resident_mib(self) -> float:
        """Of the process. Linux."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024

    def unexpected_failures(self) -> int:
        """Lines of the log that tell of a bug."""
        log = (self.home / "server.log").read_text(errors="replace")
        return log.count("unexpected failure") + log.count("Exception in ASGI application")


def _run(environment: Mapping[str, str], log: str) -> None:
    """`trivium up --no-dashboards`, its output in a file."""
    for name in [name for name in os.environ if name.startswith("TRIVIUM_")]:
        del os.environ[name]
    os.environ.update(environment)
    if "LD_PRELOAD" in environment and "FIRE_AGAIN" not in os.environ:  # only a new program loads it
        os.environ["FIRE_AGAIN"] = "yes"
        call = f"from tests.fire.server import _run; _run({dict(environment)!r}, {log!r})"
        os.execv(sys.executable, [sys.executable, "-c", call])
    with Path(log).open("a") as file:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(file.fileno(), stream.fileno())
    from service.cli import up

    up(dashboards=False)


@contextmanager
def running(
    prepared: Path, kind: str = "sqlite", settings: Mapping[str, str] | None = None, *, within: Path | None = None
) -> Iterator[Server]:
    """A started server on a copy of the prepared home, made in `within`; everything is gone after the block."""
    assert (prepared / "trivium.db").exists(), f"prepare it first: TRIVIUM_HOME={prepared} trivium prepare"
    with tempfile.TemporaryDirectory(prefix="trivium-fire-", dir=within) as folder:
        home = Path(folder) / "home"
        shutil.copytree(prepared, home, ignore=shutil.ignore_patterns("models", "*.log"))
        (home / "models").symlink_to((prepared / "models").resolve())
        url = f"sqlite:///{home / 'trivium.db'}"
        if kind == "postgresql":
            (home / "trivium.db").unlink()
            url = databases.migrated_url(Path(folder), kind)
        server = Server(home, url, settings or {})
        if kind == "postgresql":  # whose demo data was not copied
            Server(home, url, {"TRIVIUM_DEMO": "true"}).once()
        server.start()
        try:
            yield server
        finally:
            if (failures := server.unexpected_failures()) > 0:
                kept = Path(tempfile.gettempdir()) / "trivium-fire-server.log"
                shutil.copy(home / "server.log", kept)
                print(f"{failures} unexpected failures in the log: {kept}")
            server.stop()
            databases.drop_databases_of(Path(folder))


def options(description: str | None) -> argparse.ArgumentParser:
    """What every program here can be told."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prepared", type=Path, default=PREPARED, help="home made by `trivium prepare`")
    parser.add_argument("--database", choices=databases.KINDS, default="sqlite")
    return parser
